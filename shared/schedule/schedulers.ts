import { createHash } from 'node:crypto';
import { Job, type JobsOptions, type RepeatOptions, getNextMillis } from 'bullmq';
import type { FleetClock } from '../clock/fleet-clock.js';
import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { jobOptions } from '../task/job-options.js';
import type { Queues } from '../task/queues.js';
import type { TaskJobOptions } from '../task/options-record.js';
import { type NextRun, readNextRuns } from './next-runs.js';
import { type Schedule, type ScheduleMark, formatSchedule } from './schedule.js';

/** With what tells whether a scheduler was made from a schedule as it is now. */
interface RevisionMark extends ScheduleMark {
  readonly rev: string;
}

/** A schedule whose scheduler has a fault, or is that of the schedule as it was. */
export interface WrongSchedule<Some extends Schedule = Schedule> {
  readonly schedule: Some;
  readonly run: NextRun;
}

/** Delayed jobs of a queue, those that are due first, among which strays are looked for. */
const MOST_DELAYED = 1_000;

/** Of a job that a scheduler added. */
type JobSchedulerOptions = JobsOptions & { readonly repeat?: RepeatOptions; readonly repeatJobKey?: string };

/** BullMQ's job schedulers: one for each schedule, with exactly one next job. */
export class Schedulers {
  readonly #redis: ScriptedRedis;
  readonly #queues: Queues;
  readonly #keys: Keys;
  readonly #clock: Pick<FleetClock, 'now'>;

  constructor(redis: ScriptedRedis, queues: Queues, keys: Keys, clock: Pick<FleetClock, 'now'>) {
    this.#redis = redis;
    this.#queues = queues;
    this.#keys = keys;
    this.#clock = clock;
  }

  /**
   * Makes a schedule's scheduler, changes it, or gives it back its next job: whichever it needs. One that is as it should
   * be keeps its next job and its time. Returns whether it needed anything.
   */
  async ensure(schedule: Schedule): Promise<boolean> {
    const [wrong] = await this.findWrong([schedule]);
    if (!wrong) return false;
    const { id, definition } = schedule;
    const { fault, passed } = wrong.run;
    // BullMQ keeps the time of a next job, and does not go past one that is in none of its lists.
    if (fault === 'far' || fault === 'lost') await this.remove(definition.queue, id);
    // Nor over a next job that has lost its scheduler.
    if (fault === 'absent') await this.removeStrays(definition.queue);
    await this.#make(schedule);
    // It has written the scheduler anew.
    if (passed !== null && fault !== 'far') await this.#redis.markPassed(`${this.#repeatKey(definition.queue)}:${id}`, passed);
    return true;
  }

  /** Those that `ensure` would do something about: one round trip for each queue. */
  async findWrong<Some extends Schedule>(schedules: readonly Some[]): Promise<WrongSchedule<Some>[]> {
    const queues = [...new Set(schedules.map(({ definition }) => definition.queue))];
    const found = queues.map(async (queue) => {
      const some = schedules.filter(({ definition }) => definition.queue === queue);
      const runs = await readNextRuns(
        this.#redis,
        this.#keys,
        queue,
        some.map(({ id }) => id),
        this.#clock.now(),
      );
      return some.map((schedule, index) => ({ schedule, run: runs[index] as NextRun }));
    });
    return (await Promise.all(found))
      .flat()
      .filter(({ schedule, run }) => run.fault !== null || revisionIn(run.options) !== revisionOf(schedule));
  }

