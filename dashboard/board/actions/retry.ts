import { chunks } from '../../../shared/chunks.js';
import { FleetError, isFleetError } from '../../../shared/errors.js';
import type { TaskView } from '../../../shared/task/view.js';
import { type BoardAnswer, type BoardCall, checkMeans, idsOn, queueNameOf, queueOf, taskOf } from '../board-call.js';

const AT_ONCE = 100;

/** One task that failed; not one that somebody stopped. @throws FleetError `TASK_NOT_RETRYABLE`, `TASK_NOT_FOUND`, `FORBIDDEN` */
export async function retryJob(call: BoardCall): Promise<BoardAnswer> {
  const task = await taskOf(call);
  if (task.state === 'cancelled')
    throw new FleetError('TASK_NOT_RETRYABLE', `${stoppedBy(task)} Bring it back from its task page, if that is what you want.`, {
      details: { state: task.state },
    });
  await checkMeans(call, queueNameOf(call), task.id);
  await call.producer.retry(task.id);
  return { status: 204, body: {} };
}

/** All that failed on a queue, and not what was stopped. */
export async function retryAll(call: BoardCall): Promise<BoardAnswer> {
  const { store, producer, request } = call;
  const queue = queueNameOf(call);
  const status = String(request.params['queueStatus']);
  if (status !== 'failed')
    throw new FleetError('TASK_NOT_RETRYABLE', 'Only what has failed can be retried.', { details: { state: status } });
  const ids = await queueOf(call).getRanges(['failed'], 0, -1);
  let retried = 0;
  for (const some of chunks(ids, AT_ONCE)) {
    const tasks = new Map<string, TaskView>();
    await store.reader.readOn(queue, some, tasks);
    const failed = some.filter((id) => tasks.get(id)?.state === 'failed');
    const results = await Promise.allSettled((await idsOn(call, queue, failed)).map((id) => producer.retry(id)));
    for (const result of results) {
      if (result.status === 'fulfilled') retried += 1;
      // Somebody else may have retried or removed it meanwhile.
      else if (!isFleetError(result.reason, 'TASK_NOT_RETRYABLE', 'TASK_NOT_FOUND', 'INVALID_ID')) throw result.reason;
    }
  }
  return { status: 200, body: { retried, skipped: ids.length - retried }, outcome: `${retried} of ${ids.length} tasks` };
}

function stoppedBy({ id, stop }: TaskView): string {
  const by = stop?.by ? ` by ${stop.by}` : '';
  return `Task ${id} was stopped${by}.`;
}
