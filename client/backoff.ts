/** The longest delay before a reconnection, in ms. */
const MAX_MS = 30_000;

/** Returns the delay before another attempt, in ms: exponential in the failures so far, with full jitter. */
export function backoff(failures: number, baseMs: number, random: () => number = Math.random): number {
  return random() * Math.min(MAX_MS, baseMs * 2 ** failures);
}
