const UNITS = [
  { letter: 'd', ms: 86_400_000 },
  { letter: 'h', ms: 3_600_000 },
  { letter: 'm', ms: 60_000 },
  { letter: 's', ms: 1_000 },
] as const;

/** An interval in the largest unit that it is a whole number of: `90s`, `5m`, `1h`. Null if that is smaller than a second. */
export function wholeUnits(ms: number): string | null {
  const unit = UNITS.find((one) => ms % one.ms === 0);
  return unit ? `${ms / unit.ms}${unit.letter}` : null;
}

/** From here on a time lies in the future, and not in the difference of two clocks that agree. */
const FUTURE_MS = 2_000;

/** How long ago something was, in its largest whole unit: `0s`, `45s`, `12m`, `3h`, `5d`. Of a time that is yet to come: `in 59m (clock?)`. */
export function formatAge(ms: number): string {
  if (ms < -FUTURE_MS) return `in ${formatAge(-ms)} (clock?)`;
  const unit = UNITS.find((one) => ms >= one.ms);
  return unit ? `${Math.floor(ms / unit.ms)}${unit.letter}` : '0s';
}

/** The same in a sentence: `12m ago`, or `in 59m (clock?)`. */
export function formatAgo(ms: number): string {
  return ms < -FUTURE_MS ? formatAge(ms) : `${formatAge(ms)} ago`;
}
