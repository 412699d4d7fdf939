export interface RepeatsOptions {
  /** How long one line stands for all of its key, in ms. Default: an hour. */
  readonly intervalMs?: number;
  /** How many lines of a key are written in an interval. Default: 1. */
  readonly burst?: number;
  /** How many keys are remembered. Lines of further keys are counted together, as lines of one key. Default: 1,000. */
  readonly maxKeys?: number;
  /** A clock in ms that never goes back. Default: performance.now. */
  readonly now?: () => number;
}

interface Written {
  /** When the interval of these lines began. */
  readonly at: number;
  lines: number;
  /** Lines that were counted since. */
  repeated: number;
}

const HOUR_MS = 3_600_000;
const MAX_KEYS = 1_000;
/** The key of all lines for whose own keys there is no room. No caller has it: keys are not empty. */
const OTHERS = '';

/** Decides which of many lines are written. Its memory is bounded, and so is what it lets through, also if no key ever repeats. */
export class Repeats {
  readonly #intervalMs: number;
  readonly #burst: number;
  readonly #maxKeys: number;
  readonly #now: () => number;
  /** By key, the one whose interval began longest ago first. */
  readonly #written = new Map<string, Written>();

  constructor({ intervalMs = HOUR_MS, burst = 1, maxKeys = MAX_KEYS, now = () => performance.now() }: RepeatsOptions = {}) {
    this.#intervalMs = intervalMs;
    this.#burst = burst;
    this.#maxKeys = maxKeys;
    this.#now = now;
  }

  /** How many lines of the key were counted since its last interval, if this one is to be written; null if it is counted too. */
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

  /** Forgets a key. Returns how many of its lines were counted and not told. */
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
