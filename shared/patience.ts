import { setTimeout as delay } from 'node:timers/promises';

/** Waits until the work settles or the timeout expires, in ms. Never rejects, and does not cancel the work. */
export async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  const settled = new AbortController();
  await Promise.race([work.catch(() => undefined), delay(ms, undefined, { signal: settled.signal }).catch(() => undefined)]);
  settled.abort();
}
