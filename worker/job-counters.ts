import type { FleetClock } from '../shared/clock/fleet-clock.js';
import { UNKNOWN } from '../shared/metrics/fields.js';
import type { CountedTask, TaskCounters } from '../shared/metrics/task-counters.js';
import { dueTimeOf, isScheduledRun } from '../shared/schedule/schedule.js';
import { taskOptions } from '../shared/task/job-options.js';
import type { TerminalState } from '../shared/task/state.js';
import type { FleetJob } from './fleet-job.js';

/** Counts what a worker fetches and ends. What a stopper settled under its own lock never ends here: it was counted there. */
export class JobCounters {
  readonly #taskCounters: TaskCounters;
  readonly #known: ReadonlyMap<string, unknown>;
  readonly #clock: Pick<FleetClock, 'now'>;

  /** `known` has the names of the tasks that there are handlers for. */
  constructor(taskCounters: TaskCounters, known: ReadonlyMap<string, unknown>, clock: Pick<FleetClock, 'now'>) {
    this.#taskCounters = taskCounters;
    this.#known = known;
    this.#clock = clock;
  }

  /** Each task waits once, whatever becomes of its attempts. */
  fetched(job: FleetJob): void {
    if (job.attemptsStarted > 1) return;
    const { item, schedule, retriedAt } = taskOptions(job.opts);
    const task = this.#taskOf(job);
    // What a schedule or a plain BullMQ queue has added, no producer has counted.
    if ((item === undefined || schedule) && retriedAt === undefined) this.#taskCounters.enqueued(task);
    this.#taskCounters.started(task, (job.processedOn ?? this.#clock.now()) - (retriedAt ?? dueAt(job)));
  }

  /** An attempt has failed, and there will be another one. */
  attempted(job: FleetJob): void {
    const { run } = job;
    // A stop that came before the handler was called left nothing to time.
    if (run && run.via !== 'queue') this.#taskCounters.ran(this.#taskOf(job), this.#clock.now() - run.startedAt);
  }

  ended(job: FleetJob, state: TerminalState): void {
    this.attempted(job);
    if (state === 'cancelled') this.#cancelled(job);
    else this.#taskCounters.finished(this.#taskOf(job), state);
  }

  #cancelled(job: FleetJob): void {
    const { run, finishedOn } = job;
    const stop = run?.stop;
    const task = this.#taskOf(job);
    // Its deferred failure ended it, here or, if it had stalled, after its owner died.
    if (!run || !stop)
      return this.#taskCounters.cancelled(task, { via: job.stalledCounter > 0 ? 'fence' : 'queue', deliveredMs: null, settledMs: null });
    // 0 stands for a record that somebody wrote by hand and without a time.
    const since = (at: number | null | undefined): number | null => (stop.at > 0 && at ? at - stop.at : null);
    const deliveredMs = run.via === 'queue' ? null : since(run.stopHeardAt);
    this.#taskCounters.cancelled(task, { via: run.via, deliveredMs, settledMs: since(finishedOn) });
  }

  #taskOf({ queueName, name }: FleetJob): CountedTask {
    return { queue: queueName, name: this.#known.has(name) ? name : UNKNOWN };
  }
}

/** When it could have been fetched first, in ms since the epoch. */
function dueAt({ id, timestamp, opts }: FleetJob): number {
  return isScheduledRun(id as string) ? dueTimeOf(id as string) : timestamp + (opts.delay ?? 0);
}
