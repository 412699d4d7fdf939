/** Stands for a value that does not exist. */
export const NONE = '–';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Formats a rate: `0.05`, `4.2`, `1,204`. */
export function rateText(perMinute: number): string {
  return perMinute.toLocaleString('en', { maximumFractionDigits: perMinute < 1 ? 2 : perMinute < 100 ? 1 : 0 });
}

/** Formats a percentile in one unit, to two or three digits: `4.2 ms`, `840 ms`, `75 s`, `3.4 min`, `2.5 h`. */
export function timeText(ms: number | null): string {
  if (ms === null) return NONE;
  const [unit, text] = ms < SECOND ? [1, 'ms'] : ms < 2 * MINUTE ? [SECOND, 's'] : ms < 2 * HOUR ? [MINUTE, 'min'] : [HOUR, 'h'];
  const value = ms / unit;
  return `${value.toLocaleString('en', { maximumFractionDigits: value < 10 ? 1 : 0 })} ${text}`;
}
