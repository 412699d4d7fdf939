import { type RedisQueueBackend, type RepeatOptions, getNextMillis } from 'bullmq';
import type { RedisConnection } from '../redis/connection.js';
import { dueTimeOf } from '../schedule/schedule.js';
import type { FleetClock } from './fleet-clock.js';

/**
 * The position of the caller's time among the arguments of each BullMQ script. The scripts that add a job take the job's
 * timestamp instead, which the fleet sets.
 */
const TIME_ARGUMENTS: Readonly<Record<string, number>> = {
  addJobScheduler: 7,
  changeDelay: 2,
  moveStalledJobsToWait: 3,
  moveToActive: 2,
  moveToDelayed: 2,
  moveToWaitingChildren: 3,
  releaseParentIfNoPendingDependencies: 3,
  retryJob: 2,
  updateJobScheduler: 5,
};

/** Replaces an argument by Redis' time, if the Redis user may call TIME. */
const takeRedisTime = (argument: number): string => `do
  local time = redis.pcall('TIME')
  if time[1] then ARGV[${argument}] = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)) end
end
`;

/**
 * Runs before the script that adds the next run of a schedule. Notes that the previous run was fetched or stopped before its due time, so
 * that the next run is not mistaken for one too far in the future. Must be atomic with that script.
 */
const NOTE_PASSED = `do
  local due = string.match(ARGV[7] or '', ':(%d+)$')
  local scheduler = KEYS[1] .. ':' .. ARGV[2]
  if due and tonumber(due) > tonumber(ARGV[5]) and redis.call('EXISTS', scheduler) == 1 then
    redis.call('HSET', scheduler, 'passed', due)
  end
end
`;

/**
 * Runs before the check for stalled jobs, whose key blocks further checks until it expires: much too late if Redis' clock was set back
 * meanwhile.
 */
const CHECK_AGAIN = `if redis.call('PTTL', KEYS[4]) > tonumber(ARGV[4]) then redis.call('DEL', KEYS[4]) end
`;

/** Lua to prepend to a script, after the time. */
const PRELUDES: Readonly<Record<string, string>> = { moveStalledJobsToWait: CHECK_AGAIN, updateJobScheduler: NOTE_PASSED };

/**
 * Makes BullMQ's scripts on a connection use Redis' clock instead of the caller's: a process with a wrong clock would run
 * delayed jobs early or late, stop schedules, and remove jobs before their retention is over. Call it before BullMQ gets the
 * connection. See docs/explanation/adr/0018-one-clock.md; `test/contract/bullmq-time.test.ts` fails if BullMQ's scripts change.
 *
 * @param parts more Lua to run before BullMQ's, by the name of the script; it may use Redis' time too
 */
export function useRedisTime(redis: RedisConnection, parts: Readonly<Record<string, string>> = {}): void {
  const define = redis.defineCommand.bind(redis);
  redis.defineCommand = (name, definition) => define(name, { ...definition, lua: withRedisTime(name, definition.lua, parts) });
}

function withRedisTime(name: string, lua: string, parts: Readonly<Record<string, string>>): string {
  const [script = '', version] = name.split(':');
  // Only the names of BullMQ's scripts contain a version.
  if (version === undefined) return lua;
  const argument = TIME_ARGUMENTS[script];
  return argument === undefined ? lua : takeRedisTime(argument) + (PRELUDES[script] ?? '') + (parts[script] ?? '') + lua;
}

/** A protected method of the backend. */
interface Internals {
  moveToFinishedArgs(...args: unknown[]): unknown;
}

/** Position of the end time among the arguments of `moveToFinishedArgs`. */
const ENDED_AT = 6;

/**
 * Makes a BullMQ backend use the fleet's clock for times that it computes in this process: a job's end, and the next run of a
 * cron schedule. The next run of an interval schedule is computed in a script.
 */
export function useFleetClock(backend: RedisQueueBackend, clock: Pick<FleetClock, 'now'>): void {
  const internals = backend as unknown as Internals;
  const finish = internals.moveToFinishedArgs.bind(backend);
  internals.moveToFinishedArgs = (...args) => finish(...args.with(ENDED_AT, clock.now()));

  const add = backend.addJobScheduler.bind(backend);
  backend.addJobScheduler = (id, next, data, template, repeat, options, producer) =>
    add(id, nextRun(repeat, clock.now()) ?? next, data, template, repeat, options, producer);

  const advance = backend.updateJobSchedulerNextMillis.bind(backend);
  backend.updateJobSchedulerNextMillis = (id, next, data, options, producer) => {
    // The fetched run may have been promoted before it was due; the next one comes after that due time.
    const after = Math.max(clock.now(), (producer && dueTimeOf(producer)) || 0);
    return advance(id, nextRun((options as { repeat?: RepeatOptions }).repeat ?? {}, after) ?? next, data, options, producer);
  };
}

/** The next run of a cron schedule after a time, in ms since the epoch; undefined if there is none, or no pattern. */
function nextRun({ pattern, tz, startDate }: RepeatOptions, after: number): number | undefined {
  if (!pattern) return undefined;
  return getNextMillis(after, { pattern, ...(tz && { tz }), ...(startDate !== undefined && { startDate }) });
}
