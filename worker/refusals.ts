import { setTimeout as delay } from 'node:timers/promises';
import { isRefusal } from '../shared/redis/refusals.js';

const FIRST_DELAY_MS = 50;
const LONGEST_DELAY_MS = 1_000;

/** How long to wait after so many refusals in a row, the first of them 1; in ms. */
export function refusalDelay(refusals: number): number {
  return Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(refusals - 1, 16));
}

/**
 * Tries again as long as Redis refuses it. Ends as the first attempt that is not refused does: with the error of a
 * connection that was closed, at the latest.
 * @param onRefused called before each wait, with what Redis said and how often it has
 */
export async function untilTaken<Result>(
  attempt: () => Promise<Result>,
  onRefused?: (error: Error, refusals: number) => void,
): Promise<Result> {
  for (let refusals = 1; ; refusals += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!isRefusal(error)) throw error;
      onRefused?.(error, refusals);
      await delay(refusalDelay(refusals));
    }
  }
}
