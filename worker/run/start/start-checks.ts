import type { LoggerFactory } from '../../../shared/log/logger.js';
import { dueTimeOf, isAskedFor, isScheduledRun } from '../../../shared/schedule/schedule.js';
import { ShuttingDown } from '../../../shared/stop/cause.js';
import type { Store } from '../../../shared/store.js';
import type { AnyDefinition } from '../../../shared/task/definition.js';
import type { JobAddress, TaskJobOptions } from '../../../shared/task/job-options.js';
import type { FleetJob } from '../../fetch/fleet-job.js';
import type { RegistryWriter } from '../../registry-writer.js';
import { standingStop } from '../../stop-listener.js';
import { type Outcome, decideOutcome } from '../outcome.js';
import { type Run, runStopOf } from '../run.js';
import { deadlineMissed } from '../time-limits.js';
import { ScheduledStart } from './scheduled-start.js';
import { checkLosses } from './worker-loss.js';

interface StartChecksOptions {
  readonly store: Store;
  readonly writer: RegistryWriter;
  readonly loggers: LoggerFactory;
  /** Returns whether a stop of this task arrived lately, perhaps before the task was tracked. */
  readonly recentlyStopped: (id: string) => boolean;
}

/** Decides whether a fetched task may start: a stop, a shutdown, lost workers, its deadline or an overlap prevents it. */
export class StartChecks {
  readonly #scheduled: ScheduledStart;
  #draining = false;

  constructor(private readonly options: StartChecksOptions) {
    this.#scheduled = new ScheduledStart(options.store, options.loggers('schedule'));
  }

  /** Makes tasks that are still fetched go back to the queue unrun. */
  drain(): void {
    this.#draining = true;
  }

  /**
   * Returns the outcome of a task that must not start: stopped, requeued, lost too often, late, or overlapping. Null if it may start. Waits
   * only for a task that may have a standing stop or is scheduled.
   */
  check(run: Run, job: FleetJob, definition: AnyDefinition | undefined, deadline: number | null): Promise<Outcome | null> | Outcome | null {
    const { childOf, schedule } = job.taskOptions;
    if (this.#draining) run.abort(new ShuttingDown());
    const mayBeStopped = !this.#draining && (childOf !== undefined || this.options.recentlyStopped(run.id));
    if (mayBeStopped || schedule || isScheduledRun(run.id)) return this.#checkAll(run, job, { definition, deadline, mayBeStopped });
    return this.#checkNow(run, job, definition, deadline);
  }

  async #checkAll(
    run: Run,
    job: FleetJob,
    { definition, deadline, mayBeStopped }: { definition: AnyDefinition | undefined; deadline: number | null; mayBeStopped: boolean },
  ): Promise<Outcome | null> {
    const { childOf, schedule } = job.taskOptions;
    if (mayBeStopped) await this.#applyStandingStop(run, childOf);
    const prevented = this.#checkNow(run, job, definition, deadline);
    if (prevented !== null) return prevented;
    const scheduled = schedule ? await this.#scheduled.check(job) : null;
    if (scheduled !== null) return scheduled;
    // From here on, a stop of its item includes this task.
    if (isScheduledRun(run.id)) await this.options.writer.flush();
    return run.cause ? decideOutcome(run.cause, { kind: 'abandoned' }, null) : null;
  }

  #checkNow(run: Run, job: FleetJob, definition: AnyDefinition | undefined, deadline: number | null): Outcome | null {
    if (run.cause) return decideOutcome(run.cause, { kind: 'abandoned' }, null);
    const lost = definition ? checkLosses(job, definition) : null;
    if (lost !== null) return { kind: 'fail', error: lost };
    if (deadline !== null && this.options.store.clock.now() > deadline && !waitedForTurn(job))
      return { kind: 'fail', error: deadlineMissed(deadline) };
    return null;
  }

  /** Applies a stop that arrived before this run was tracked. */
  async #applyStandingStop(run: Run, parent: JobAddress | undefined): Promise<void> {
    const stop = await standingStop(this.options.store, run, parent);
    if (stop === null) return;
    run.via = 'queue';
    run.requestStop(runStopOf(stop));
  }
}

/** Whether a run that a person asked for was fetched before, in time, and has waited for its turn since: that must not cost it its run. */
function waitedForTurn({ id, queueName, taskOptions, attemptsStarted, attemptsMade }: FleetJob): boolean {
  const { schedule } = taskOptions;
  return schedule !== undefined && attemptsStarted > 1 && attemptsMade === 0 && isAskedFor(schedule, queueName, id as string);
}

/**
 * Returns the deadline for starting an attempt, in ms since the epoch; null for none. The deadline of a scheduled task is its definition's,
 * counted from its due time.
 */
export function deadlineOf(id: string, { deadline, schedule }: TaskJobOptions, definition: AnyDefinition | undefined): number | null {
  if (deadline !== undefined) return deadline;
  const deadlineMs = schedule && !schedule.retried && isScheduledRun(id) ? (definition?.deadlineMs ?? null) : null;
  return deadlineMs === null ? null : dueTimeOf(id) + deadlineMs;
}
