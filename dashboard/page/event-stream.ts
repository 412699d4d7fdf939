import { apiUrl, me } from './api.js';

/** `ended`: there is nothing more to come. */
export type LinkState = 'connecting' | 'live' | 'lost' | 'ended';

export interface EventStreamOptions {
  /** Below the API. */
  readonly path: string;
  /** What to do with each event, by its name. */
  readonly on: Readonly<Record<string, (data: never, id: string) => void>>;
  readonly onLink: (state: LinkState) => void;
}

const RETRY_MS = 3_000;

/**
 * Events of the API, for as long as the page is open. After a break the browser connects again by itself, with the id of
 * its last event. Where it gives up, because it got an error for an answer, this connects again and names that id.
 */
export class EventStream {
  readonly #options: EventStreamOptions;
  #source: EventSource | null = null;
  #timer: number | null = null;
  #lastId = '';

  constructor(options: EventStreamOptions) {
    this.#options = options;
  }

  open(): void {
    this.#stop();
    const url = apiUrl(this.#options.path);
    // Without the mark of an end: a task that was retried may have ended once more meanwhile.
    if (this.#lastId !== '') url.searchParams.set('after', this.#lastId.replace(/-end$/, ''));
    const source = new EventSource(url);
    this.#source = source;
    this.#options.onLink('connecting');
    source.addEventListener('open', () => this.#options.onLink('live'));
    source.addEventListener('error', () => this.#onError(source));
    for (const [name, handle] of Object.entries(this.#options.on)) {
      source.addEventListener(name, (event: MessageEvent<string>) => {
        this.#lastId = event.lastEventId || this.#lastId;
        handle(JSON.parse(event.data) as never, event.lastEventId);
      });
    }
  }

  close(): void {
    this.#stop();
    this.#options.onLink('ended');
  }

  #stop(): void {
    if (this.#timer !== null) window.clearTimeout(this.#timer);
    this.#timer = null;
    this.#source?.close();
    this.#source = null;
  }

  #onError(source: EventSource): void {
    if (source !== this.#source) return;
    this.#options.onLink('lost');
    if (source.readyState === EventSource.CLOSED) this.#retry();
  }

  #retry(): void {
    this.#timer = window.setTimeout(() => {
      // Asking who this is tells a session that is over from a server that is away.
      me(true).then(
        () => this.open(),
        () => this.#retry(),
      );
    }, RETRY_MS);
  }
}
