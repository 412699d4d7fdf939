import type { Job } from 'bullmq';
import { chunks } from '../../../shared/chunks.js';
import { FleetError } from '../../../shared/errors.js';
import { quote } from '../../../shared/keys.js';
import { isScheduledRun } from '../../../shared/schedule/schedule.js';
import { type BoardAnswer, type BoardCall, queueOf, taskOf } from '../board-call.js';

const AT_ONCE = 100;

/** @throws FleetError `TASK_NOT_FOUND`, `FORBIDDEN` for one that is not delayed, or is the next of a schedule */
export async function promoteJob(call: BoardCall): Promise<BoardAnswer> {
  const job = await delayedJobOf(call);
  if (!(await promote(job))) throw notDelayed(job.id as string);
  return { status: 204, body: {} };
}

/** All that are delayed, but the next tasks of schedules. */
export async function promoteAll(call: BoardCall): Promise<BoardAnswer> {
  const queue = queueOf(call);
  const ids = (await queue.getRanges(['delayed'], 0, -1)).filter((id) => !isScheduledRun(id));
  let promoted = 0;
  for (const some of chunks(ids, AT_ONCE)) {
    const moved = await Promise.all(some.map(async (id) => promote(await queue.getJob(id))));
    promoted += moved.filter(Boolean).length;
  }
  return { status: 200, body: {}, outcome: `${promoted} tasks` };
}

/**
 * The delayed job that a call is about. Not one of a schedule: BullMQ tells those by their times, and one that ran before
 * its time would leave the schedule without a next one, or with two.
 * @throws FleetError `TASK_NOT_FOUND`, `FORBIDDEN`
 */
export async function delayedJobOf(call: BoardCall): Promise<Job> {
  const { id } = await taskOf(call);
  const job = (await queueOf(call).getJob(id)) as Job | undefined;
  if (!job) throw new FleetError('TASK_NOT_FOUND', `No task ${quote(id)}: it never was, or it is no longer kept.`);
  if (isScheduledRun(id))
    throw new FleetError(
      'FORBIDDEN',
      `Task ${id} is of a schedule and runs at its time. Run the schedule now instead: that adds a task beside it.`,
    );
  if (await job.isDelayed()) return job;
  throw notDelayed(id);
}

/** False for one that is gone, or was not delayed any more. */
async function promote(job: Job | undefined): Promise<boolean> {
  try {
    await job?.promote();
    return job !== undefined;
  } catch (error) {
    if (job && !(await job.isDelayed())) return false;
    throw error;
  }
}

function notDelayed(id: string): FleetError {
  return new FleetError('FORBIDDEN', `Task ${id} is not delayed.`);
}
