/** Formats a duration for people: `8.5 ms`, `850 ms`, `12.3 s`, `4 min 05 s`. */
export function formatMs(ms: number): string {
  // At each threshold, rounding would reach the next unit.
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
}
