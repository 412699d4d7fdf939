import { Job, type JobsOptions } from 'bullmq';
import { type AttemptRecord, attemptField } from '../attempt/attempt.js';
import type { FleetClock } from '../clock/fleet-clock.js';
import { messageOf } from '../errors.js';
import { groupBy } from '../groups.js';
import type { Keys } from '../keys.js';
import type { Limiter } from '../limiter/limiter.js';
import { chunks } from '../limits.js';
import type { Logger } from '../log/logger.js';
import { UNKNOWN } from '../metrics/fields.js';
import type { TaskCounters } from '../metrics/task-counters.js';
import { LateRemovals } from '../registry/late-removals.js';
import type { Registry } from '../registry/registry.js';
import type { EndedTask, EndedTasks } from '../retention/ended-tasks.js';
import { type JobRetention, keepsNone, retentionOf } from '../retention/limits.js';
import { isScheduledRun } from '../schedule/schedule.js';
import type { Schedulers } from '../schedule/schedulers.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { FINISH_KEYS } from '../scripts/finish-jobs.js';
import { writeStates } from '../task/event-stream.js';
import { type TaskJobOptions, membershipsOf, readOptions } from '../task/job-options.js';
import type { Queues } from '../task/queues.js';
import { describeStop } from './cause.js';
import type { StopRecord } from './receipt.js';

/** A job that `recordStop` put under our lock, or ended. */
export interface StoppedJob {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  readonly stop: StopRecord;
  /** `queue` if the job was waiting, `fence` if its owner is dead. */
  readonly via: 'queue' | 'fence';
  /** The record of the run whose owner is dead; null if the job was waiting. */
  readonly lost: AttemptRecord | null;
  /** Whether the job was parked: it waited in a line. */
  readonly parked: boolean;
  /** The job's options, as BullMQ stores them. */
  readonly options: string;
  /** Null while the job is under our lock. */
  readonly endedAt: Date | null;
  /** A time before the end, by performance.now. */
  readonly since: number;
}

/** Called with each job that was settled, and its end time. */
export type SettleListener = (job: StoppedJob, at: Date) => void;

/** Jobs that one script ends, because a script blocks Redis. */
const ENDED_AT_ONCE = 50;
/** Tasks whose streams one script ends. */
const STREAMS_AT_ONCE = 500;

/** Settles the jobs that a stop took as cancelled, and follows up those that it has ended. */
export class Settler {
  readonly #redis: ScriptedRedis;
  readonly #queues: Queues;
  readonly #registry: Registry;
  readonly #lateRemovals: LateRemovals;
  readonly #endedTasks: EndedTasks;
  readonly #limiter: Limiter;
  readonly #schedulers: Schedulers;
  readonly #taskCounters: TaskCounters;
  readonly #keys: Keys;
  readonly #logger: Logger;
  readonly #onSettled: SettleListener | null;

  constructor({
    redis,
    queues,
    registry,
    endedTasks,
    limiter,
    schedulers,
    taskCounters,
    keys,
    clock,
    logger,
    onSettled,
  }: {
    redis: ScriptedRedis;
    queues: Queues;
    registry: Registry;
    endedTasks: EndedTasks;
    limiter: Limiter;
    schedulers: Schedulers;
    taskCounters: TaskCounters;
    keys: Keys;
    clock: Pick<FleetClock, 'now'>;
    logger: Logger;
    onSettled: SettleListener | null;
  }) {
    this.#redis = redis;
    this.#queues = queues;
    this.#registry = registry;
    this.#lateRemovals = new LateRemovals({ redis, keys, registry, clock });
    this.#endedTasks = endedTasks;
    this.#limiter = limiter;
    this.#schedulers = schedulers;
    this.#taskCounters = taskCounters;
    this.#keys = keys;
    this.#logger = logger;
    this.#onSettled = onSettled;
  }

