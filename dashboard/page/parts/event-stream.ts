import { apiUrl, me } from './api.js';

/** `ended`: no more events will follow. */
export type LinkState = 'connecting' | 'live' | 'lost' | 'ended';

export interface EventStreamOptions {
  /** Relative to the API's base path. */
  readonly path: string;
  /** Handlers by event name. */
  readonly on: Readonly<Record<string, (data: never, id: string) => void>>;
  readonly onLink: (state: LinkState) => void;
}

const RETRY_MS = 3_000;

/**
 * A stream of API events that stays open with the page. The browser reconnects after a network error and sends the last event id. It
 * gives up on an error response; this class then reconnects with that id.
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
    // Strips the end marker: a retried task may have finished again in the meantime.
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
      // A 401 means that the session has ended (and reloads the page); other errors mean that the server is down.
      me(true).then(
        () => this.open(),
        () => this.#retry(),
      );
    }, RETRY_MS);
  }
}
