import { ChunkText } from '../parts/chunk-text.js';

/** Characters of output to keep; older text is dropped. */
const MAX_LENGTH = 400_000;

/** A task's output, written at most once per animation frame. */
export class Output {
  readonly #text = document.createTextNode('');
  #chunks = new ChunkText();
  #waiting: string[] = [];

  constructor(private readonly place: HTMLElement) {
    place.append(this.#text);
  }

  add(chunk: unknown): void {
    if (this.#waiting.length === 0) requestAnimationFrame(() => this.#write());
    this.#waiting.push(this.#chunks.add(chunk));
  }

  #write(): void {
    // Keeps the scroll position of a user who has scrolled up.
    const { scrollTop, clientHeight, scrollHeight } = this.place;
    const atEnd = scrollTop + clientHeight > scrollHeight - 40;
    this.#text.appendData(this.#waiting.join(''));
    this.#waiting = [];
    if (this.#text.length > MAX_LENGTH) this.#text.deleteData(0, this.#text.length - MAX_LENGTH);
    if (atEnd) this.place.scrollTop = this.place.scrollHeight;
  }
}
