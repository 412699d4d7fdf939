import type { JobType } from 'bullmq';
import { FleetError } from '../../../shared/errors.js';
import { quote } from '../../../shared/keys.js';
import { isScheduledRun } from '../../../shared/schedule/schedule.js';
import { type BoardAnswer, type BoardCall, queueOf } from '../board-call.js';
import { removeWaiting, stopTasks } from './remove.js';

/** What BullMQ calls the jobs that wait for a worker. */
const WAITING: readonly JobType[] = ['wait', 'prioritized', 'waiting-children'];
/** Bull Board leaves what ended within so many ms. */
const GRACE_MS = 5_000;

/**
 * All jobs of a queue in one state. What runs is asked to stop; what waits is stopped, and removed. The next task of a
 * schedule stays: without it the schedule would not go on.
 * @throws FleetError `BAD_REQUEST`
 */
export async function cleanQueue(call: BoardCall): Promise<BoardAnswer> {
  const status = String(call.request.params['queueStatus']);
  const queue = queueOf(call);
  switch (status) {
    case 'completed':
    case 'failed': {
      const removed = await queue.clean(GRACE_MS, Number.MAX_SAFE_INTEGER, status);
      return done(`${removed.length} removed`);
    }
    case 'active': {
      const { cancelled, requested } = await stopTasks(call, await queue.getRanges(['active'], 0, -1), 'Cleaned on the board');
      return done(`${cancelled.length + requested} asked to stop`);
    }
    case 'delayed':
      return done(
        await removeWaiting(
          call,
          (await queue.getRanges(['delayed'], 0, -1)).filter((id) => !isScheduledRun(id)),
        ),
      );
    case 'wait':
    case 'waiting':
      return done(await removeWaiting(call, await queue.getRanges(['wait'], 0, -1)));
    case 'prioritized':
    case 'waiting-children':
      return done(await removeWaiting(call, await queue.getRanges([status], 0, -1)));
    default:
      throw new FleetError(
        'BAD_REQUEST',
        `Bad state: expected completed, failed, active, delayed, waiting or prioritized, got ${quote(status)}.`,
      );
  }
}

/** All jobs that wait for a worker now; those with a delay stay, as with BullMQ. */
export async function emptyQueue(call: BoardCall): Promise<BoardAnswer> {
  return done(await removeWaiting(call, await queueOf(call).getRanges([...WAITING], 0, -1)));
}

function done(outcome: string): BoardAnswer {
  return { status: 200, body: {}, outcome };
}
