import { setTimeout as delay } from 'node:timers/promises';

/** Resolves when the work is over, however it ended, or after so many ms: the work goes on then. */
export async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  const over = new AbortController();
  await Promise.race([work.catch(() => undefined), delay(ms, undefined, { signal: over.signal }).catch(() => undefined)]);
  over.abort();
}
