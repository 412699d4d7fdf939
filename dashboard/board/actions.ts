import type { Job } from 'bullmq';
import { FleetError, isFleetError } from '../../shared/errors.js';
import { quote } from '../../shared/keys.js';
import { chunks } from '../../shared/limits.js';
import { isScheduledRun } from '../../shared/schedule/schedule.js';
import { writeRemoval } from '../../shared/task/event-stream.js';
import { isTerminal } from '../../shared/task/state.js';
import type { TaskView } from '../../shared/task/view.js';
import { limitIn } from '../../shared/task/wait/waiting.js';
import { MAINTENANCE_QUEUE } from '../../worker/builtin/definitions.js';
import { limitText } from '../page/parts/waiting-text.js';
import { type BoardAnswer, type BoardCall, idsOn, queueNameOf, queueOf, requireOwnId, taskOf } from './board-call.js';
import { QueueLines } from './lines.js';

const AT_ONCE = 100;

/**
 * Retries a failed task the way producers do. BullMQ's own retry would also bring back a task that somebody stopped.
 * @throws FleetError `TASK_NOT_RETRYABLE`, `TASK_NOT_FOUND`, `FORBIDDEN`
 */
export async function retryJob(call: BoardCall): Promise<BoardAnswer> {
  const { id, state, stop } = await taskOf(call);
  if (state === 'cancelled') {
    const by = stop?.by ? ` by ${stop.by}` : '';
    throw new FleetError('TASK_NOT_RETRYABLE', `Task ${id} was stopped${by}. To run it again, retry it on its task page.`, {
      details: { state },
    });
  }
  await requireOwnId(call, queueNameOf(call), id);
  await call.producer.retry(id);
  return { status: 204, body: {} };
}

/** Retries all failed tasks of a queue, and leaves the stopped ones. @throws FleetError `TASK_NOT_RETRYABLE` for another state */
export async function retryAll(call: BoardCall): Promise<BoardAnswer> {
  const { store, producer, request } = call;
  const queue = queueNameOf(call);
  const state = String(request.params['queueStatus']);
  if (state !== 'failed') throw new FleetError('TASK_NOT_RETRYABLE', 'Only failed tasks can be retried.', { details: { state } });
  const ids = await queueOf(call).getRanges(['failed'], 0, -1);
  let retried = 0;
  for (const some of chunks(ids, AT_ONCE)) {
    const tasks = new Map<string, TaskView>();
    await store.reader.readOn(queue, some, tasks);
    const failed = some.filter((id) => tasks.get(id)?.state === 'failed');
    const results = await Promise.allSettled((await idsOn(call, queue, failed)).map((id) => producer.retry(id)));
    for (const result of results) {
      if (result.status === 'fulfilled') retried += 1;
      // Another caller may have retried or removed the task since it was read.
      else if (!isFleetError(result.reason, 'TASK_NOT_RETRYABLE', 'TASK_NOT_FOUND', 'INVALID_ID')) throw result.reason;
    }
  }
  // Not `skipped`: Bull Board's page would say that the data of the stopped tasks is lost.
  return { status: 200, body: { retried, skipped: 0 }, outcome: `${retried} of ${ids.length} tasks` };
}

/** @throws FleetError as {@link delayedJobOf} */
export async function promoteJob(call: BoardCall): Promise<BoardAnswer> {
  const job = await delayedJobOf(call);
  if (!(await promote(job))) throw notDelayed(job.id as string);
  return { status: 204, body: {} };
}

/** Promotes all delayed tasks of a queue, except the next tasks of schedules and those that wait for a limit. */
export async function promoteAll(call: BoardCall): Promise<BoardAnswer> {
  const queue = queueOf(call);
  const delayed = await new QueueLines(call.store, queueNameOf(call)).delayed(0, Number.MAX_SAFE_INTEGER - 1);
  const ids = delayed.filter((id) => !isScheduledRun(id));
  let promoted = 0;
  for (const some of chunks(ids, AT_ONCE)) {
    const moved = await Promise.all(some.map(async (id) => promote(await queue.getJob(id))));
    promoted += moved.filter(Boolean).length;
  }
  return { status: 200, body: {}, outcome: `${promoted} tasks` };
}

/** @throws FleetError as {@link delayedJobOf} */
export async function changeDelay(call: BoardCall): Promise<BoardAnswer> {
  await delayedJobOf(call);
  return call.proceed();
}

/** @throws FleetError `FORBIDDEN`, `NOT_FOUND` */
export async function pauseQueue(call: BoardCall): Promise<BoardAnswer> {
  if (queueNameOf(call) === MAINTENANCE_QUEUE)
    throw new FleetError('FORBIDDEN', "This is the fleet's own queue: while it is paused, nothing is repaired after a crash.");
  return call.proceed();
}

/** Resumes queues, and removes the records of pauses that this ends. */
export async function resumeQueues(call: BoardCall): Promise<BoardAnswer> {
  const answer = await call.proceed();
  await call.store.pauses.tend();
  return answer;
}

/** Pauses all queues except the fleet's own. */
export async function pauseAll({ request, store }: BoardCall): Promise<BoardAnswer> {
  const names = [...request.queues.keys()].filter((name) => name !== MAINTENANCE_QUEUE);
  await Promise.all(names.map((name) => store.queues.get(name).pause()));
  return { status: 200, body: {}, outcome: `${names.length} queues` };
}

/**
 * Removes one task. A queued task is stopped first: so it leaves the registry, and its waiters hear of the end. A running task is
 * stopped only (202), and can be removed once it has ended.
 * @throws FleetError `TASK_NOT_FOUND`, `FORBIDDEN`
 */
export async function removeJob(call: BoardCall): Promise<BoardAnswer> {
  const { producer, principal, store } = call;
  const { id, state } = await taskOf(call);
  if (!isTerminal(state)) {
    await requireOwnId(call, queueNameOf(call), id);
    const { outcome } = await producer.stop(id, { by: principal.name, reason: 'Removed on the board' });
    if (outcome === 'requested') return { status: 202, body: {}, outcome: 'stop requested' };
    // A waiter may look only after the job is gone.
    await Promise.all(writeRemoval(store.redis, store.keys.events(id), 'cancelled'));
  }
  const removed = await queueOf(call).remove(id);
  if (removed === 0) throw new FleetError('FORBIDDEN', `Task ${id} has started in the meantime: stop it first.`);
  return { status: 204, body: {}, outcome: 'removed' };
}

/**
 * Returns the delayed job in the path. Not the next job of a schedule: BullMQ tells these by their times, and a run before its time
 * would leave the schedule without a next job, or with two. Not a task that waits for a limit: its start would put it in line again.
 * @throws FleetError `TASK_NOT_FOUND`, `FORBIDDEN`
 */
async function delayedJobOf(call: BoardCall): Promise<Job> {
  const { id, waitingFor } = await taskOf(call);
  const limit = limitIn(waitingFor);
  const job = (await queueOf(call).getJob(id)) as Job | undefined;
  if (!job) throw new FleetError('TASK_NOT_FOUND', `Task ${quote(id)} not found: it never existed or its retention has expired.`);
  if (isScheduledRun(id))
    throw new FleetError(
      'FORBIDDEN',
      `Task ${id} belongs to a schedule and runs at its time. Run the schedule now: ${call.root}/schedules`,
    );
  if (limit !== null)
    throw new FleetError('FORBIDDEN', `Task ${id} waits for ${limitText(limit)}. Raise the limit instead: ${call.root}/limits`);
  if (await job.isDelayed()) return job;
  throw notDelayed(id);
}

/** Returns false for a job that is gone, or no longer delayed. */
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
