import { type StopRecord, parseStop } from '../shared/stop/record.js';
import type { Store } from '../shared/store.js';
import type { JobAddress } from '../shared/task/options-record.js';

/**
 * The stop that holds for a task before its handler is called, null for none: its own, recorded with its job or left
 * before the job was there; or that of the task whose handler enqueued it.
 */
export async function standingStop(store: Store, job: JobAddress, parent: JobAddress | undefined): Promise<StopRecord | null> {
  const { redis, keys, pendingStops } = store;
  const readStop = async ({ queue, id }: JobAddress): Promise<StopRecord | null> =>
    parseStop(await redis.hget(keys.jobs(queue) + id, 'stop'), null);
  const [own, early, inherited] = await Promise.all([readStop(job), pendingStops.find([job.id]), parent ? readStop(parent) : null]);
  return own ?? early.get(job.id) ?? inherited;
}
