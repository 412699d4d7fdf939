/**
 * The fields of `p:metrics:counters`: counter and labels, joined by `|`, which names of tasks and queues cannot contain.
 *
 * - `enqueued|<queue>|<name>`, `retried|<queue>|<name>`, `finished|<queue>|<name>|<outcome>`
 * - `wait|<queue>|<bucket>`, `run|<queue>|<name>|<bucket>`, `stop|<phase>|<bucket>`: the bucket is its upper bound in ms, `inf`,
 *   or `sum` for the sum of all values in whole ms; each value counts in one bucket
 * - `stops|<outcome>|<via>`, `repairs|<kind>`, `unreadable|<kind>`
 *
 * The fields of `p:metrics:minutes:<minute>`: `completed`, `failed`, `cancelled`, `stop|<narrow bucket>`, and for each queue
 * `in|<queue>`, its enqueued and retried tasks, and `out|<queue>`, its ended ones.
 *
 * The fields of `p:metrics:names:<step>:<slot>`, see {@link SERIES}: `finished|<name>|<outcome>`, and for the durations `run`, `wait` and
 * `stop`: `<duration>|<name>|<bucket>`.
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

/** Time series by task name, each with the duration of a slot and how long Redis keeps it. A slot is numbered since the epoch. */
export const SERIES = {
  '1m': { ms: 60_000, keptS: 2 * 3_600 },
  '10m': { ms: 600_000, keptS: 25 * 3_600 },
  '1h': { ms: 3_600_000, keptS: 8 * 24 * 3_600 },
} as const satisfies Record<string, { readonly ms: number; readonly keptS: number }>;

export type SeriesStep = keyof typeof SERIES;
export const SERIES_STEPS = Object.keys(SERIES) as SeriesStep[];

/** Durations of a task name: of its attempts, from due to the first start, and from a stop to the end. */
export const DURATIONS = ['run', 'wait', 'stop'] as const;
export type Duration = (typeof DURATIONS)[number];

/** Buckets per doubling in the series: each is twelve percent wide. */
const SERIES_BUCKETS = 6;
/** The bucket of about five weeks; longer durations count there. */
export const MAX_SERIES_BUCKET = 188;

/** Returns the bucket of a duration in the series. */
export function seriesBucketOf(ms: number): number {
  return ms <= 1 ? 0 : Math.min(MAX_SERIES_BUCKET, Math.ceil(SERIES_BUCKETS * Math.log2(ms)));
}

/** Returns the middle of a bucket of the series, in ms: within six percent of the durations in it. */
export function seriesBucketMs(bucket: number): number {
  return bucket === 0 ? 1 : 2 ** ((bucket - 0.5) / SERIES_BUCKETS);
}
