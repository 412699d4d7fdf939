import type { QueueView, TaskView, WorkerView } from '../../producer/index.js';
import { isFleetError } from '../../shared/errors.js';
import type { FleetClient } from '../client/client.js';

/** What `top` shows of a fleet. */
export interface FleetStatus {
  /** Null if the caller may not see them. */
  readonly queues: readonly QueueView[] | null;
  /** The live workers; null if the caller may not see them. */
  readonly workers: readonly WorkerView[] | null;
  /** The tasks that run, the longest-running first. */
  readonly running: readonly TaskView[];
  /** Whether more tasks run than are listed. */
  readonly isCut: boolean;
}

/** The most running tasks that are read. */
const MAX_RUNNING = 200;

export async function readStatus(client: FleetClient): Promise<FleetStatus> {
  const [queues, workers, { tasks, next }] = await Promise.all([
    ifPermitted(client.queues.list()),
    ifPermitted(client.workers.list()),
    client.list({ state: ['running', 'stopping'], order: 'oldest', limit: MAX_RUNNING }),
  ]);
  return {
    queues,
    workers: workers?.filter(({ alive }) => alive) ?? null,
    running: tasks.toSorted((a, b) => (a.startedAt?.getTime() ?? 0) - (b.startedAt?.getTime() ?? 0)),
    isCut: next !== null,
  };
}

/** A token with item patterns sees its tasks, but not the fleet. */
async function ifPermitted<Value>(read: Promise<Value>): Promise<Value | null> {
  try {
    return await read;
  } catch (error) {
    if (isFleetError(error, 'FORBIDDEN')) return null;
    throw error;
  }
}
