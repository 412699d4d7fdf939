import { FleetError } from '../../../shared/errors.js';
import { MAINTENANCE_QUEUE } from '../../../shared/task/builtin/index.js';
import { type BoardAnswer, type BoardCall, queueNameOf, queueOf } from '../board-call.js';
import { removeWaiting } from './remove.js';

/**
 * A whole queue with all that is kept of it; what waits is stopped first. Refused by force, with tasks that run or with
 * schedules: workers would lose the ground under their feet, and schedules their next tasks.
 * @throws FleetError `FORBIDDEN`
 */
export async function obliterate(call: BoardCall): Promise<BoardAnswer> {
  const name = queueNameOf(call);
  const queue = queueOf(call);
  const { force } = call.request.body as { force?: unknown };
  if (force !== undefined && force !== false)
    throw refused('Tasks that run cannot be obliterated by force: stop them, and wait until they have ended.');
  if (name === MAINTENANCE_QUEUE) throw refused("This is the fleet's own queue.");
  if (!(await queue.isPaused())) throw refused('Pause the queue first.');
  if ((await queue.getActiveCount()) > 0) throw refused('The queue has tasks that run: stop them, and wait until they have ended.');
  if ((await queue.getJobSchedulersCount()) > 0) throw refused('The queue has schedules: remove them first.');
  const outcome = await removeWaiting(call, await queue.getRanges(['wait', 'prioritized', 'delayed', 'waiting-children'], 0, -1));
  try {
    await queue.obliterate({ force: false });
  } catch (error) {
    // A worker that was about to fetch when the queue was paused.
    if ((await queue.getActiveCount()) > 0) throw refused('A task has begun to run meanwhile: stop it, and wait until it has ended.');
    throw error;
  }
  return { status: 200, body: {}, outcome };
}

function refused(why: string): FleetError {
  return new FleetError('FORBIDDEN', `The queue was not obliterated. ${why}`);
}
