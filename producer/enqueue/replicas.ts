import { isFleetError } from '../../shared/errors.js';
import { type Shortfall, type Written, notReplicated } from '../../shared/redis/replicas.js';
import { enqueueManyFailure } from './failure.js';

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
