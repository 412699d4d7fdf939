import { uuidv7 } from 'uuidv7';
import type { FleetClock } from '../clock/fleet-clock.js';
import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';

/** A counter of this process. Frequent callers keep it, so that counting is one addition. */
export interface Count {
  readonly field: string;
  /** Whether it is counted per minute instead of in the totals. */
  readonly byMinute: boolean;
  /** Increments not yet sent. */
  pending: number;
}

/** The counts of one command. */
interface Batch {
  readonly number: number;
  /** The minute of its first count, in whole minutes since the epoch. */
  readonly minute: number;
  readonly counts: readonly Omit<Count, 'pending'>[];
  readonly increments: readonly number[];
}

const INTERVAL_MS = 1_000;
const MINUTE_MS = 60_000;
/** The dashboard's tasks page shows the last hour. */
const MINUTE_KEPT_S = 2 * 3_600;
/** Longer than any wait for an answer. */
const SOURCE_KEPT_S = 3_600;

/**
 * Counters of the whole fleet. Each process batches its increments and adds them to the totals in Redis once a second and when
 * it closes. Counting never waits or fails. A crash loses the last second; increments made while Redis is unavailable are added
 * once it is back.
 */
export class Counters {
  readonly #redis: ScriptedRedis;
  readonly #keys: Keys;
  readonly #clock: Pick<FleetClock, 'now'>;
  readonly #source = uuidv7();
  /** Counts with pending increments. */
  #touched: Count[] = [];
  #firstCountAt = 0;
  #batches = 0;
  /** Sent, but not acknowledged. */
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

  /** Sends all pending increments, if Redis is connected. Never rejects. */
  async flush(): Promise<void> {
    // A send in progress lacks the latest increments.
    await this.#sending;
    this.#sending ??= this.#send().finally(() => {
      this.#sending = null;
    });
    await this.#sending;
  }

  /** Flushes for the last time. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    await this.flush();
    // The first flush may have sent only a batch that had failed before.
    if (this.#touched.length > 0 && !this.#sealed) await this.flush();
  }

  #touch(count: Count): void {
    if (this.#touched.push(count) > 1) return;
    this.#firstCountAt = this.#clock.now();
    this.#schedule();
  }

  #schedule(): void {
    if (this.#timer || this.#closed) return;
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
    // The script expects the totals first, then the counts per minute.
    const counts = this.#touched.toSorted((a, b) => Number(a.byMinute) - Number(b.byMinute));
    const increments = counts.map(({ pending }) => pending);
    for (const count of counts) count.pending = 0;
    this.#touched = [];
    return { number: (this.#batches += 1), minute: Math.floor(this.#firstCountAt / MINUTE_MS), counts, increments };
  }

  async #send(): Promise<void> {
    // While disconnected, a worker's connection would queue the commands, and a producer's would refuse them.
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
      // The batch may have arrived: it is sent again under the same number, which the script adds only once.
    }
  }
}

export function createCount(field: string, { byMinute = false } = {}): Count {
  return { field, byMinute, pending: 0 };
}
