import { setTimeout as delay } from 'node:timers/promises';
import { isRefusal } from '../../shared/redis/reply-errors.js';

const FIRST_DELAY_MS = 50;
const LONGEST_DELAY_MS = 1_000;

/** Returns the backoff after a number of consecutive refusals, in ms. */
export function refusalDelay(refusals: number): number {
  return Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(refusals - 1, 16));
}

/**
 * Retries `attempt` while Redis refuses it. Settles with the first attempt that is not refused: at the latest with the error of a closed
 * connection.
 * @param onRefused called before each wait, with Redis' error and the number of refusals
 */
export async function untilAccepted<Result>(
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
