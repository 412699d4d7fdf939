import type { Producer } from '../../producer/index.js';
import type { Store } from '../../shared/store.js';
import { type Sample, sample } from './exposition.js';

/** Tolerates the latency of a busy fleet, which is not the schedule's fault; idle workers fetch a due task within about a second. */
const LATE_MS = 30_000;

/** Returns whether schedules have a next task and run on time. */
export async function scheduleSamples({ schedules }: Producer, { redis, keys, clock }: Store): Promise<Sample[]> {
  const list = (await schedules.list()).filter(({ problem }) => problem === null);
  const now = clock.now();
  const dues = list.flatMap(({ id, queue, nextAt }) =>
    nextAt === null || queue === null ? [] : [{ key: `${keys.jobs(queue)}repeat:${id}:${nextAt.getTime()}`, due: nextAt.getTime() }],
  );
  // A scheduler keeps its next due time even if the task itself was removed.
  const exists = await Promise.all(dues.map(({ key }) => redis.exists(key)));
  const withNext = dues.filter((_, index) => exists[index] === 1);
  return [
    sample('taskfleet_schedules', list.length),
    sample('taskfleet_schedules_without_next', list.length - withNext.length),
    sample('taskfleet_schedules_late', withNext.filter(({ due }) => now - due > LATE_MS).length),
  ];
}
