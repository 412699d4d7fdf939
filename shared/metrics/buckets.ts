/** Upper bounds of the buckets of each histogram, in ms. What is longer than the last one counts as `inf`. */
export const BOUNDS_MS = {
  wait: [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000],
  run: [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000],
  stop: [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000],
} as const satisfies Record<string, readonly number[]>;

export type HistogramName = keyof typeof BOUNDS_MS;

/** Of the buckets below: each is a twelfth of a doubling wide, which is six percent. */
const STEPS = 12;

/** A narrow bucket, for percentiles of what happened within a minute: few of them are ever used. */
export function narrowBucketOf(ms: number): number {
  return ms <= 1 ? 0 : Math.ceil(STEPS * Math.log2(ms));
}

/** What a duration in a narrow bucket is at most, in ms. */
export function narrowBucketMs(bucket: number): number {
  return 2 ** (bucket / STEPS);
}
