import { uuidv7 } from 'uuidv7';
import type { FleetClock } from '../clock/fleet-clock.js';
import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';

/** What this process counts under one field. Whoever counts often keeps it: then a count is an addition. */
export interface Count {
  readonly field: string;
  /** Whether it is kept by minute, and not in the totals. */
  readonly byMinute: boolean;
  /** What is not handed over yet. */
  pending: number;
}

/** What is handed over at once. */
interface Batch {
  readonly number: number;
  /** The minute in which it was begun, in whole minutes since the epoch. */
  readonly minute: number;
  readonly counts: readonly Omit<Count, 'pending'>[];
  readonly increments: readonly number[];
}

const INTERVAL_MS = 1_000;
const MINUTE_MS = 60_000;
/** The page with the tasks shows an hour. */
const MINUTE_KEPT_S = 2 * 3_600;
/** Longer than any answer is waited for. */
const SOURCE_KEPT_S = 3_600;

/**
 * Counts for the whole fleet: each process gathers increments and adds them to the totals in Redis, in one command a
 * second and one more at its end. Nobody waits for it and nothing fails by it. A crash loses the last second; what is
 * gathered while Redis is away is added when it is back.
 */
export class Counters {
  readonly #redis: ScriptedRedis;
  readonly #keys: Keys;
  readonly #clock: Pick<FleetClock, 'now'>;
  readonly #source = uuidv7();
  /** Those that have something pending. */
  #touched: Count[] = [];
  #begunAt = 0;
  #batches = 0;
  /** Handed over, and not known to have arrived. */
  #sealed: Batch | null = null;
  #sending: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(redis: ScriptedRedis, keys: Keys, clock: Pick<FleetClock, 'now'>) {
    this.#redis = redis;
    this.#keys = keys;
    this.#clock = clock;
  }

  increase(count: Count, by = 1): void {
    if (count.pending === 0 && by > 0) this.#touch(count);
    count.pending += by;
  }

  /** Hands over what was counted so far, if Redis is there. Never rejects. */
  async flush(): Promise<void> {
    // What is under way is of an earlier moment.
    await this.#sending;
    this.#sending ??= this.#send().finally(() => {
      this.#sending = null;
    });
    await this.#sending;
  }

  /** The same for the last time. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    await this.flush();
    // What had failed before went first, and alone.
    if (this.#touched.length > 0 && !this.#sealed) await this.flush();
  }

  #touch(count: Count): void {
    if (this.#touched.push(count) > 1) return;
    this.#begunAt = this.#clock.now();
    this.#schedule();
  }

  #schedule(): void {
    if (this.#timer || this.#closed) return;
    // A process that has nothing else to do need not stay for it.
    this.#timer = setTimeout(this.#onTime, INTERVAL_MS).unref();
  }

  readonly #onTime = (): void => {
    this.#timer = null;
    void this.flush().then(() => {
      if (this.#sealed || this.#touched.length > 0) this.#schedule();
    });
  };

  #seal(): Batch | null {
    if (this.#touched.length === 0) return null;
    // The order of the script: first the totals, then what is of the minute.
    const counts = this.#touched.toSorted((a, b) => Number(a.byMinute) - Number(b.byMinute));
    const increments = counts.map(({ pending }) => pending);
    for (const count of counts) count.pending = 0;
    this.#touched = [];
    return { number: (this.#batches += 1), minute: Math.floor(this.#begunAt / MINUTE_MS), counts, increments };
  }

  async #send(): Promise<void> {
    // A worker's connection would let commands pile up, and a producer's would refuse them.
    if (this.#redis.status !== 'ready') return;
    this.#sealed ??= this.#seal();
    if (!this.#sealed) return;
    const { number, minute, counts, increments } = this.#sealed;
    try {
      const keys = [this.#keys.counters, this.#keys.minute(String(minute)), this.#keys.countSource(this.#source)];
      const totals = counts.filter(({ byMinute }) => !byMinute).length;
      await this.#redis.addCounts(
        ...keys,
        number,
        MINUTE_KEPT_S,
        SOURCE_KEPT_S,
        totals,
        ...counts.flatMap(({ field }, index) => [field, increments[index] as number]),
      );
      this.#sealed = null;
    } catch {
      // It stays sealed, and goes again under its number: it may have arrived.
    }
  }
}

export function createCount(field: string, { byMinute = false } = {}): Count {
  return { field, byMinute, pending: 0 };
}
