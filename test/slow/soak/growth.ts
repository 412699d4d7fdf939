/** A figure over time. */
export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
}

export interface Point {
  /** From the beginning of the load, in ms. */
  readonly atMs: number;
  readonly value: number;
}

/** What a series may grow by, from the median of the second to that of the last fifth of its time: the larger of both. */
export interface GrowthLimit {
  /** Of the median of the second fifth. */
  readonly share: number;
  /** In the unit of the series. */
  readonly least: number;
  /** Whether less than before is as wrong as more. */
  readonly exact?: boolean;
}

export interface Growth {
  readonly name: string;
  /** Median of the second fifth. */
  readonly before: number;
  /** Median of the last fifth. */
  readonly after: number;
  /** What `after` may be at most. */
  readonly most: number;
  readonly grew: boolean;
}

/** Medians of fewer points say nothing. */
const LEAST_POINTS = 3;

/**
 * Whether a series grew. The first fifth of its time is left to what settles: caches, compiled code, tasks that are kept
 * for a while. Medians, as what happens in a fault is no growth.
 * @returns null if it has too few points to tell
 */
export function growthOf({ name, points }: Series, { share, least, exact = false }: GrowthLimit): Growth | null {
  const [from = 0, to = 0] = [points[0]?.atMs, points.at(-1)?.atMs];
  const fifth = (to - from) / 5;
  const within = (start: number, end: number): number[] =>
    points.filter(({ atMs }) => atMs >= start && atMs <= end).map(({ value }) => value);
  const [early, late] = [within(from + fifth, from + 2 * fifth), within(from + 4 * fifth, to)];
  if (early.length < LEAST_POINTS || late.length < LEAST_POINTS) return null;
  const [before, after] = [median(early), median(late)];
  const most = before + Math.max(share * before, least);
  return { name, before, after, most, grew: after > most || (exact && after < before) };
}

/** The lower one of two in the middle: a value that was seen. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? Number.NaN;
}
