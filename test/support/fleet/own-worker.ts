import type { Producer, TaskView } from '../../../producer/index.js';
import type { FleetWorker } from '../../../worker/index.js';
import type { TestFleet } from './test-fleet.js';

/** A worker for one test, and a producer with the same prefix. */
export interface OwnWorker {
  readonly prefix: string;
  readonly producer: Producer;
  readonly worker: FleetWorker;
}

/** Starts a worker that takes tasks. @param handlers, config as of `TestFleet.worker` */
export async function ownWorker(
  fleet: TestFleet,
  handlers: Parameters<TestFleet['worker']>[1],
  config: Parameters<TestFleet['worker']>[2] = {},
): Promise<OwnWorker> {
  const prefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix: prefix });
  const worker = await fleet.worker(prefix, handlers, config);
  return { prefix, producer, worker };
}

/** Resolves with a task in its final state. */
export async function endOf(producer: Producer, id: string): Promise<TaskView> {
  await producer.result(id).catch(() => undefined);
  return (await producer.get(id)) as TaskView;
}
