const UNITS = [
  { letter: 'd', ms: 86_400_000 },
  { letter: 'h', ms: 3_600_000 },
  { letter: 'm', ms: 60_000 },
  { letter: 's', ms: 1_000 },
] as const;

/** Formats an interval in the largest unit that divides it: `90s`, `5m`, `1h`. Null if it is not a whole number of seconds. */
export function wholeUnits(ms: number): string | null {
  const unit = UNITS.find((candidate) => ms % candidate.ms === 0);
  return unit ? `${ms / unit.ms}${unit.letter}` : null;
}

/** Tolerance for clock skew: a time further ahead than this lies in the future. */
const FUTURE_MS = 2_000;

/** Formats an age in its largest whole unit: `0s`, `45s`, `12m`, `3h`, `5d`; a time in the future as `in 59m (clock?)`. */
export function formatAge(ms: number): string {
  if (ms < -FUTURE_MS) return `in ${formatAge(-ms)} (clock?)`;
  const unit = UNITS.find((candidate) => ms >= candidate.ms);
  return unit ? `${Math.floor(ms / unit.ms)}${unit.letter}` : '0s';
}

/** Formats an age for a sentence: `12m ago`, or `in 59m (clock?)`. */
export function formatAgo(ms: number): string {
  return ms < -FUTURE_MS ? formatAge(ms) : `${formatAge(ms)} ago`;
}
