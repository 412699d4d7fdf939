import { createHash } from 'node:crypto';
import { Job, type JobsOptions, type RepeatOptions, getNextMillis } from 'bullmq';
import type { FleetClock } from '../clock/fleet-clock.js';
import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { type TaskJobOptions, jobOptions } from '../task/job-options.js';
import type { Queues } from '../task/queues.js';
import { type Schedule, type ScheduleMark, formatSchedule } from './schedule.js';

/**
 * What is wrong with a schedule's next run: the scheduler is missing (`absent`), its next job does not exist or has ended (`gone`), the job
 * is in no list of its queue (`lost`), or it is due later than one period from now (`far`).
 */
export type NextRunFault = 'absent' | 'gone' | 'lost' | 'far';

/** The state of a scheduler in Redis. */
export interface NextRun {
  /** In ms since the epoch; null without a scheduler. */
  readonly due: number | null;
  /** Options of its jobs as JSON, `''` for none. */
  readonly options: string;
  /** The due time of a run that was fetched or stopped early, in ms since the epoch; null if there is none. */
  readonly passed: number | null;
  readonly fault: NextRunFault | null;
}

/** Tolerated difference between a time computed by a client and one from a script. */
const TOLERANCE_MS = 2_000;

/** Reads the next run of each schedule of a queue, in one round trip. */
export async function readNextRuns(
  redis: ScriptedRedis,
  keys: Keys,
  queue: string,
  ids: readonly string[],
  now: number,
): Promise<NextRun[]> {
  if (ids.length === 0) return [];
  const jobs = keys.jobs(queue);
  const names = ['repeat', 'delayed', 'wait', 'prioritized', 'active', 'completed', 'failed', 'paused'].map((name) => jobs + name);
  const rows = await redis.nextRuns(...names, jobs, ...ids);
  return rows.map(([due, options, every, pattern, tz, passed, place]) => {
    const next = numberOf(due);
    const run = { due: next, options, passed: numberOf(passed) };
    if (next === null) return { ...run, fault: 'absent' as const };
    if (place !== 'pending') return { ...run, fault: place === 'lost' ? ('lost' as const) : ('gone' as const) };
    return {
      ...run,
      fault: isFar(next, Math.max(now, run.passed ?? 0), { every: numberOf(every), pattern, tz }) ? ('far' as const) : null,
    };
  });
}

/** Whether a run is due later than the first one after `from`. False if that cannot be computed. */
function isFar(due: number, from: number, { every, pattern, tz }: { every: number | null; pattern: string; tz: string }): boolean {
  if (every !== null) return due > from + every + TOLERANCE_MS;
  try {
    const next = pattern === '' ? undefined : getNextMillis(from, { pattern, ...(tz !== '' && { tz }) });
    return next !== undefined && due > next + TOLERANCE_MS;
  } catch {
    return false;
  }
}

function numberOf(text: string): number | null {
  const number = text === '' ? Number.NaN : Number(text);
  return Number.isFinite(number) ? number : null;
}

/** With a revision that tells whether a scheduler matches its schedule's current version. */
interface RevisionMark extends ScheduleMark {
  readonly rev: string;
}

/** A schedule whose scheduler is faulty or outdated. */
interface WrongSchedule<Some extends Schedule = Schedule> {
  readonly schedule: Some;
  readonly run: NextRun;
}

/** Delayed jobs of a queue, earliest due first, that are searched for strays. */
const MOST_DELAYED = 1_000;

/** The options of a job that a scheduler added. */
type JobSchedulerOptions = JobsOptions & { readonly repeat?: RepeatOptions; readonly repeatJobKey?: string };

