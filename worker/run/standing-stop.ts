import { type StopRecord, parseStop } from '../../shared/stop/receipt.js';
import type { Store } from '../../shared/store.js';
import type { JobAddress } from '../../shared/task/job-options.js';

/**
 * Returns the stop that applies to a task before its handler is called, or null: the task's own, recorded with its job or pending, or that
 * of its parent.
 */
export async function standingStop(store: Store, job: JobAddress, parent: JobAddress | undefined): Promise<StopRecord | null> {
  const { redis, keys, pendingStops } = store;
  const readStop = async ({ queue, id }: JobAddress): Promise<StopRecord | null> =>
    parseStop(await redis.hget(keys.jobs(queue) + id, 'stop'), null);
  const [own, early, inherited] = await Promise.all([readStop(job), pendingStops.find([job.id]), parent ? readStop(parent) : null]);
  return own ?? early.get(job.id) ?? inherited;
}