  /**
   * Fails the jobs through BullMQ's script, so that its events and flows apply, and applies their retention. Returns the end time of each
   * settled job.
   */
  async settle(stopped: readonly StoppedJob[], token: string): Promise<Map<string, Date>> {
    const settled = new Map<string, Date>();
    if (stopped.length === 0) return settled;
    const writes = this.#registry.writes();
    const failing = [
      ...groupBy(
        stopped.filter(({ endedAt }) => endedAt === null),
        ({ queue }) => queue,
      ),
    ].map(([queue, jobs]) => this.#fail(queue, jobs, token));
    const parse = newOptionsParser();
    const ends: JobEnd[] = [];
    for (const job of stopped) if (job.endedAt !== null) ends.push({ job, parsed: parse(job), end: job.endedAt });
    ends.push(...(await Promise.all(failing)).flat());
    const retried = await this.#lateRemovals.retried(ends.map(({ job }) => job));
    const over: StoppedJob[] = [];
    const sent: unknown[] = [];
    const kept: EndedTask[] = [];
    const limited: string[] = [];
    for (const { job, parsed, end } of ends) {
      const { id, queue, name } = job;
      const { options, retention } = parsed;
      if (!(end instanceof Date)) {
        // The record stays: once our lock has expired, the next worker or the reconciler settles the task.
        this.#logger.warn({ id, error: end }, 'Could not settle a recorded stop at once; it will be settled later');
        continue;
      }
      settled.set(id, end);
      // The stop affects this run only: the schedule continues.
      if (isScheduledRun(id)) sent.push(this.#advance(queue, id, job.options));
      this.#count(job, options, end);
      this.#onSettled?.(job, end);
      // What follows would take entries, places and events from the next run.
      if (retried.has(id)) continue;
      over.push(job);
      // A task of a dead worker may hold what only its worker knew of.
      if (options.limits || job.parked || job.via === 'fence') limited.push(id);
      writes.remove(id, membershipsOf(options, name));
      if (retention && !keepsNone(retention.cancelled))
        kept.push({ id, queue, name, item: options.item ?? '', tags: options.tags, place: 'failed', retention });
    }
    if (limited.length > 0) sent.push(this.#release(limited));
    for (const some of chunks(over, STREAMS_AT_ONCE)) sent.push(this.#endStreams(some.map(({ id }) => id)));
    await Promise.all([...sent, ...writes.flushInto(this.#redis), this.#endedTasks.keep(kept)]);
    await this.#lateRemovals.check(over);
    return settled;
  }

  #count({ queue, name, stop, via }: StoppedJob, { item }: TaskJobOptions, settledAt: Date): void {
    // A plain BullMQ client may have used any name.
    const task = { queue, name: item === undefined ? UNKNOWN : name };
    this.#taskCounters.cancelled(task, {
      via,
      deliveredMs: null,
      settledMs: stop.at === null ? null : settledAt.getTime() - stop.at.getTime(),
    });
  }

  /** Never rejects: the reconciler frees the places of tasks that have ended. */
  async #release(ids: readonly string[]): Promise<void> {
    await this.#limiter
      .release(ids)
      .catch((error: unknown) =>
        this.#logger.warn(
          { tasks: ids.length, error: messageOf(error) },
          'Could not free the places of stopped tasks; the reconciler will',
        ),
      );
  }

  /** Never rejects: the tasks are cancelled even if their events do not say so. */
  async #endStreams(ids: readonly string[]): Promise<void> {
    await writeStates(this.#redis, this.#keys.events(''), 'cancelled', ids).catch((error: unknown) =>
      this.#logger.warn(
        { tasks: ids.length, error: messageOf(error) },
        "Could not write cancellations to the tasks' events; the tasks are cancelled",
      ),
    );
  }

