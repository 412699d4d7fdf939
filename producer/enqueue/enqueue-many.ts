import { setImmediate as nextTurn } from 'node:timers/promises';
import { FleetError, isFleetError } from '../../shared/errors.js';
import { type Shortfall, notReplicated } from '../../shared/redis/replicas.js';
import type { Store } from '../../shared/store.js';
import type { CallGate } from '../calls.js';
import type { EnqueuedTask } from './enqueued-task.js';
import type { EnqueueResult, Enqueuer } from './enqueuer.js';
import { type Existence, REDIS_FAILURES, enqueueFailure } from './failure.js';
import type { PreparedTask } from './prepare.js';

type Missed = Shortfall & { readonly ids: readonly string[] };

interface EnqueueManyOptions {
  readonly store: Store;
  readonly calls: CallGate;
  readonly enqueuer: Enqueuer;
  /** Validates all tasks. */
  readonly prepare: () => PreparedTask[];
}

/** Tasks of a batch: its registration is a few commands of this many fields, none of which blocks Redis for a millisecond. */
const BATCH_TASKS = 250;
/** Characters of the inputs of a batch; a longer input has a batch of its own. */
const BATCH_LENGTH = 1_000_000;
/** Batches in flight: Redis adds one while the next is built. */
const BATCHES_AT_ONCE = 4;

/** Adds many tasks in one call, in their order. @throws FleetError whose `details.added` and `details.unknown` say which tasks exist */
export async function enqueueMany({ store, calls, enqueuer, prepare }: EnqueueManyOptions): Promise<EnqueuedTask[]> {
  const { known } = store.clock;
  let prepared = prepare();
  try {
    return await calls.once(async () => {
      // Prepare again, now that Redis' clock is known, because deadlines depend on it.
      if (!known) prepared = prepare();
      const results = await addBatches(batchesOf(prepared), (batch) => addBatch(batch, calls, enqueuer));
      return allAdded(results, prepared.length);
    });
  } catch (error) {
    throw enqueueFailure(store.redis, error, null, prepared.some(({ id }) => id !== null) ? 'unknown' : false);
  }
}

/** Splits tasks into batches, in their order. */
export function batchesOf<Task extends { readonly data: string }>(tasks: readonly Task[]): Task[][] {
  const batches: Task[][] = [];
  let [batch, length]: [Task[], number] = [[], 0];
  for (const task of tasks) {
    if (batch.length === BATCH_TASKS || (batch.length > 0 && length + task.data.length > BATCH_LENGTH)) {
      batches.push(batch);
      [batch, length] = [[], 0];
    }
    batch.push(task);
    length += task.data.length;
  }
  return batch.length === 0 ? batches : [...batches, batch];
}

/** Adds batches until a task fails, not if it only lacks replicas. Returns the results of the batches that were sent. */
async function addBatches(
  batches: readonly PreparedTask[][],
  add: (batch: readonly PreparedTask[]) => Promise<EnqueueResult[]>,
): Promise<EnqueueResult[]> {
  const results: EnqueueResult[] = [];
  const adding: Promise<EnqueueResult[]>[] = [];
  let failed = false;
  const take = async (): Promise<void> => {
    for (const result of (await adding.shift()) ?? []) {
      results.push(result);
      // The task was added: its error must not leave out those after it, which its caller takes for added too.
      failed ||= result.status === 'rejected' && !isFleetError(result.reason, 'NOT_REPLICATED');
    }
  };
  for (const [index, batch] of batches.entries()) {
    if (adding.length === BATCHES_AT_ONCE) await take();
    if (failed) break;
    adding.push(add(batch));
    if (index < batches.length - 1) await nextTurn();
  }
  while (adding.length > 0) await take();
  return results;
}

/** Never rejects. */
async function addBatch(batch: readonly PreparedTask[], calls: CallGate, enqueuer: Enqueuer): Promise<EnqueueResult[]> {
  const queue = batch[0]?.definition.queue ?? '';
  let results: EnqueueResult[] | null = null;
  try {
    await calls.enqueuingSome(queue, batch.length, async () => {
      results = await enqueuer.enqueueAll(batch);
      // Errors alone are no sign that Redis replies.
      const [first] = results;
      if (first?.status === 'rejected' && results.every(({ status }) => status === 'rejected')) throw first.reason;
    });
  } catch (reason) {
    return results ?? batch.map(() => ({ status: 'rejected', reason }));
  }
  return results ?? [];
}

/**
 * Returns the tasks of an `enqueueMany` call for `count` tasks.
 * @throws FleetError with the code of the first error and the ids of the existing tasks; if all errors are `NOT_REPLICATED`, one
 *   error with the ids of all their tasks
 */
function allAdded(results: readonly EnqueueResult[], count: number): EnqueuedTask[] {
  const errors = results.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
  if (errors.length === 0) return results.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const missed = errors.flatMap((error) => (isFleetError(error, 'NOT_REPLICATED') ? [error.details as unknown as Missed] : []));
  const [first] = missed;
  if (first === undefined || missed.length < errors.length) {
    const error = errors.find((one) => !isFleetError(one, 'NOT_REPLICATED'));
    throw enqueueManyFailure(error, results, count);
  }
  if (missed.length === 1) throw errors[0];
  const ids = missed.flatMap((one) => one.ids);
  throw notReplicated(
    `${ids.length} tasks were added, ${ids[0]} and others`,
    { ...first, replicas: Math.min(...missed.map(({ replicas }) => replicas)) },
    { ids },
  );
}

/** Builds the error of an `enqueueMany` call: the first task's error, plus which tasks exist. */
function enqueueManyFailure(error: unknown, settled: readonly EnqueueResult[], count: number): unknown {
  if (!isFleetError(error, ...REDIS_FAILURES)) return error;
  const failures = settled.flatMap((one) => (one.status === 'rejected' && isFleetError(one.reason) ? [one.reason] : []));
  const having = (exists: Existence): string[] => failures.flatMap((failure) => idsHaving(failure, exists));
  const added = [...settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value.id] : [])), ...having(true)];
  const unknown = having('unknown');
  const exists = added.length === 0 && unknown.length === 0 ? false : 'unknown';
  const { id: _id, ...details } = error.details;
  const message = `${added.length} of ${count} tasks were added. First error: ${error.message}`;
  return new FleetError(error.code, message, {
    cause: error,
    details: { ...details, exists: added.length === count ? true : exists, added, unknown },
  });
}

/** Returns the ids of an error's tasks whose existence is `exists`. A task that lacks replicas exists. */
function idsHaving({ code, details }: FleetError, exists: Existence): string[] {
  if (code === 'NOT_REPLICATED') return exists === true ? (details['ids'] as string[]) : [];
  return details['exists'] === exists && typeof details['id'] === 'string' ? [details['id']] : [];
}
