import { ChunkText } from './parts/chunk-text.js';

/** Characters of output to keep; older text is dropped. */
const MAX_LENGTH = 400_000;

/** A task's output, written at most once per animation frame. */
export class Output {
  readonly #place: HTMLElement;
  readonly #text = document.createTextNode('');
  #chunks = new ChunkText();
  #waiting: string[] = [];
  #cut = false;

  constructor(place: HTMLElement) {
    this.#place = place;
    place.append(this.#text);
  }

  get cut(): boolean {
    return this.#cut;
  }

  add(chunk: unknown): void {
    if (this.#waiting.length === 0) requestAnimationFrame(() => this.#write());
    this.#waiting.push(this.#chunks.add(chunk));
  }

  clear(): void {
    this.#chunks = new ChunkText();
    this.#waiting = [];
    this.#text.data = '';
  }

  #write(): void {
    // Keeps the scroll position of a user who has scrolled up.
    const { scrollTop, clientHeight, scrollHeight } = this.#place;
    const atEnd = scrollTop + clientHeight > scrollHeight - 40;
    this.#text.appendData(this.#waiting.join(''));
    this.#waiting = [];
    if (this.#text.length > MAX_LENGTH) {
      this.#text.deleteData(0, this.#text.length - MAX_LENGTH);
      this.#cut = true;
    }
    if (atEnd) this.#place.scrollTop = this.#place.scrollHeight;
  }
}
