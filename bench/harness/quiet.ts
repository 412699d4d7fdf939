import { loadavg } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

/** From this load average of one minute on, something else uses the cores, or did just now. */
export const BUSY = 1;
const LOOK_MS = 5_000;
const PATIENCE_MS = 3 * 60_000;

/**
 * Waits until the load is under 1, for a run that is published: the load still counts the build and the preparation before it. Goes on after
 * three minutes, since the run states its load.
 */
export async function untilQuiet(
  say: (line: string) => void,
  { load = () => loadavg()[0] ?? 0, lookMs = LOOK_MS, patienceMs = PATIENCE_MS } = {},
): Promise<void> {
  const looks = Math.ceil(patienceMs / lookMs);
  for (let look = 0; look < looks; look += 1) {
    const now = load();
    if (now < BUSY) return;
    if (look === 0) say(`Waiting up to ${patienceMs / 1_000} s for a quiet machine: the load is ${now.toFixed(2)}`);
    await delay(lookMs);
  }
}
