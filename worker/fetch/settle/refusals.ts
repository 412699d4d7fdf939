import { setTimeout as delay } from 'node:timers/promises';
import { isRefusal } from '../../../shared/redis/reply-errors.js';
import { BackOff } from '../../../shared/time.js';

const FIRST_DELAY_MS = 50;
const LONGEST_DELAY_MS = 1_000;

/** Makes the backoff for commands that Redis refuses. */
export function refusalBackOff(): BackOff {
  return new BackOff(FIRST_DELAY_MS, LONGEST_DELAY_MS);
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
  // Made at the first refusal: each task that ends comes by here.
  for (let backOff: BackOff | null = null; ;) {
    try {
      return await attempt();
    } catch (error) {
      if (!isRefusal(error)) throw error;
      backOff ??= refusalBackOff();
      const waitMs = backOff.next();
      onRefused?.(error, backOff.failures);
      await delay(waitMs);
    }
  }
}
