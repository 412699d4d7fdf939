import type { Ratio, Row } from './suite.js';

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Returns a quantile, between the two nearest values if it is neither; NaN for no values. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const [below = Number.NaN, above = below] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return below + (above - below) * (at - Math.floor(at));
}

/** Splits samples, in their order, into equal rounds and returns a quantile of each: a latency then has a value for each round. */
export function quantileByRound(samples: readonly number[], rounds: number, q: number): number[] {
  const size = samples.length / Math.max(1, Math.min(rounds, samples.length));
  return Array.from({ length: Math.round(samples.length / size) }, (_, round) =>
    quantile(samples.slice(Math.round(round * size), Math.round((round + 1) * size)), q),
  );
}

/** The ratio of two sides over all rounds. */
export interface RatioValue {
  /** The median of the ratios of the rounds, or the ratio of the medians if the sides have different numbers of rounds. */
  readonly value: number;
  readonly lowest: number;
  readonly highest: number;
  /** The interquartile range of the rounds, relative to the median; 0 for a single round. */
  readonly spread: number;
}

/** Returns a ratio of a row, or null if it has no such sides or they are empty. */
export function ratioOf({ sides }: Row, { of, to }: Ratio): RatioValue | null {
  const [above = [], below = []] = [sides[of], sides[to]];
  if (above.length === 0 || below.length === 0) return null;
  const paired = above.length === below.length;
  const ratios = paired ? above.map((value, round) => value / (below[round] as number)) : [median(above) / median(below)];
  const value = median(ratios);
  return {
    value,
    lowest: Math.min(...ratios),
    highest: Math.max(...ratios),
    spread: (quantile(ratios, 0.75) - quantile(ratios, 0.25)) / value,
  };
}
