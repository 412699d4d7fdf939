/** A value over time. */
export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
}

export interface Point {
  /** Time from the start of the load, in ms. */
  readonly atMs: number;
  readonly value: number;
}

/** The allowed growth of a series from the median of its second fifth to the median of its last fifth: the larger of both limits. */
export interface GrowthLimit {
  /** A share of the first median. */
  readonly share: number;
  /** An amount in the unit of the series. */
  readonly least: number;
  /** Whether a decrease is a problem too. */
  readonly exact?: boolean;
}

export interface Growth {
  readonly name: string;
  /** Median of the second fifth. */
  readonly before: number;
  /** Median of the last fifth. */
  readonly after: number;
  /** The upper limit of `after`. */
  readonly most: number;
  readonly grew: boolean;
}

/** Medians of fewer points are meaningless. */
const LEAST_POINTS = 3;

/**
 * Returns whether a series grew, null if it has too few points. Skips the first fifth, in which caches, compiled code and retained
 * tasks settle. Compares medians, since a peak during a fault is not growth.
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

/** Returns the median; of two middle values the lower one. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? Number.NaN;
}