  /** Removes jobs that wait for their time and are not the next of their scheduler: a schedule has one. Returns how many. */
  async removeStrays(queue: string): Promise<number> {
    const [delayed, repeat] = this.#queues.scriptKeys(queue, 'delayed', 'repeat') as [string, string];
    const ids = await this.#redis.strayRuns(delayed, repeat, this.#keys.jobs(queue), MOST_DELAYED);
    // One that has become the next since is refused by BullMQ, and one that a worker has fetched since is locked.
    const removed = await Promise.allSettled(ids.map((id) => this.#queues.get(queue).remove(id)));
    return removed.filter((result) => result.status === 'fulfilled' && result.value === 1).length;
  }

  /** Removes a scheduler and its next job; one that a worker has fetched goes on. Returns whether there was one. */
  async remove(queue: string, id: string): Promise<boolean> {
    const due = await this.#redis.zscore(this.#repeatKey(queue), id);
    const removed = await this.#queues.get(queue).removeJobScheduler(id);
    if (due !== null) await this.#removeWaiting(queue, `repeat:${id}:${due}`);
    return removed;
  }

  /**
   * Adds a task of a schedule now, beside those at its times. Several that are added under one id are one.
   * @param id of the task
   */
  async addNow(schedule: Schedule, id: string): Promise<void> {
    const { definition, data } = schedule;
    await this.#queues
      .get(definition.queue)
      .add(definition.name, JSON.parse(data), { ...optionsOf(schedule), jobId: id, timestamp: this.#clock.now() });
  }

  /** When the next task of each is due, in ms since the epoch; null for one without a scheduler. */
  async nextTimes(schedules: readonly Schedule[]): Promise<(number | null)[]> {
    const scores = await Promise.all(schedules.map(({ id, definition }) => this.#redis.zscore(this.#repeatKey(definition.queue), id)));
    return scores.map((score) => (score === null ? null : Number(score)));
  }

  /** The ids of all schedulers of a queue. */
  ids(queue: string): Promise<string[]> {
    return this.#redis.zrange(this.#repeatKey(queue), '0', '-1');
  }

  /**
   * Makes the task that comes after one of a schedule, unless there is one. A worker does it when it fetches a task; one
   * that is settled without having been fetched would be the last of its schedule.
   * @param options of the job, as BullMQ stores them
   */
  async advance(queue: string, jobId: string, options: string): Promise<void> {
    const opts = Job.optsFromJSON(options) as JobSchedulerOptions;
    const { repeatJobKey, repeat } = opts;
    if (!repeatJobKey || !repeat) return;
    const scheduler = await this.#queues.get(queue).jobScheduler;
    // Name and data are taken from the scheduler, not from here.
    await scheduler.upsertJobScheduler(repeatJobKey, repeat, '', null, opts, { override: false, producerId: jobId });
  }

  /** Whether a scheduler is made by us: others may have some on a user's queue. */
  async isOurs(queue: string, id: string): Promise<boolean> {
    return revisionIn(await this.#redis.hget(`${this.#repeatKey(queue)}:${id}`, 'opts')) !== null;
  }

  /** BullMQ leaves a next job whose time has come, and that no worker has fetched: its queue may be paused. */
  async #removeWaiting(queue: string, jobId: string): Promise<void> {
    const [added, fetched, ended] = await this.#redis.hmget(this.#keys.jobs(queue) + jobId, 'timestamp', 'processedOn', 'finishedOn');
    // One that a worker has fetched since is locked, and stays.
    if (added && !fetched && !ended) await this.#queues.get(queue).remove(jobId);
  }

  async #make(schedule: Schedule): Promise<void> {
    const { id, definition, data, everyMs } = schedule;
    const timing = everyMs === null ? await this.#cronTiming(schedule) : await this.#intervalTiming(schedule, everyMs);
    await this.#redis.sadd(this.#keys.queues, definition.queue);
    await this.#queues
      .get(definition.queue)
      .upsertJobScheduler(id, timing, { name: definition.name, data: JSON.parse(data) as unknown, opts: optionsOf(schedule) });
  }

  /**
   * The first time from now on that has not had its job: one may have been stopped before it came, or runs where the
   * clock is ahead. BullMQ would write a new one over it. What is kept of ended tasks may be nothing, so with the same
   * times the scheduler itself knows best how far it has come.
   */
  async #cronTiming({ id, definition, cron, timeZone }: Schedule): Promise<RepeatOptions> {
    const timing = { pattern: cron as string, ...(timeZone !== null && { tz: timeZone }) };
    const repeat = this.#repeatKey(definition.queue);
    const [due, [pattern, tz]] = await Promise.all([this.#redis.zscore(repeat, id), this.#redis.hmget(`${repeat}:${id}`, 'pattern', 'tz')]);
    const goesOn = pattern === cron && tz === timeZone;
    for (let after = Math.max(this.#clock.now(), goesOn ? Number(due) - 1 : 0); ;) {
      const time = getNextMillis(after, timing);
      if (time === undefined) return timing;
      // A job that nobody has touched is the next one, and is replaced.
      const [fetched, ended] = await this.#redis.hmget(`${this.#repeatKey(definition.queue)}:${id}:${time}`, 'processedOn', 'finishedOn');
      if (!fetched && !ended) return { ...timing, startDate: after };
      after = time;
    }
  }

  /**
   * The first time is after an interval: a fleet that starts has better to do. A next job that is due sooner keeps its
   * time: workers with different settings would put it off by turns, for ever.
   */
  async #intervalTiming({ id, definition }: Schedule, everyMs: number): Promise<RepeatOptions> {
    const due = Number(await this.#redis.zscore(this.#repeatKey(definition.queue), id));
    const now = this.#clock.now();
    return { every: everyMs, startDate: due > now ? Math.min(due, now + everyMs) : now + everyMs };
  }

  #repeatKey(queue: string): string {
    return `${this.#keys.jobs(queue)}repeat`;
  }
}

/** Of each job of a schedule. */
function optionsOf(schedule: Schedule): JobsOptions & TaskJobOptions {
  const { id, definition, item, overlap, jitterMs } = schedule;
  const mark: RevisionMark = { id, overlap, jitterMs, rev: revisionOf(schedule) };
  return { ...jobOptions(definition), item, schedule: mark };
}

function revisionOf(schedule: Schedule): string {
  return createHash('sha256').update(formatSchedule(schedule)).digest('base64url').slice(0, 12);
}

function revisionIn(template: string | null): string | null {
  try {
    const { schedule } = Job.optsFromJSON(template ?? '') as { schedule?: Partial<RevisionMark> };
    return schedule?.rev ?? null;
  } catch {
    return null;
  }
}
