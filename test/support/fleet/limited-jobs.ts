import type { JobsOptions } from 'bullmq';
import { marksOf } from '../../../shared/limiter/marks.js';
import { isParked } from '../../../shared/limiter/parked-jobs.js';
import type { Store } from '../../../shared/store.js';
import type { TaskDefinition } from '../../../shared/task/definition.js';
import { jobOptions } from '../../../shared/task/job-options.js';

/** Jobs of one definition with limits, added past the lines: as after a delay, a retry, or a promotion by another program. */
export class LimitedJobs {
  constructor(
    private readonly store: Store,
    private readonly definition: TaskDefinition,
  ) {}

  /** Adds and registers a job without asking whether it may start. */
  async add(id: string, item: string, options: JobsOptions & { readonly deadline?: number } = {}): Promise<void> {
    const { registry, redis, keys, queues } = this.store;
    const { name, queue } = this.definition;
    const writes = registry.writes();
    writes.add({ id, item, queue, at: Date.now() });
    await Promise.all([redis.sadd(keys.queues, queue), ...writes.flushInto(redis)]);
    const limits = marksOf(this.definition, { input: {}, item });
    await queues.get(queue).add(name, {}, { ...jobOptions(this.definition), jobId: id, item, limits, ...options } as JobsOptions);
  }

  /** Returns the parked jobs. */
  async parked(): Promise<string[]> {
    const { redis, keys } = this.store;
    const flat = await redis.zrange(`${keys.jobs(this.definition.queue)}delayed`, '0', '-1', 'WITHSCORES');
    return flat.filter((_, index) => index % 2 === 0 && isParked(Number(flat[index + 1]) / 4_096)).toSorted();
  }
}
