import type { FleetClock } from '../../shared/clock/fleet-clock.js';
import { waitsFrom } from '../../shared/limiter/parked-jobs.js';
import { UNKNOWN } from '../../shared/metrics/fields.js';
import type { CountedTask, TaskCounters } from '../../shared/metrics/task-counters.js';
import { dueTimeOf, isScheduledRun } from '../../shared/schedule/schedule.js';
import type { TerminalState } from '../../shared/task/state.js';
import type { FleetJob } from './fleet-job.js';

/** Counts the tasks that a worker fetches and finishes. Tasks settled by a stopper under its own lock are counted there. */
export class JobCounters {
  /** @param known keyed by the names of tasks with a handler */
  constructor(
    private readonly taskCounters: TaskCounters,
    private readonly known: ReadonlyMap<string, unknown>,
    private readonly clock: Pick<FleetClock, 'now'>,
  ) {}

  /** Counts a task at its first fetch: later attempts do not count as waiting. */
  fetched(job: FleetJob): void {
    if (job.attemptsStarted > 1) return;
    const { item, schedule, retriedAt } = job.taskOptions;
    const task = this.#taskOf(job);
    // No producer has counted scheduled tasks or jobs of plain BullMQ queues.
    if ((item === undefined || schedule) && retriedAt === undefined) this.taskCounters.enqueued(task);
    this.taskCounters.started(task, (job.processedOn ?? this.clock.now()) - (retriedAt ?? dueAt(job)));
  }

  /** Counts a failed attempt that will be retried. */
  attempted(job: FleetJob): void {
    this.#attempted(job, this.#taskOf(job));
  }

  ended(job: FleetJob, state: TerminalState): void {
    const task = this.#taskOf(job);
    // A skipped task has no attempt to time.
    if (state !== 'skipped') this.#attempted(job, task);
    if (state === 'cancelled') this.#cancelled(job, task);
    else this.taskCounters.finished(task, state);
  }

  #attempted({ run }: FleetJob, task: CountedTask): void {
    // A stop before the call of the handler leaves nothing to time.
    if (run && run.via !== 'queue') this.taskCounters.ran(task, this.clock.now() - run.startedAt);
  }

  #cancelled(job: FleetJob, task: CountedTask): void {
    const { run, finishedOn } = job;
    const stop = run?.stop;
    // BullMQ failed the job without running it: stopped in the queue or, if it had stalled, after its owner died.
    if (!run || !stop)
      return this.taskCounters.cancelled(task, { via: job.stalledCounter > 0 ? 'fence' : 'queue', deliveredMs: null, settledMs: null });
    // 0 marks a hand-written record without a time.
    const since = (at: number | null | undefined): number | null => (stop.at > 0 && at ? at - stop.at : null);
    const deliveredMs = run.via === 'queue' ? null : since(run.stopHeardAt);
    this.taskCounters.cancelled(task, { via: run.via, deliveredMs, settledMs: since(finishedOn) });
  }

  #taskOf({ queueName, name }: FleetJob): CountedTask {
    return { queue: queueName, name: this.known.has(name) ? name : UNKNOWN };
  }
}

/** The earliest time at which the job could have been fetched, in ms since the epoch. */
function dueAt({ id, timestamp, opts }: FleetJob): number {
  return isScheduledRun(id as string) ? dueTimeOf(id as string) : waitsFrom(timestamp, opts.delay ?? 0);
}
