import { FleetError } from '../../../shared/errors.js';
import { checkInput } from '../../../shared/task/input.js';
import { type BoardAnswer, type BoardCall, queueNameOf, taskOf } from '../board-call.js';
import { delayedJobOf } from './promote.js';

/**
 * The input of a task that does not run, checked as that of a new one. What runs keeps the input that it was given.
 * @throws FleetError `FORBIDDEN`, `UNKNOWN_TASK`, `INVALID_INPUT`, `INPUT_TOO_LARGE`, `TASK_NOT_FOUND`
 */
export async function updateData(call: BoardCall): Promise<BoardAnswer> {
  const { definitions, maxBytes, request, store } = call;
  const { id, name, state } = await taskOf(call);
  if (state === 'running' || state === 'stopping') throw running(id);
  if (state === 'completed') throw new FleetError('FORBIDDEN', `Task ${id} has completed: its input tells with what.`);
  const { jobData } = request.body as { jobData?: unknown };
  const data = checkInput(definitions.find(name ?? ''), jobData, maxBytes);
  const [active, job] = store.queues.scriptKeys(queueNameOf(call), 'active', id) as [string, string];
  // A worker may have come to it since.
  if ((await store.redis.editInput(active, job, id, data)) === 0) throw running(id);
  return { status: 200, body: {} };
}

/** The time of a delayed task; not of a schedule's. @throws FleetError `TASK_NOT_FOUND`, `FORBIDDEN` */
export async function changeDelay(call: BoardCall): Promise<BoardAnswer> {
  await delayedJobOf(call);
  const { status = 200, body } = await call.proceed();
  return { status, body };
}

function running(id: string): FleetError {
  return new FleetError('FORBIDDEN', `Task ${id} runs: its input cannot be changed any more. Stop it, and enqueue another.`);
}
