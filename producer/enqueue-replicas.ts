import { isFleetError } from '../shared/errors.js';
import { type Shortfall, type Written, notReplicated } from '../shared/redis/replicas.js';

/** @throws FleetError `NOT_REPLICATED`, naming the task, if there is a shortfall */
export async function confirmTask(id: string, what: string, written: Written, queues: Iterable<string | null>): Promise<void> {
  const shortfall = await written.confirm(queues);
  if (shortfall) throw notReplicated(`Task ${id} ${what}`, shortfall, { ids: [id] });
}

/**
 * The tasks, when each of them is added or is not.
 * @throws the first error; of several `NOT_REPLICATED` and none of another kind, one with the ids of all those tasks
 */
export async function allAdded<Task>(adding: readonly Promise<Task>[]): Promise<Task[]> {
  const settled = await Promise.allSettled(adding);
  const errors = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
  const missed = errors.flatMap((error) => (isFleetError(error, 'NOT_REPLICATED') ? [error.details as unknown as Missed] : []));
  const [first] = missed;
  if (first === undefined || missed.length < errors.length || missed.length === 1) return Promise.all(adding);
  const ids = missed.flatMap((one) => one.ids);
  throw notReplicated(`${ids.length} tasks were added, ${ids[0]} and others`, { ...first, replicas: Math.min(...missed.map(({ replicas }) => replicas)) }, { ids });
}

type Missed = Shortfall & { readonly ids: readonly string[] };
