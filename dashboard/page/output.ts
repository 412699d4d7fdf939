import { ChunkText } from './chunk-text.js';

/** The browser keeps so much of an output, in characters; older text goes. */
const KEPT = 400_000;

/** What a task says while it runs. Written once for each picture that the screen shows, however fast it comes. */
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
    // Who has scrolled up to read stays there.
    const { scrollTop, clientHeight, scrollHeight } = this.#place;
    const atEnd = scrollTop + clientHeight > scrollHeight - 40;
    this.#text.appendData(this.#waiting.join(''));
    this.#waiting = [];
    if (this.#text.length > KEPT) {
      this.#text.deleteData(0, this.#text.length - KEPT);
      this.#cut = true;
    }
    if (atEnd) this.#place.scrollTop = this.#place.scrollHeight;
  }
}
