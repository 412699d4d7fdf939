import type { Producer } from '../../producer/index.js';
import type { Store } from '../../shared/store.js';
import { type Sample, sample } from './exposition.js';

/** Workers fetch what is due within a second or so; a fleet whose slots are all busy takes longer, and that is no fault of a schedule. */
const LATE_MS = 30_000;

/** Whether all schedules go on. */
export async function scheduleSamples({ schedules }: Producer, { redis, keys, clock }: Store): Promise<Sample[]> {
  const list = (await schedules.list()).filter(({ problem }) => problem === null);
  const now = clock.now();
  const dues = list.flatMap(({ id, queue, nextAt }) =>
    nextAt === null || queue === null ? [] : [{ key: `${keys.jobs(queue)}repeat:${id}:${nextAt.getTime()}`, due: nextAt.getTime() }],
  );
  // A scheduler knows when its next task is due also if that has been removed.
  const there = await Promise.all(dues.map(({ key }) => redis.exists(key)));
  const withNext = dues.filter((_, index) => there[index] === 1);
  return [
    sample('taskfleet_schedules', list.length),
    sample('taskfleet_schedules_without_next', list.length - withNext.length),
    sample('taskfleet_schedules_late', withNext.filter(({ due }) => now - due > LATE_MS).length),
  ];
}
