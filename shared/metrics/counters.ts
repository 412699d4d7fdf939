import { uuidv7 } from 'uuidv7';
import type { FleetClock } from '../clock/fleet-clock.js';
import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { BOUNDS_MS, type HistogramName, INF, SERIES, SERIES_STEPS, SUM, fieldOf } from './fields.js';

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

/**
 * Where a count is added.
 * - `total`: the fleet's totals.
 * - `minute`: the fleet's current minute.
 * - `name`: the time series by task name.
 * - `duration`: as `name`, in two batches a minute, because durations have many fields.
 */
export type Scope = 'total' | 'minute' | 'name' | 'duration';

/** A counter of this process. Frequent callers keep it, so that counting is one addition. */
export interface Count {
  readonly field: string;
  readonly scope: Scope;
  /** Increments not yet sent. */
  pending: number;
}

export function createCount(field: string, scope: Scope = 'total'): Count {
  return { field, scope, pending: 0 };
}

/** The counts of one command. */
interface Batch {
  readonly number: number;
  /** The minute of its first count, in whole minutes since the epoch. */
  readonly minute: number;
  /** The totals first, then the counts of the minute, then those by name. */
  readonly counts: readonly Omit<Count, 'pending'>[];
  readonly increments: readonly number[];
}

const INTERVAL_MS = 1_000;
/** The interval of durations. */
const DURATIONS_MS = 30_000;
export const MINUTE_MS = 60_000;
const MINUTE_KEPT_S = 2 * 3_600;
/** Longer than any wait for an answer. */
const SOURCE_KEPT_S = 3_600;
/** Limit on the fields of a slot of the series: a hundred names have about half as many. */
const MOST_FIELDS = 5_000;
const ORDER: Readonly<Record<Scope, number>> = { total: 0, minute: 1, name: 2, duration: 2 };

/** Counts with pending increments, sent together. */
class Tally {
  #touched: Count[] = [];
  #firstAt = 0;

  get isEmpty(): boolean {
    return this.#touched.length === 0;
  }

  touch(count: Count, now: () => number): void {
    if (this.#touched.push(count) === 1) this.#firstAt = now();
  }

  /** Whether its first count was that long ago, or in an earlier minute. */
  isDue(intervalMs: number, now: number): boolean {
    return now - this.#firstAt >= intervalMs || minuteOf(now) !== minuteOf(this.#firstAt);
  }

  /** Takes the increments out. */
  seal(number: number): Batch {
    const counts = this.#touched.toSorted((a, b) => ORDER[a.scope] - ORDER[b.scope]);
    const increments = counts.map(({ pending }) => pending);
    for (const count of counts) count.pending = 0;
    this.#touched = [];
    return { number, minute: minuteOf(this.#firstAt), counts, increments };
  }
}

/**
 * Counters of the whole fleet. Each process batches its increments and adds them to the totals in Redis once a second and when
 * it closes. Counting never waits or fails. A crash loses the last second, and of the durations by name the last half minute;
 * increments made while Redis is unavailable are added once it is back.
 */
export class Counters {
  readonly #redis: ScriptedRedis;
  readonly #keys: Keys;
  readonly #clock: Pick<FleetClock, 'now'>;
  readonly #source = uuidv7();
  readonly #tally = new Tally();
  readonly #durations = new Tally();
  readonly #now = (): number => this.#clock.now();
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
  flush(): Promise<void> {
    return this.#flush(true);
  }

  /** Flushes for the last time. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    await this.flush();
  }

  #touch(count: Count): void {
    (count.scope === 'duration' ? this.#durations : this.#tally).touch(count, this.#now);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#timer || this.#closed) return;
    this.#timer = setTimeout(this.#onTime, INTERVAL_MS).unref();
  }

  readonly #onTime = (): void => {
    this.#timer = null;
    void this.#flush(false).then(() => {
      if (this.#sealed || !this.#tally.isEmpty || !this.#durations.isEmpty) this.#schedule();
    });
  };

  /** @param all whether to send durations before they are due */
  async #flush(all: boolean): Promise<void> {
    // A send in progress lacks the latest increments.
    await this.#sending;
    this.#sending ??= this.#send(all).finally(() => {
      this.#sending = null;
    });
    await this.#sending;
  }

  async #send(all: boolean): Promise<void> {
    // While disconnected, a worker's connection would queue the commands, and a producer's would refuse them.
    if (this.#redis.status !== 'ready') return;
    if (this.#sealed && !(await this.#deliver(this.#sealed))) return;
    const due = all || this.#durations.isDue(DURATIONS_MS, this.#now());
    for (const tally of due ? [this.#tally, this.#durations] : [this.#tally]) {
      if (tally.isEmpty) continue;
      this.#sealed = tally.seal((this.#batches += 1));
      if (!(await this.#deliver(this.#sealed))) return;
    }
  }

  /** Returns whether the batch has arrived. */
  async #deliver({ number, minute, counts, increments }: Batch): Promise<boolean> {
    const keys = this.#keys;
    const slots = SERIES_STEPS.map((step) => keys.series(step, String(Math.floor((minute * MINUTE_MS) / SERIES[step].ms))));
    const inScope = (scope: Scope): number => counts.filter((count) => count.scope === scope).length;
    try {
      await this.#redis.addCounts(
        ...[keys.counters, keys.minute(String(minute)), keys.countSource(this.#source), ...slots],
        ...[number, SOURCE_KEPT_S, MINUTE_KEPT_S, ...SERIES_STEPS.map((step) => SERIES[step].keptS), MOST_FIELDS],
        ...[inScope('total'), inScope('minute')],
        ...counts.flatMap(({ field }, index) => [field, increments[index] as number]),
      );
      this.#sealed = null;
      return true;
    } catch {
      // The batch may have arrived: it is sent again under the same number, which the script adds only once.
      return false;
    }
  }
}

function minuteOf(ms: number): number {
  return Math.floor(ms / MINUTE_MS);
}
