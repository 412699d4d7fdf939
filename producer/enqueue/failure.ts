import { type ErrorCode, FleetError, isFleetError } from '../../shared/errors.js';
import { asUnavailable } from '../../shared/redis/connection-errors.js';
import type { RedisConnection } from '../../shared/redis/connection.js';
import { type Written, notReplicated } from '../../shared/redis/replicas.js';

/** Whether the task of a failed enqueue exists. */
export type Existence = boolean | 'unknown';

/** Errors of Redis and its connection. All other errors of an enqueue are thrown before anything is written. */
export const REDIS_FAILURES: readonly ErrorCode[] = [
  'REDIS_UNAVAILABLE',
  'REDIS_OUT_OF_MEMORY',
  'REDIS_WRONG_TYPE',
  'REDIS_ERROR',
  'CLOSED',
];

/** Adds to the error of an enqueue whether the task exists, unless it says so already. `id` is null before the task has one. */
export function enqueueFailure(redis: RedisConnection, error: unknown, id: string | null, exists: Existence): unknown {
  const known = asUnavailable(redis, error);
  if (!isFleetError(known, ...REDIS_FAILURES) || 'exists' in known.details) return known;
  const { code, message, cause, details } = known;
  return new FleetError(code, `${message}${/[.!?`]$/.test(message) ? '' : '.'} ${inWords(id, exists)}`, {
    cause: cause ?? error,
    details: { ...details, ...(id !== null && { id }), exists },
  });
}

/** Combines the results of repeated attempts to add a task. */
export function afterAttempt(before: Existence, now: Existence): Existence {
  if (before === true || now === true) return true;
  return before === 'unknown' ? before : now;
}

function inWords(id: string | null, exists: Existence): string {
  const task = id === null ? 'The task' : `Task ${id}`;
  if (exists === true) return `${task} was added.`;
  if (exists === false) return `${task} was not added.`;
  return id === null ? 'The task may have been added.' : `Task ${id} may have been added; it is safe to enqueue it again under this id.`;
}

/** Waits for the replicas. @throws FleetError `NOT_REPLICATED`, naming the task, if too few acknowledge */
export async function confirmTask(id: string, what: string, written: Written, queues: Iterable<string | null>): Promise<void> {
  const shortfall = await written.confirm(queues);
  if (shortfall) throw notReplicated(`Task ${id} ${what}`, shortfall, { ids: [id] });
}
