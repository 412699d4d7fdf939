import type { ServerResponse } from 'node:http';

export interface WriterLimits {
  /** A comment goes out so often, in ms: proxies cut connections that are silent. */
  readonly keepAliveMs: number;
  /** A client that takes nothing for so long is dropped, in ms. */
  readonly stallMs: number;
  /** After so long a stream ends, in ms: whoever comes back is asked again who it is. */
  readonly maxAgeMs: number;
}

/** One event as `text/event-stream` has it. `data` is JSON text, which has no line breaks. */
export function eventText(event: string, data: string, id?: string): string {
  return `event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}data: ${data}\n\n`;
}

/** Sent in one piece at the most, in characters, unless a single event is longer. */
export const PIECE = 65_536;
/** What a browser waits before it connects again, in ms. */
const RETRY_MS = 2_000;

/** An answer of events. What the client has not taken yet is at most one piece: `send` waits for room. */
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

  /** Aborted when the client is gone, or the answer at its end. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  start(): void {
    // Gone while its first event was read: nothing would ever clear the timers.
    if (this.signal.aborted) return;
    this.#res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no' });
    this.#res.write(`retry: ${RETRY_MS}\n\n`);
    this.#timer = setInterval(() => {
      if (!this.#res.writableNeedDrain) this.#res.write(': keep-alive\n\n');
    }, this.#limits.keepAliveMs);
    this.#ageTimer = setTimeout(() => this.end(), this.#limits.maxAgeMs);
  }

  /** Resolves when there is room for more, or the client is gone: see `signal`. */
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

  /** The same for many, in pieces. */
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

  /** Ends the answer; a browser connects again, with the id of the last event that it had. */
  end(): void {
    this.#clear();
    if (this.#res.headersSent && !this.#res.writableEnded) this.#res.end(`retry: ${RETRY_MS}\n\n`);
  }

  /** Ends the answer now, whatever was about to be sent: its caller may see no more. */
  revoke(): void {
    this.#gone.abort();
    // Without a head there is nothing that could end in order.
    if (!this.#res.headersSent) return void this.#res.destroy();
    this.end();
    // A client that takes nothing would keep what is left.
    const timer = setTimeout(() => this.#res.destroy(), this.#limits.stallMs);
    this.#res.once('close', () => clearTimeout(timer));
  }

  #clear(): void {
    if (this.#timer) clearInterval(this.#timer);
    if (this.#ageTimer) clearTimeout(this.#ageTimer);
  }
}
