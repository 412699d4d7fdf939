import { seriesBucketMs } from '../../shared/metrics/fields.js';

/** Durations in the buckets of a series, as pairs: bucket, count, bucket, count … */
export type Buckets = readonly number[];

/** Merges durations, and returns percentiles accurate to six percent. */
export class DurationTally {
  readonly #counts = new Map<number, number>();
  #total = 0;

  add(buckets: Buckets): void {
    for (let index = 0; index + 1 < buckets.length; index += 2) {
      const [bucket, count] = [buckets[index] as number, buckets[index + 1] as number];
      this.#counts.set(bucket, (this.#counts.get(bucket) ?? 0) + count);
      this.#total += count;
    }
  }

  get count(): number {
    return this.#total;
  }

  /** Returns nearest-rank percentiles in ms; null without durations. */
  percentiles<const Percents extends readonly number[]>(...percents: Percents): { [Index in keyof Percents]: number | null } {
    const sorted = [...this.#counts].toSorted(([a], [b]) => a - b);
    return percents.map((percent) => {
      let left = Math.ceil((percent * this.#total) / 100);
      for (const [bucket, count] of sorted) {
        left -= count;
        if (left <= 0) return Math.round(seriesBucketMs(bucket) * 10) / 10;
      }
      return null;
    }) as { [Index in keyof Percents]: number | null };
  }
}
