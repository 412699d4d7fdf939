import { redisTime } from '../../shared/clock/fleet-clock.js';
import { type NextRunFault, readNextRuns } from '../../shared/schedule/schedulers.js';
import { parseSchedule } from '../../shared/schedule/schedule.js';
import { defineScripts } from '../../shared/scripts/define-scripts.js';
import type { Settings } from '../../shared/settings/settings.js';
import type { RecordSource } from '../../shared/records/unreadable.js';
import { scheduleTable } from '../../worker/schedules.js';
import { type Check, ok, warn } from './check.js';

const SCHEDULES = 'schedules';
const WORDS: Readonly<Record<NextRunFault, string>> = {
  absent: 'no next run',
  gone: 'no next run',
  lost: 'a next run that is in no list of its queue',
  far: 'a next run more than one period away',
};
const NAMED = 5;

/**
 * Checks that each schedule has a next run within one period.
 * @param alive whether workers are alive; the first worker creates the built-in schedules
 */
export async function checkSchedules({ redis, keys, unreadable }: RecordSource, settings: Settings, alive: boolean): Promise<Check> {
  const scripted = defineScripts(redis);
  const stored = Object.entries(await unreadable.read(keys.schedules, 'hash', redis.hgetall(keys.schedules), {})).flatMap(
    ([id, text]) => parseSchedule(id, text) ?? [],
  );
  const schedules = [...(alive ? scheduleTable(settings) : []), ...stored].sort((a, b) => (a.id < b.id ? -1 : 1));
  const now = (await redisTime(redis, keys.tasks)) ?? Date.now();
  const runs = await Promise.all(
    schedules.map(async ({ id, definition }) => ({
      id,
      run: (
        await unreadable.read(
          `${keys.jobs(definition.queue)}repeat`,
          'sorted set',
          readNextRuns(scripted, keys, definition.queue, [id], now),
          [],
        )
      )[0],
    })),
  );
  const wrong = runs.flatMap(({ id, run }) => (run?.fault ? [`${id} has ${WORDS[run.fault]}`] : []));
  if (wrong.length === 0) return ok(SCHEDULES, schedules.length === 0 ? 'none' : `${schedules.length}, each with a next run`);
  const more = wrong.length > NAMED ? `, and ${wrong.length - NAMED} more` : '';
  const advice = alive
    ? "A worker repairs this within half a minute. If it persists, check the workers' logs (component schedule)."
    : 'Start workers, which repair this.';
  return warn(SCHEDULES, `${wrong.slice(0, NAMED).join('; ')}${more}`, advice);
}
