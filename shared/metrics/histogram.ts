import { BOUNDS_MS, type HistogramName } from './buckets.js';
import { type Count, type Counters, createCount } from './counters.js';
import { INF, SUM, fieldOf } from './fields.js';

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
