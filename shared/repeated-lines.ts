import type { Logger } from './logger.js';

export interface RepeatedLinesOptions {
  /** How long one line stands for all of its key, in ms. Default: an hour. */
  readonly intervalMs?: number;
  /** How many keys are remembered. Lines of further keys are counted together, as lines of one key. Default: 1,000. */
  readonly maxKeys?: number;
  /** A clock in ms that never goes back. Default: performance.now. */
  readonly now?: () => number;
}

export type LineLevel = 'debug' | 'info' | 'warn' | 'error';

interface Written {
  readonly at: number;
  /** Lines that were counted since. */
  repeated: number;
}

const HOUR_MS = 3_600_000;
const MAX_KEYS = 1_000;
/** The key of all lines for whose own keys there is no room. No caller has it: keys are not empty. */
const OTHERS = '';

/**
 * Writes a line once for each key and interval and counts the rest. The next line of the key has the count: `repeated: n`.
 * Its memory and its lines are bounded, also if every line has a key of its own.
 */
export class RepeatedLines {
  readonly #logger: Logger;
  readonly #intervalMs: number;
  readonly #maxKeys: number;
  readonly #now: () => number;
  /** By key, the one that was written longest ago first. */
  readonly #written = new Map<string, Written>();

  constructor(logger: Logger, { intervalMs = HOUR_MS, maxKeys = MAX_KEYS, now = () => performance.now() }: RepeatedLinesOptions = {}) {
    this.#logger = logger;
    this.#intervalMs = intervalMs;
    this.#maxKeys = maxKeys;
    this.#now = now;
  }

  /** Writes or counts the line. Returns whether it was written. */
  write(level: LineLevel, key: string, fields: Readonly<Record<string, unknown>>, message: string): boolean {
    const now = this.#now();
    const kept = this.#keyFor(key, now);
    const last = this.#written.get(kept);
    if (last && now - last.at < this.#intervalMs) {
      last.repeated += 1;
      return false;
    }
    this.#written.delete(kept);
    this.#written.set(kept, { at: now, repeated: 0 });
    const { repeated = 0 } = last ?? {};
    this.#logger[level]({ ...fields, ...(repeated > 0 && { repeated }) }, message);
    return true;
  }

  debug(key: string, fields: Readonly<Record<string, unknown>>, message: string): boolean {
    return this.write('debug', key, fields, message);
  }

  info(key: string, fields: Readonly<Record<string, unknown>>, message: string): boolean {
    return this.write('info', key, fields, message);
  }

  warn(key: string, fields: Readonly<Record<string, unknown>>, message: string): boolean {
    return this.write('warn', key, fields, message);
  }

  error(key: string, fields: Readonly<Record<string, unknown>>, message: string): boolean {
    return this.write('error', key, fields, message);
  }

  /** Forgets a key, so that its next line is written: what it told of is over. Returns how many lines were counted and not told. */
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
