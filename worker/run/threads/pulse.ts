/** Pings per time limit. */
const PINGS = 10;

interface PulseOptions {
  /** How long the thread may not answer, in ms. */
  readonly limitMs: number;
  readonly ping: () => void;
  readonly onBlocked: () => void;
}

/**
 * Pings a thread, and notices when its event loop hangs. Counts pings without an answer rather than time: a frozen process sends none, and
 * its threads are not to blame.
 */
export class Pulse {
  #unanswered = 0;
  readonly #timer: NodeJS.Timeout;

  constructor({ limitMs, ping, onBlocked }: PulseOptions) {
    this.#timer = setInterval(() => {
      if (this.#unanswered >= PINGS) {
        this.stop();
        return onBlocked();
      }
      this.#unanswered += 1;
      ping();
    }, limitMs / PINGS);
  }

  answered(): void {
    this.#unanswered = 0;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
