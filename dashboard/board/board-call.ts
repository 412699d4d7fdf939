import type { BullBoardRequest, ControllerHandlerReturnType } from '@bull-board/api/typings/app';
import type { Queue } from 'bullmq';
import type { Producer } from '../../producer/index.js';
import { FleetError } from '../../shared/errors.js';
import { quote } from '../../shared/keys.js';
import type { Store } from '../../shared/store.js';
import type { JobAddress } from '../../shared/task/options-record.js';
import type { TaskView } from '../../shared/task/view.js';
import type { KnownDefinitions } from '../api/known-definitions.js';
import type { Principal } from '../auth/principal.js';

/** A request of the board's page, as Bull Board and its hooks get it, and who makes it. */
export interface BoardRequest extends BullBoardRequest {
  readonly principal: Principal;
}

/** What an action of the board works with. */
export interface BoardCall {
  readonly producer: Producer;
  readonly store: Store;
  readonly definitions: KnownDefinitions;
  /** In bytes: the longest body, and so the longest input. */
  readonly maxBytes: number;
  readonly principal: Principal;
  readonly request: BoardRequest;
  /** What Bull Board itself would do. */
  readonly proceed: () => Promise<ControllerHandlerReturnType>;
  /** A job, as the board shows it. */
  readonly show: (job: JobAddress) => Promise<unknown>;
}

export interface BoardAnswer {
  readonly status: number;
  readonly body: unknown;
  /** For the audit: in a word or two. */
  readonly outcome?: string;
}

/** The name of the queue that a call is about. @throws FleetError `NOT_FOUND` */
export function queueNameOf({ request: { queues, params } }: BoardCall): string {
  const name = String(params['queueName']);
  if (queues.has(name)) return name;
  throw new FleetError('NOT_FOUND', `No queue ${quote(name)}.`);
}

/** @throws FleetError `NOT_FOUND` */
export function queueOf(call: BoardCall): Queue {
  return call.store.queues.get(queueNameOf(call));
}

/** The task of the job that a call is about: on this queue, whichever others know its id. @throws FleetError `TASK_NOT_FOUND`, `NOT_FOUND` */
export async function taskOf(call: BoardCall): Promise<TaskView> {
  const queue = queueNameOf(call);
  const id = String(call.request.params['jobId']);
  const found = new Map<string, TaskView>();
  await call.store.reader.readOn(queue, [id], found);
  const task = found.get(id);
  if (task) return task;
  throw new FleetError('TASK_NOT_FOUND', `No task ${quote(id)} on queue ${queue}: it never was, or it is no longer kept.`);
}

/**
 * The ids that mean tasks of this queue to a producer. Those that plain BullMQ gives are numbers, which another queue may
 * have too: what is done to a task by its id would be done to the other one.
 */
export async function idsOn({ store }: BoardCall, queue: string, ids: readonly string[]): Promise<string[]> {
  const { byQueue } = await store.reader.locate(ids);
  return byQueue.get(queue) ?? [];
}

/** @throws FleetError `FORBIDDEN` if another queue's task has this id */
export async function checkMeans(call: BoardCall, queue: string, id: string): Promise<void> {
  if ((await idsOn(call, queue, [id])).length > 0) return;
  throw new FleetError('FORBIDDEN', `Another queue has a task ${quote(id)} too, and it would be meant.`);
}
