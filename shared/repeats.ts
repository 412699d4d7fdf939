export interface RepeatsOptions {
  /** Length of an interval, in ms. Default: an hour. */
  readonly intervalMs?: number;
  /** Lines logged per key and interval. Default: 1. */
  readonly burst?: number;
  /** Keys remembered at once. Lines with further keys share one key. Default: 1,000. */
  readonly maxKeys?: number;
  /** A monotonic clock in ms. Default: performance.now. */
  readonly now?: () => number;
}

interface Written {
  /** Start of the interval. */
  readonly at: number;
  lines: number;
  /** Lines counted, not logged, since then. */
  repeated: number;
}

const HOUR_MS = 3_600_000;
const MAX_KEYS = 1_000;
/** The shared key of lines beyond `maxKeys`. Callers' keys are never empty. */
const OTHERS = '';

/** Decides which repeated lines to log. Bounds both memory and the number of logged lines, even if no key ever repeats. */
export class Repeats {
  readonly #intervalMs: number;
  readonly #burst: number;
  readonly #maxKeys: number;
  readonly #now: () => number;
  /** By key, oldest interval first. */
  readonly #written = new Map<string, Written>();

  constructor({ intervalMs = HOUR_MS, burst = 1, maxKeys = MAX_KEYS, now = () => performance.now() }: RepeatsOptions = {}) {
    this.#intervalMs = intervalMs;
    this.#burst = burst;
    this.#maxKeys = maxKeys;
    this.#now = now;
  }

  /** Returns null if the line is to be counted only, else the number of lines counted since the key's last interval. */
  admit(key: string): number | null {
    const now = this.#now();
    const kept = this.#keyFor(key, now);
    const last = this.#written.get(kept);
    if (!last || now - last.at >= this.#intervalMs) {
      this.#written.delete(kept);
      this.#written.set(kept, { at: now, lines: 1, repeated: 0 });
      return last?.repeated ?? 0;
    }
    if (last.lines < this.#burst) {
      last.lines += 1;
      return 0;
    }
    last.repeated += 1;
    return null;
  }

  /** Forgets a key. Returns the number of its counted lines not yet reported. */
  forget(key: string): number {
    const { repeated = 0 } = this.#written.get(key) ?? {};
    this.#written.delete(key);
    return repeated;
  }

  #keyFor(key: string, now: number): string {
    if (this.#written.has(key) || this.#written.size < this.#maxKeys) return key;
    const [oldest] = this.#written;
    if (!oldest || now - oldest[1].at < this.#intervalMs) return OTHERS;
    this.#written.delete(oldest[0]);
    return key;
  }
}
