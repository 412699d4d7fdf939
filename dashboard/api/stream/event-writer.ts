import type { ServerResponse } from 'node:http';

export interface WriterLimits {
  /** Interval of keep-alive comments, in ms: proxies cut idle connections. */
  readonly keepAliveMs: number;
  /** A client that reads nothing for this time is dropped, in ms. */
  readonly stallMs: number;
  /** Maximum age of a stream, in ms: reconnecting clients are authenticated again. */
  readonly maxAgeMs: number;
}

/** Formats an event as `text/event-stream`. `data` is JSON text without line breaks. */
export function eventText(event: string, data: string, id?: string): string {
  return `event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}data: ${data}\n\n`;
}

/** Maximum size of a write, in characters, unless a single event is longer. */
export const PIECE = 65_536;
/** The browser's reconnect delay, in ms. */
const RETRY_MS = 2_000;
const HEADERS = {
  'Content-Type': 'text/event-stream',
  // Compression by the surrounding app or a proxy would hold events back, and so would nginx's buffers.
  'Cache-Control': 'no-store, no-transform',
  'X-Accel-Buffering': 'no',
  // A kept connection would hold up a server that closes, long after this stream has ended.
  Connection: 'close',
};

/** Writes an event stream. `send` waits for the client, so at most one piece is buffered. */
export class EventWriter {
  readonly #res: ServerResponse;
  readonly #limits: WriterLimits;
  readonly #gone = new AbortController();
  #timer: NodeJS.Timeout | null = null;
  #ageTimer: NodeJS.Timeout | null = null;

  constructor(res: ServerResponse, limits: WriterLimits) {
    this.#res = res;
    this.#limits = limits;
    res.once('close', () => {
      this.#clear();
      this.#gone.abort();
    });
    if (res.closed || res.destroyed) this.#gone.abort();
  }

  /** Aborted when the client disconnects or the response ends. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  start(): void {
    // The client left while its first event was read: nothing would clear the timers.
    if (this.signal.aborted) return;
    this.#res.writeHead(200, HEADERS);
    this.#res.write(`retry: ${RETRY_MS}\n\n`);
    this.#timer = setInterval(() => {
      if (!this.#res.writableNeedDrain) this.#res.write(': keep-alive\n\n');
    }, this.#limits.keepAliveMs);
    this.#ageTimer = setTimeout(() => this.end(), this.#limits.maxAgeMs);
  }

  /** Sends an event. Resolves when there is room for more, or the client is gone: see `signal`. */
  async send(event: string | Buffer): Promise<void> {
    if (this.signal.aborted || this.#res.writableEnded || this.#res.write(event)) return;
    await new Promise<void>((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#res.off('drain', finish);
        this.signal.removeEventListener('abort', finish);
        resolve();
      };
      const timer = setTimeout(() => this.#res.destroy(), this.#limits.stallMs);
      this.#res.on('drain', finish);
      this.signal.addEventListener('abort', finish, { once: true });
    });
  }

  /** Sends many events, in pieces. */
  async sendAll(texts: readonly string[]): Promise<void> {
    let piece = '';
    for (const text of texts) {
      if (piece !== '' && piece.length + text.length > PIECE) {
        await this.send(piece);
        piece = '';
      }
      piece += text;
    }
    if (piece !== '') await this.send(piece);
  }

  /** Ends the response; browsers reconnect with the id of the last event received. */
  end(): void {
    this.#clear();
    if (this.#res.headersSent && !this.#res.writableEnded) this.#res.end(`retry: ${RETRY_MS}\n\n`);
  }

  /** Ends the response at once, discarding pending events: the caller may see no more. */
  revoke(): void {
    this.#gone.abort();
    // Without headers the response cannot end gracefully.
    if (!this.#res.headersSent) return void this.#res.destroy();
    this.end();
    // A client that reads nothing would keep the rest buffered.
    const timer = setTimeout(() => this.#res.destroy(), this.#limits.stallMs);
    this.#res.once('close', () => clearTimeout(timer));
  }

  #clear(): void {
    if (this.#timer) clearInterval(this.#timer);
    if (this.#ageTimer) clearTimeout(this.#ageTimer);
  }
}
