import { type ErrorCode, FleetError, isFleetError } from '../../shared/errors.js';
import { asUnavailable } from '../../shared/redis/connection-errors.js';
import type { RedisConnection } from '../../shared/redis/connection.js';
import { type Shortfall, type Written, notReplicated } from '../../shared/redis/replicas.js';

/** Whether the task of a failed enqueue exists. */
export type Existence = boolean | 'unknown';

/** Errors of Redis and its connection. All other errors of an enqueue are thrown before anything is written. */
const CODES: readonly ErrorCode[] = ['REDIS_UNAVAILABLE', 'REDIS_OUT_OF_MEMORY', 'REDIS_WRONG_TYPE', 'REDIS_ERROR', 'CLOSED'];

/** Adds to the error of an enqueue whether the task exists, unless it says so already. `id` is null before the task has one. */
export function enqueueFailure(redis: RedisConnection, error: unknown, id: string | null, exists: Existence): unknown {
  const known = asUnavailable(redis, error);
  if (!isFleetError(known, ...CODES) || 'exists' in known.details) return known;
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

/** Builds the error of an `enqueueMany` call: the first task's error, plus which tasks exist. */
function enqueueManyFailure(error: unknown, settled: readonly PromiseSettledResult<{ readonly id: string }>[]): unknown {
  if (!isFleetError(error, ...CODES)) return error;
  const failures = settled.flatMap((one) => (one.status === 'rejected' && isFleetError(one.reason) ? [one.reason] : []));
  const having = (exists: Existence): string[] => failures.flatMap((failure) => idsHaving(failure, exists));
  const added = [...settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value.id] : [])), ...having(true)];
  const unknown = having('unknown');
  const exists = added.length === 0 && unknown.length === 0 ? false : 'unknown';
  const { id: _id, ...details } = error.details;
  const message = `${added.length} of ${settled.length} tasks were added. First error: ${error.message}`;
  return new FleetError(error.code, message, {
    cause: error,
    details: { ...details, exists: added.length === settled.length ? true : exists, added, unknown },
  });
}

/** Returns the ids of an error's tasks whose existence is `exists`. A task that lacks replicas exists. */
function idsHaving({ code, details }: FleetError, exists: Existence): string[] {
  if (code === 'NOT_REPLICATED') return exists === true ? (details['ids'] as string[]) : [];
  return details['exists'] === exists && typeof details['id'] === 'string' ? [details['id']] : [];
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

/**
 * Waits until every enqueue has settled, and returns the tasks. `before` are the tasks that the same call has already added.
 * @throws FleetError with the code of the first error and the ids of the existing tasks; if all errors are `NOT_REPLICATED`, one
 *   error with the ids of all their tasks
 */
export async function allAdded<Task extends Identified>(adding: readonly Promise<Task>[], before: readonly Task[]): Promise<Task[]> {
  const settled = await Promise.allSettled(adding);
  const errors = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
  const missed = errors.flatMap((error) => (isFleetError(error, 'NOT_REPLICATED') ? [error.details as unknown as Missed] : []));
  const [first] = missed;
  if (missed.length < errors.length) {
    const error = errors.find((one) => !isFleetError(one, 'NOT_REPLICATED'));
    throw enqueueManyFailure(error, [...before.map((value) => ({ status: 'fulfilled', value }) as const), ...settled]);
  }
  if (first === undefined || missed.length === 1) return Promise.all(adding);
  const ids = missed.flatMap((one) => one.ids);
  throw notReplicated(
    `${ids.length} tasks were added, ${ids[0]} and others`,
    { ...first, replicas: Math.min(...missed.map(({ replicas }) => replicas)) },
    { ids },
  );
}

type Identified = { readonly id: string };
type Missed = Shortfall & { readonly ids: readonly string[] };
