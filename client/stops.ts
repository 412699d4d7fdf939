import type { Receipt } from './bodies.js';
import type { Connection } from './connection.js';
import { TaskFinishedError, TaskNotFoundError } from './error-classes.js';
import { pathOf } from './events.js';

export interface StopOptions {
  /** Stored with the task and passed to its handler. */
  readonly reason?: string | undefined;
  /** How long to wait for running tasks to settle, in ms, 0 to 60,000. Default 0. */
  readonly waitMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Stops a task; one that had ended, or does not exist, has a receipt that says so. */
export async function stopTask(connection: Connection, id: string, options: StopOptions): Promise<Receipt> {
  try {
    return await postStop<Receipt>(connection, pathOf(id), options);
  } catch (error) {
    if (error instanceof TaskFinishedError && error.problem?.receipt) return error.problem.receipt;
    if (!(error instanceof TaskNotFoundError)) throw error;
    return {
      ...{ id, outcome: 'not_found', ended_as: null, via: null, reason: null, by: null },
      ...{ requested_at: null, settled_at: null, latency_ms: null },
    };
  }
}

export function postStop<Body>(connection: Connection, path: string, { waitMs = 0, signal, ...body }: StopOptions): Promise<Body> {
  return connection.request('POST', `${path}/stop`, { query: { wait_ms: waitMs }, body, signal, extraMs: waitMs });
}
