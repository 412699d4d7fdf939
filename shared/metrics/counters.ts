import { uuidv7 } from 'uuidv7';
import type { FleetClock } from '../clock/fleet-clock.js';
import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';

/**
 * The fields of `p:metrics:counters`: counter and labels, joined by `|`, which names of tasks and queues cannot contain.
 *
 * - `enqueued|<queue>|<name>`, `retried|<queue>|<name>`, `finished|<queue>|<name>|<outcome>`
 * - `wait|<queue>|<bucket>`, `run|<queue>|<name>|<bucket>`, `stop|<phase>|<bucket>`: the bucket is its upper bound in ms, `inf`,
 *   or `sum` for the sum of all values in whole ms; each value counts in one bucket
 * - `stops|<outcome>|<via>`, `repairs|<kind>`, `unreadable|<kind>`
 *
 * The fields of `p:metrics:minutes:<minute>`: `completed`, `failed`, `cancelled`, and `stop|<narrow bucket>`.
 */
const COUNTED = ['enqueued', 'retried', 'finished', 'wait', 'run', 'stop', 'stops', 'repairs', 'unreadable'] as const;
export type Counted = (typeof COUNTED)[number];

const SEPARATOR = '|';
/** Label of the sum of all values, in place of a bucket. */
export const SUM = 'sum';
/** Label of the last bucket. */
export const INF = 'inf';
/** Label of task names without a definition. */
export const UNKNOWN = 'unknown';

export function fieldOf(counted: Counted, ...labels: readonly (string | number)[]): string {
  return [counted, ...labels].join(SEPARATOR);
}

/** Parses a field into counter and labels; null for a field that this version does not know. */
export function parseField(field: string): { readonly counted: Counted; readonly labels: readonly string[] } | null {
  const [first, ...labels] = field.split(SEPARATOR);
  const counted = COUNTED.find((name) => name === first);
  return counted ? { counted, labels } : null;
}

/** Upper bounds of each histogram's buckets, in ms. Longer durations count as `inf`. */
export const BOUNDS_MS = {
  wait: [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000],
  run: [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000],
  stop: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000],
} as const satisfies Record<string, readonly number[]>;

export type HistogramName = keyof typeof BOUNDS_MS;

/** Narrow buckets per doubling: each bucket is six percent wide. */
const STEPS = 12;

/** Returns the narrow bucket of a duration, for percentiles within a minute: few of these buckets are ever used. */
export function narrowBucketOf(ms: number): number {
  return ms <= 1 ? 0 : Math.ceil(STEPS * Math.log2(ms));
}

/** Returns the upper bound of a narrow bucket, in ms. */
export function narrowBucketMs(bucket: number): number {
  return 2 ** (bucket / STEPS);
}

/** A histogram of durations with one set of labels. */
export class Histogram {
  readonly #counters: Counters;
  readonly #bounds: readonly number[];
  /** One per bound, and one for longer durations. */
  readonly #buckets: readonly Count[];
  readonly #sum: Count;

  constructor(counters: Counters, name: HistogramName, ...labels: readonly string[]) {
    this.#counters = counters;
    this.#bounds = BOUNDS_MS[name];
    this.#buckets = [...this.#bounds, INF].map((bucket) => createCount(fieldOf(name, ...labels, bucket)));
    this.#sum = createCount(fieldOf(name, ...labels, SUM));
  }

  /** Counts a duration. A negative one, from clocks that disagree, counts as 0. */
  observe(ms: number): void {
    const value = Math.max(0, Math.round(ms));
    let bucket = 0;
    while (bucket < this.#bounds.length && value > (this.#bounds[bucket] as number)) bucket += 1;
    this.#counters.increase(this.#buckets[bucket] as Count);
    this.#counters.increase(this.#sum, value);
  }
}

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