/** Manages BullMQ's job schedulers: one per schedule, each with exactly one next job. */
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
   * Creates, updates or repairs a schedule's scheduler as necessary. A correct one keeps its next job and due time. Returns whether
   * anything was necessary.
   */
  async ensure(schedule: Schedule): Promise<boolean> {
    const [wrong] = await this.findWrong([schedule]);
    if (!wrong) return false;
    const { id, definition } = schedule;
    const { fault, passed } = wrong.run;
    // BullMQ would keep the due time of a next job, and would not replace a job that is in no list.
    if (fault === 'far' || fault === 'lost') await this.remove(definition.queue, id);
    // Nor would BullMQ replace a next job without a scheduler.
    if (fault === 'absent') await this.removeStrays(definition.queue);
    await this.#make(schedule);
    // #make has overwritten the scheduler.
    if (passed !== null && fault !== 'far') await this.#redis.markPassed(`${this.#repeatKey(definition.queue)}:${id}`, passed);
    return true;
  }

  /** Returns the schedules that `ensure` would change, in one round trip per queue. */
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

  /** Removes delayed jobs that are not the next job of their scheduler. Returns how many. */
  async removeStrays(queue: string): Promise<number> {
    const [delayed, repeat] = this.#queues.scriptKeys(queue, 'delayed', 'repeat') as [string, string];
    const ids = await this.#redis.strayRuns(delayed, repeat, this.#keys.jobs(queue), MOST_DELAYED);
    // BullMQ refuses to remove a job that has become the next one since, or that a worker has locked.
    const removed = await Promise.allSettled(ids.map((id) => this.#queues.get(queue).remove(id)));
    return removed.filter((result) => result.status === 'fulfilled' && result.value === 1).length;
  }

  /** Removes a scheduler and its next job, unless a worker has fetched that. Returns whether there was a scheduler. */
  async remove(queue: string, id: string): Promise<boolean> {
    const due = await this.#redis.zscore(this.#repeatKey(queue), id);
    const removed = await this.#queues.get(queue).removeJobScheduler(id);
    if (due !== null) await this.#removeWaiting(queue, `repeat:${id}:${due}`);
    return removed;
  }

  /**
   * Adds a task of a schedule now, in addition to the regular ones. Adding the same id again has no effect.
   * @param id the task's id
   */
  async addNow(schedule: Schedule, id: string): Promise<void> {
    const { definition, data } = schedule;
    await this.#queues
      .get(definition.queue)
      .add(definition.name, JSON.parse(data), { ...optionsOf(schedule), jobId: id, timestamp: this.#clock.now() });
  }

  /** Returns the due time of each schedule's next task, in ms since the epoch; null without a scheduler. */
  async nextTimes(schedules: readonly Schedule[]): Promise<(number | null)[]> {
    const scores = await Promise.all(schedules.map(({ id, definition }) => this.#redis.zscore(this.#repeatKey(definition.queue), id)));
    return scores.map((score) => (score === null ? null : Number(score)));
  }

  /** Returns the ids of a queue's schedulers. */
  ids(queue: string): Promise<string[]> {
    return this.#redis.zrange(this.#repeatKey(queue), '0', '-1');
  }

  /**
   * Adds the schedule's next task after a given one, unless it exists. A worker does that when it fetches a task; without this, a
   * task settled before it was fetched would be the schedule's last.
   * @param options the job's options as BullMQ stores them
   */
  async advance(queue: string, jobId: string, options: string): Promise<void> {
    const opts = Job.optsFromJSON(options) as JobSchedulerOptions;
    const { repeatJobKey, repeat } = opts;
    if (!repeatJobKey || !repeat) return;
    const scheduler = await this.#queues.get(queue).jobScheduler;
    // Name and data are taken from the scheduler, not from here.
    await scheduler.upsertJobScheduler(repeatJobKey, repeat, '', null, opts, { override: false, producerId: jobId });
  }

  /** Whether the fleet made a scheduler: other programs may have some on a user's queue. */
  async isOurs(queue: string, id: string): Promise<boolean> {
    return revisionIn(await this.#redis.hget(`${this.#repeatKey(queue)}:${id}`, 'opts')) !== null;
  }

  /** Removes a due but unfetched next job, which BullMQ leaves behind, for example on a paused queue. */
  async #removeWaiting(queue: string, jobId: string): Promise<void> {
    const [added, fetched, ended] = await this.#redis.hmget(this.#keys.jobs(queue) + jobId, 'timestamp', 'processedOn', 'finishedOn');
    // A job that a worker has fetched since is locked and stays.
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
   * Returns the first due time from now on that has had no job: a job may have been stopped early, or run where the clock is
   * ahead, and BullMQ would overwrite it. Ended tasks may not be kept at all, so with an unchanged pattern the search begins at
   * the scheduler's own next run.
   */
  async #cronTiming({ id, definition, cron, timeZone }: Schedule): Promise<RepeatOptions> {
    const timing = { pattern: cron as string, ...(timeZone !== null && { tz: timeZone }) };
    const repeat = this.#repeatKey(definition.queue);
    const [due, [pattern, tz]] = await Promise.all([this.#redis.zscore(repeat, id), this.#redis.hmget(`${repeat}:${id}`, 'pattern', 'tz')]);
    const goesOn = pattern === cron && tz === timeZone;
    for (let after = Math.max(this.#clock.now(), goesOn ? Number(due) - 1 : 0); ;) {
      const time = getNextMillis(after, timing);
      if (time === undefined) return timing;
      // An unfetched job is the next one, and is replaced.
      const [fetched, ended] = await this.#redis.hmget(`${this.#repeatKey(definition.queue)}:${id}:${time}`, 'processedOn', 'finishedOn');
      if (!fetched && !ended) return { ...timing, startDate: after };
      after = time;
    }
  }

  /**
   * Schedules the first run after one interval, to spare a starting fleet. A next job that is due sooner keeps its time: otherwise
   * workers with different settings would defer it in turns, forever.
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

/** The options of a schedule's jobs. */
function optionsOf(schedule: Schedule): JobsOptions & TaskJobOptions {
  const { id, definition, item, tags, overlap, jitterMs, limits } = schedule;
  const mark: RevisionMark = { id, overlap, jitterMs, rev: revisionOf(schedule) };
  return { ...jobOptions(definition), item, ...(tags.length > 0 && { tags }), schedule: mark, ...(limits && { limits }) };
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
