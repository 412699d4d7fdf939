import type { FleetClock } from '../../shared/clock/fleet-clock.js';
import { isError, messageOf } from '../../shared/errors.js';
import { type Logger, RepeatedLines } from '../../shared/log/logger.js';
import { dueTimeOf, isScheduledRun } from '../../shared/schedule/schedule.js';
import type { StoppedJob } from '../../shared/stop/settler.js';
import { readOptions } from '../../shared/task/job-options.js';
import type { TerminalState } from '../../shared/task/state.js';
import { MAINTENANCE_QUEUE } from '../builtin/definitions.js';
import { type FleetJob, NotRunAgain } from '../fetch/fleet-job.js';
import type { Outcome } from '../run/outcome.js';
import { attemptOutcome, thrownIn } from './attempt-span.js';
import { type AttemptStart, HOOK_NAMES, type HookName, type HookTask, type TaskEnd, type WorkerHooks } from './hooks.js';

interface HookCallerOptions {
  readonly hooks: readonly WorkerHooks[];
  readonly workerId: string;
  readonly clock: Pick<FleetClock, 'now'>;
  readonly logger: Logger;
}

/** The part of a job that its hooks see. */
export type HookedJob = Pick<FleetJob, 'id' | 'name' | 'queueName' | 'taskOptions' | 'maxAttempts'>;

/** The part of a job that its hooks see at its end. */
export type FinishedJob = HookedJob & Pick<FleetJob, 'finishedOn' | 'timestamp' | 'attemptsMade' | 'losses' | 'run' | 'stoppedBefore'>;

/** The outcome of a task whose handler was called. */
type AttemptedOutcome = Exclude<Outcome, { readonly kind: 'skip' }>;

/** How often the failure of one hook is logged, in ms. */
const REPEAT_LOG_MS = 60_000;

/** Calls the hooks of a worker, in the order in which they were given. */
export class HookCaller {
  /** Promises that hooks returned, and that are still pending. */
  readonly #pending = new Set<Promise<unknown>>();
  readonly #failures: RepeatedLines;

  private constructor(private readonly options: HookCallerOptions) {
    this.#failures = new RepeatedLines(options.logger, { intervalMs: REPEAT_LOG_MS });
  }

  /** Returns null without hooks, so that an attempt pays nothing for them. */
  static of(options: HookCallerOptions): HookCaller | null {
    return options.hooks.some((hooks) => HOOK_NAMES.some((name) => hooks[name])) ? new HookCaller(options) : null;
  }

  /** Returns the start, for {@link attemptEnded}; null for a task without hooks. */
  attemptStarted(job: HookedJob, { attempt, input }: Pick<AttemptStart, 'attempt' | 'input'>): AttemptStart | null {
    if (job.queueName === MAINTENANCE_QUEUE) return null;
    const { workerId: worker, clock } = this.options;
    const start = { task: hookTaskOf(job), attempt, maxAttempts: job.maxAttempts, input, worker, startedAt: new Date(clock.now()) };
    this.#call('onAttemptStart', start);
    return start;
  }

  attemptEnded(start: AttemptStart, outcome: AttemptedOutcome, timedOut: boolean): void {
    const endedAt = new Date(this.options.clock.now());
    const error = 'error' in outcome ? thrownIn(outcome.error) : null;
    const durationMs = Math.max(0, endedAt.getTime() - start.startedAt.getTime());
    this.#call('onAttemptEnd', { ...start, outcome: attemptOutcome(outcome, timedOut), error, endedAt, durationMs });
  }

  /** @param error for a failed task */
  jobFinished(job: FinishedJob, state: TerminalState, error: Error | null): void {
    const { id, finishedOn = this.options.clock.now(), timestamp } = job;
    const since = isScheduledRun(id as string) ? dueTimeOf(id as string) : timestamp;
    this.#taskFinished({
      task: hookTaskOf(job),
      state,
      attempts: attemptsOf(job, state, error),
      error: state === 'failed' && error ? thrownIn(error) : null,
      finishedAt: new Date(finishedOn),
      totalMs: Math.max(0, finishedOn - since),
    });
  }

  /** Reports a stopped task that this worker settled without running it. */
  stopSettled({ id, name, queue, options }: StoppedJob, finishedAt: Date): void {
    const task = { id, name, queue, item: readOptions(options).item || null };
    this.#taskFinished({ task, state: 'cancelled', attempts: null, error: null, finishedAt, totalMs: null });
  }

  #taskFinished(end: TaskEnd): void {
    if (end.task.queue === MAINTENANCE_QUEUE) return;
    if (end.error) this.#call('onTaskFailed', { ...end, error: end.error });
    this.#call('onTaskFinished', end);
  }

  /** Waits for the promises that hooks returned. */
  async idle(): Promise<void> {
    await Promise.all(this.#pending);
  }

  #call<Name extends HookName>(name: Name, event: Parameters<NonNullable<WorkerHooks[Name]>>[0]): void {
    for (const hooks of this.options.hooks) {
      const hook = hooks[name] as ((given: typeof event) => unknown) | undefined;
      if (!hook) continue;
      try {
        const answer = hook(event);
        if (isThenable(answer)) this.#track(Promise.resolve(answer).catch((error: unknown) => this.#report(name, event.task, error)));
      } catch (error) {
        this.#report(name, event.task, error);
      }
    }
  }

  #track(pending: Promise<unknown>): void {
    this.#pending.add(pending);
    void pending.then(() => this.#pending.delete(pending));
  }

  #report(hook: HookName, { id, name }: HookTask, error: unknown): void {
    const fields = { hook, id, name, error: isError(error) ? error : messageOf(error) };
    this.#failures.warn(hook, fields, 'Hook failed; the task is not affected');
  }
}

/** Returns the number of attempts as in the task's view: without a last fetch that only ended the task, although BullMQ counts it. */
function attemptsOf({ attemptsMade, losses, run, stoppedBefore }: FinishedJob, state: TerminalState, error: Error | null): number {
  const stoppedUnrun = state === 'cancelled' && (stoppedBefore || run?.via === 'queue');
  const unrun = state === 'skipped' || stoppedUnrun || error instanceof NotRunAgain;
  return attemptsMade + losses - (unrun ? 1 : 0);
}

function hookTaskOf({ id, name, queueName, taskOptions: { item } }: HookedJob): HookTask {
  return { id: id as string, name, queue: queueName, item: item || null };
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
