import type { BullBoardRequest } from '@bull-board/api/typings/app';
import type { Queue } from 'bullmq';
import type { Producer } from '../../producer/index.js';
import { FleetError } from '../../shared/errors.js';
import { quote } from '../../shared/keys.js';
import type { Store } from '../../shared/store.js';
import type { TaskView } from '../../shared/task/view.js';
import type { Principal } from '../auth/principal.js';

/** A write on the board, and its caller. */
export interface BoardCall {
  readonly producer: Producer;
  readonly store: Store;
  readonly principal: Principal;
  /** Path of the dashboard, without a slash at its end. */
  readonly root: string;
  readonly request: BullBoardRequest;
  /** Runs Bull Board's own handler. @throws FleetError if Bull Board refuses */
  readonly proceed: () => Promise<BoardAnswer>;
}

export interface BoardAnswer {
  readonly status: number;
  readonly body: unknown;
  /** For the audit, in a word or two. */
  readonly outcome?: string;
}

/** Returns the name of the queue in the path. @throws FleetError `NOT_FOUND` */
export function queueNameOf({ request: { queues, params } }: BoardCall): string {
  const name = String(params['queueName']);
  if (queues.has(name)) return name;
  throw new FleetError('NOT_FOUND', `No queue ${quote(name)}.`);
}

/** @throws FleetError `NOT_FOUND` */
export function queueOf(call: BoardCall): Queue {
  return call.store.queues.get(queueNameOf(call));
}

/** Returns the task in the path, as the queue in the path has it. @throws FleetError `TASK_NOT_FOUND`, `NOT_FOUND` */
export async function taskOf(call: BoardCall): Promise<TaskView> {
  const queue = queueNameOf(call);
  const id = String(call.request.params['jobId']);
  const found = new Map<string, TaskView>();
  await call.store.reader.readOn(queue, [id], found);
  const task = found.get(id);
  if (task) return task;
  throw new FleetError('TASK_NOT_FOUND', `Task ${quote(id)} not found on queue ${queue}: it never existed or its retention has expired.`);
}

/**
 * Returns those of the ids that mean tasks of this queue to a producer. Plain BullMQ numbers the jobs of each queue from 1:
 * a call by such an id could reach the job of another queue.
 */
export async function idsOn({ store }: BoardCall, queue: string, ids: readonly string[]): Promise<string[]> {
  const { byQueue } = await store.reader.locate(ids);
  return byQueue.get(queue) ?? [];
}

/** @throws FleetError `FORBIDDEN` if a producer would take the id for the task of another queue */
export async function requireOwnId(call: BoardCall, queue: string, id: string): Promise<void> {
  if ((await idsOn(call, queue, [id])).length > 0) return;
  throw new FleetError('FORBIDDEN', `Another queue has a task ${quote(id)} too, and the call would reach that task.`);
}
