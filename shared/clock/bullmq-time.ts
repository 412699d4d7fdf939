import { type RedisQueueBackend, type RepeatOptions, getNextMillis } from 'bullmq';
import type { RedisConnection } from '../redis/connection.js';
import { dueTimeOf } from '../schedule/schedule.js';
import type { FleetClock } from './fleet-clock.js';

/**
 * The argument by which each of BullMQ's scripts is told the time: its caller's, unless something is done about it. Those
 * that add a job take the job's own, which this fleet sets.
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

/** Replaces the argument by Redis' time, if its user may ask for that. */
const takeRedisTime = (argument: number): string => `do
  local time = redis.pcall('TIME')
  if time[1] then ARGV[${argument}] = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)) end
end
`;

/**
 * Before the next run of a schedule is made: notes that the one before was fetched or stopped ahead of its time, so that the next one is not
 * taken for one that is too far off. In the same script, as nobody may look in between.
 */
const NOTE_PASSED = `do
  local due = string.match(ARGV[7] or '', ':(%d+)$')
  local scheduler = KEYS[1] .. ':' .. ARGV[2]
  if due and tonumber(due) > tonumber(ARGV[5]) and redis.call('EXISTS', scheduler) == 1 then redis.call('HSET', scheduler, 'passed', due) end
end
`;

/**
 * Before the check for stalled jobs: its key bars the next check until it expires, which would be much later if Redis' clock was set
 * back meanwhile.
 */
const CHECK_AGAIN = `if redis.call('PTTL', KEYS[4]) > tonumber(ARGV[4]) then redis.call('DEL', KEYS[4]) end
`;

/** What comes before a script beside the time. */
const FIRST: Readonly<Record<string, string>> = { moveStalledJobsToWait: CHECK_AGAIN, updateJobScheduler: NOTE_PASSED };

/**
 * Has BullMQ's scripts on a connection go by Redis' clock instead of their caller's: a process whose clock is wrong would
 * run what is delayed early or late, stop schedules, and remove what is to be kept. Call it before BullMQ is given the
 * connection. See docs/adr/0018-one-clock.md; `test/contract/bullmq-time.test.ts` holds it to BullMQ's version.
 */
export function useRedisTime(redis: RedisConnection): void {
  const define = redis.defineCommand.bind(redis);
  redis.defineCommand = (name, definition) => define(name, { ...definition, lua: byRedisTime(name, definition.lua) });
}

function byRedisTime(name: string, lua: string): string {
  const [script = '', version] = name.split(':');
  // Only BullMQ's have a version in their names.
  if (version === undefined) return lua;
  const argument = TIME_ARGUMENTS[script];
  return argument === undefined ? lua : takeRedisTime(argument) + (FIRST[script] ?? '') + lua;
}

/** What a backend keeps to its subclasses. */
interface Internals {
  moveToFinishedArgs(...args: unknown[]): unknown;
}

/** Where `moveToFinishedArgs` is told when a job ended. */
const ENDED_AT = 6;

/**
 * Has a backend of BullMQ's go by the fleet's clock where it computes in this process: when a job ended, which it also tells
 * its caller, and the next run of a cron schedule. The next run of an interval is computed in a script.
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
    // After the run that is fetched, which may have been promoted before its time.
    const after = Math.max(clock.now(), (producer && dueTimeOf(producer)) || 0);
    return advance(id, nextRun((options as { repeat?: RepeatOptions }).repeat ?? {}, after) ?? next, data, options, producer);
  };
}

/** When a cron schedule is due after a time, in ms since the epoch; undefined for never, and without a pattern. */
function nextRun({ pattern, tz, startDate }: RepeatOptions, after: number): number | undefined {
  if (!pattern) return undefined;
  return getNextMillis(after, { pattern, ...(tz && { tz }), ...(startDate !== undefined && { startDate }) });
}
