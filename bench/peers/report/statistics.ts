/** One measured value. */
export interface Sample {
  readonly peer: string;
  readonly metric: string;
  readonly round: number;
  readonly value: number;
}

export interface Summary {
  readonly count: number;
  readonly median: number;
  readonly p99: number;
  readonly min: number;
  readonly max: number;
}

/** Returns the nearest-rank quantile; the mean of the two middle values for the median of an even number. NaN for no values. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length / 2;
  if (q === 0.5 && sorted.length > 0 && Number.isInteger(half)) return ((sorted[half - 1] as number) + (sorted[half] as number)) / 2;
  return sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)] ?? Number.NaN;
}

/** Summarizes the values of one peer and metric; null if there are none. */
export function summarize(samples: readonly Sample[], peer: string, metric: string): Summary | null {
  const values = samples.filter((sample) => sample.peer === peer && sample.metric === metric).map(({ value }) => value);
  if (values.length === 0) return null;
  return {
    count: values.length,
    median: quantile(values, 0.5),
    p99: quantile(values, 0.99),
    min: Math.min(...values),
    max: Math.max(...values),
  };
}