  /** Never rejects: the workers add a missing next task of our schedules within a minute. */
  async #advance(queue: string, id: string, options: string): Promise<void> {
    await this.#schedulers
      .advance(queue, id, options)
      .catch((error: unknown) =>
        this.#logger.warn({ id, error: messageOf(error) }, "Could not add the schedule's next task after a stop; the workers will"),
      );
  }

  /** Never rejects: an error is the end of each job of its script. */
  async #fail(queue: string, jobs: readonly StoppedJob[], token: string): Promise<JobEnd[]> {
    // BullMQ defines its scripts on the connection first.
    await this.#queues.get(queue).getBackend().client;
    const scripts = chunks(jobs, ENDED_AT_ONCE).map(async (some) => {
      const calls = some.map((job) => this.#callOf(job, token));
      const keys = calls[0]?.args.slice(0, FINISH_KEYS) ?? [];
      const sending = this.#redis.failJobs(...keys, ...calls.flatMap(({ args }) => args.slice(FINISH_KEYS)));
      const results = await sending.catch((error: unknown) => some.map(() => messageOf(error)));
      return calls.map(({ args, ...call }, index): JobEnd => {
        const result = results[index];
        return { ...call, end: result === 0 ? new Date(Number(args[ENDED_AT])) : describeResult(result) };
      });
    });
    return (await Promise.all(scripts)).flat();
  }

  /** Makes the keys and arguments of BullMQ's script that fails a job. */
  #callOf(job: StoppedJob, token: string): Omit<JobEnd, 'end'> & { readonly args: readonly ScriptArgument[] } {
    const { id, queue, stop, via, lost } = job;
    const parsed = optionsOf(job);
    const { retention, bullmq } = parsed;
    const message = describeStop(stop.reason, stop.by);
    const fields = { failedReason: message, stacktrace: '[]', stop_via: via, ...(lost && attemptField(lost)) };
    // BullMQ uses only these fields, and reading the whole job would transfer its input. Jobs of foreign schedulers may lack
    // `attempts`, which the script compares.
    const failed = { id, opts: { attempts: 0, ...bullmq } } as Job;
    const removed = retention ? keepsNone(retention.cancelled) : (bullmq.removeOnFail ?? false);
    const args = this.#queues.backend(queue).moveToFailedArgs(failed, message, removed, token, false, fields);
    return { job, parsed, args };
  }
}

type ScriptArgument = string | number | boolean | Buffer;

interface ParsedOptions {
  readonly options: TaskJobOptions;
  readonly bullmq: JobsOptions;
  readonly retention: JobRetention | null;
}

/** A stopped job and how it ended: when, or why not. */
interface JobEnd {
  readonly job: StoppedJob;
  readonly parsed: ParsedOptions;
  readonly end: Date | string;
}

/** Position of the end time among the keys and arguments of BullMQ's script. */
const ENDED_AT = FINISH_KEYS + 1;

/** Explains a result of BullMQ's script other than 0. */
function describeResult(result: number | string | undefined): string {
  switch (result) {
    case -1:
      return 'its job is missing';
    case -2:
    case -6:
      return 'the lock of the stop is lost';
    case -3:
      return 'it is no longer active';
    default:
      return String(result);
  }
}

/** Makes a parser that parses the same text once: most tasks of an item have the same options. */
function newOptionsParser(): (job: StoppedJob) => ParsedOptions {
  let last: { readonly text: string; readonly parsed: ParsedOptions } | null = null;
  return (job) => {
    if (last?.text !== job.options) last = { text: job.options, parsed: optionsOf(job) };
    return last.parsed;
  };
}

/** Parses a job's options; none if they are unreadable, so that the job still ends. */
function optionsOf({ options: stored }: StoppedJob): ParsedOptions {
  let bullmq: JobsOptions = {};
  try {
    bullmq = Job.optsFromJSON(stored);
  } catch {
    // The job ends as one of another program.
  }
  return { options: readOptions(bullmq), bullmq, retention: retentionOf(bullmq) };
}
