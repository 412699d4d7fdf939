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
