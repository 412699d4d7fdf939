import { FleetError, isFleetError } from '../../shared/errors.js';
import { chunks } from '../../shared/limits.js';
import { type Shortfall, notReplicated } from '../../shared/redis/replicas.js';
import type { Store } from '../../shared/store.js';
import type { CallGate } from '../calls.js';
import type { EnqueuedTask, Enqueuer } from './enqueuer.js';
import { type Existence, REDIS_FAILURES, enqueueFailure } from './failure.js';
import type { PreparedTask } from './prepare.js';

type Identified = { readonly id: string };
type Missed = Shortfall & { readonly ids: readonly string[] };

interface EnqueueManyOptions {
  readonly store: Store;
  readonly calls: CallGate;
  readonly enqueuer: Enqueuer;
  /** Validates all tasks. */
  readonly prepare: () => PreparedTask[];
}

const ENQUEUE_AT_ONCE = 1_000;

/** Adds many tasks in one call. @throws FleetError whose `details.added` and `details.unknown` say which tasks exist */
export async function enqueueMany({ store, calls, enqueuer, prepare }: EnqueueManyOptions): Promise<EnqueuedTask[]> {
  const { known } = store.clock;
  let prepared = prepare();
  const added: EnqueuedTask[] = [];
  try {
    await calls.once(async () => {
      // Prepare again, now that Redis' clock is known, because deadlines depend on it.
      if (!known) prepared = prepare();
      for (const batch of chunks(prepared, ENQUEUE_AT_ONCE)) {
        const adding = batch.map((task) => calls.enqueuingOne(task.definition.queue, () => enqueuer.enqueue(task)));
        added.push(...(await allAdded(adding, added)));
      }
    });
  } catch (error) {
    throw enqueueFailure(store.redis, error, null, prepared.some(({ id }) => id !== null) ? 'unknown' : false);
  }
  return added;
}

/**
 * Waits until every enqueue has settled, and returns the tasks. `before` are the tasks that the same call has already added.
 * @throws FleetError with the code of the first error and the ids of the existing tasks; if all errors are `NOT_REPLICATED`, one
 *   error with the ids of all their tasks
 */
async function allAdded<Task extends Identified>(adding: readonly Promise<Task>[], before: readonly Task[]): Promise<Task[]> {
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

/** Builds the error of an `enqueueMany` call: the first task's error, plus which tasks exist. */
function enqueueManyFailure(error: unknown, settled: readonly PromiseSettledResult<{ readonly id: string }>[]): unknown {
  if (!isFleetError(error, ...REDIS_FAILURES)) return error;
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
