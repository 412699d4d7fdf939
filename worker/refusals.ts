import { setTimeout as delay } from 'node:timers/promises';

/**
 * What Redis says when it does not carry out a command now and may do so later: it is a replica, without its master, its
 * replicas or a part of the cluster, loads its data, cannot write to its disk, has no memory left, is in a script. UNBLOCKED
 * ends what waits when it becomes a replica.
 */
const CODES = ['READONLY', 'UNBLOCKED', 'MASTERDOWN', 'NOREPLICAS', 'CLUSTERDOWN', 'TRYAGAIN', 'LOADING', 'MISCONF', 'OOM', 'BUSY'];
/** Up to Redis 6.2 what a command in a script was refused with comes at the end of an error of the script. */
const REFUSAL = new RegExp(`^(?:ERR Error running script .*: -)?(?:${CODES.join('|')})\\b`);

const FIRST_DELAY_MS = 50;
const LONGEST_DELAY_MS = 1_000;

/** Whether Redis refused a command, and did nothing of it. A script is refused at its first write. */
export function isRefusal(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError' && REFUSAL.test(error.message);
}

/** How long to wait after so many refusals in a row, the first of them 1; in ms. */
export function refusalDelay(refusals: number): number {
  return Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(refusals - 1, 16));
}

/**
 * Tries again as long as Redis refuses it. Ends as the first attempt that is not refused does: with the error of a
 * connection that was closed, at the latest.
 * @param onRefused called before each wait, with what Redis said and how often it has
 */
export async function untilTaken<Result>(attempt: () => Promise<Result>, onRefused?: (error: Error, refusals: number) => void): Promise<Result> {
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
