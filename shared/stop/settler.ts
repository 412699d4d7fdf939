import { Job, type JobsOptions, UnrecoverableError } from 'bullmq';
import { messageOf } from '../errors.js';
import type { Keys } from '../keys.js';
import { chunks } from '../limits.js';
import type { Logger } from '../logger.js';
import { UNKNOWN } from '../metrics/counters.js';
import type { TaskCounters } from '../metrics/task-counters.js';
import type { Registry } from '../registry/registry.js';
import { isScheduledRun } from '../schedule/schedule.js';
import type { Schedulers } from '../schedule/schedulers.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { writeState } from '../task/event-stream.js';
import { type TaskJobOptions, membershipsOf, readOptions } from '../task/job-options.js';
import type { Queues } from '../task/queues.js';
import { describeStop } from './cause.js';
import type { StopRecord } from './receipt.js';

/** A job that `recordStop` put under our lock. */
export interface HeldJob {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  readonly stop: StopRecord;
  /** `queue` if the job was waiting, `fence` if its owner is dead. */
  readonly via: 'queue' | 'fence';
  /** The job's options, as BullMQ stores them. */
  readonly options: string;
}

const BLOCKED_AT_ONCE = 1_000;

/** Settles the jobs held by a stop as cancelled. */
export class Settler {
  readonly #redis: ScriptedRedis;
  readonly #queues: Queues;
  readonly #registry: Registry;
  readonly #schedulers: Schedulers;
  readonly #taskCounters: TaskCounters;
  readonly #keys: Keys;
  readonly #logger: Logger;

  constructor({
    redis,
    queues,
    registry,
    schedulers,
    taskCounters,
    keys,
    logger,
  }: {
    redis: ScriptedRedis;
    queues: Queues;
    registry: Registry;
    schedulers: Schedulers;
    taskCounters: TaskCounters;
    keys: Keys;
    logger: Logger;
  }) {
    this.#redis = redis;
    this.#queues = queues;
    this.#registry = registry;
    this.#schedulers = schedulers;
    this.#taskCounters = taskCounters;
    this.#keys = keys;
    this.#logger = logger;
  }

  /** Fails the jobs through BullMQ's script, so that its events, flows and retention apply. Returns the end time of each settled job. */
  async settle(held: readonly HeldJob[], token: string): Promise<Map<string, Date>> {
    const settled = new Map<string, Date>();
    if (held.length === 0) return settled;
    const writes = this.#registry.writes();
    const outcomes = await Promise.allSettled(held.map((job) => this.#fail(job, token)));
    const sent: unknown[] = [];
    held.forEach((job, index) => {
      const { id, queue, options: stored } = job;
      const outcome = outcomes[index] as PromiseSettledResult<Date>;
      if (outcome.status === 'rejected') {
        // The record stays: once our lock has expired, the next worker or the reconciler settles the task.
        this.#logger.warn({ id, error: messageOf(outcome.reason) }, 'Could not settle a recorded stop at once; it will be settled later');
        return;
      }
      settled.set(id, outcome.value);
      // The stop affects this run only: the schedule continues.
      if (isScheduledRun(id)) sent.push(this.#advance(queue, id, stored));
      const options = readOptions(stored);
      this.#count(job, options, outcome.value);
      writes.remove(id, membershipsOf(options));
      sent.push(this.#writeEvent(id));
    });
    const blocked = groupByQueue(held, settled).map(([queue, ids]) => this.#queues.blockRetry(queue, ids));
    await Promise.all([...sent, ...blocked, ...writes.flushInto(this.#redis)]);
    return settled;
  }

  #count({ queue, name, stop, via }: HeldJob, { item }: TaskJobOptions, settledAt: Date): void {
    // A plain BullMQ client may have used any name.
    const task = { queue, name: item === undefined ? UNKNOWN : name };
    this.#taskCounters.cancelled(task, {
      via,
      deliveredMs: null,
      settledMs: stop.at === null ? null : settledAt.getTime() - stop.at.getTime(),
    });
  }

  /** Never rejects: the task is cancelled even if its events do not say so. */
  async #writeEvent(id: string): Promise<void> {
    await Promise.all(writeState(this.#redis, this.#keys.events(id), 'cancelled')).catch((error: unknown) =>
      this.#logger.warn({ id, error: messageOf(error) }, "Could not write a cancellation to the task's events; the task is cancelled"),
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

  /** Returns the end time. */
  async #fail({ id, queue, stop, via, options }: HeldJob, token: string): Promise<Date> {
    const failure = new UnrecoverableError(describeStop(stop.reason, stop.by));
    const fields = { failedReason: failure.message, stacktrace: '[]', stop_via: via };
    // BullMQ uses only these fields, and reading the whole job would transfer its input. Jobs of foreign schedulers may lack
    // `attempts`, which the script compares.
    const job = { id, opts: { attempts: 0, ...bullmqOptions(options) } } as Job;
    const { finishedOn } = await this.#queues
      .backend(queue)
      .moveToFailed(job, failure.message, job.opts.removeOnFail ?? false, token, false, fields);
    return new Date(Number(finishedOn));
  }
}

/** Parses a job's options; none if they are unreadable, so that the job still ends. */
function bullmqOptions(stored: string): JobsOptions {
  try {
    return Job.optsFromJSON(stored);
  } catch {
    return {};
  }
}

/** Splits the settled ids by queue into groups for one script each. */
function groupByQueue(held: readonly HeldJob[], settled: ReadonlyMap<string, Date>): [queue: string, ids: string[]][] {
  const queues = [...new Set(held.map(({ queue }) => queue))];
  return queues.flatMap((queue) => {
    const ids = held.flatMap((job) => (job.queue === queue && settled.has(job.id) ? [job.id] : []));
    return chunks(ids, BLOCKED_AT_ONCE).map((some): [string, string[]] => [queue, some]);
  });
}
