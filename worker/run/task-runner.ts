import { DelayedError, WaitingError } from 'bullmq';
import { FleetError, messageOf } from '../../shared/errors.js';
import type { Logger, LoggerFactory } from '../../shared/logger.js';
import { isTime } from '../../shared/records/hash-reader.js';
import type { Schemas } from '../../shared/records/heartbeats.js';
import { keepsOrder } from '../../shared/redis/connection.js';
import { dueTimeOf, isScheduledRun } from '../../shared/schedule/schedule.js';
import type { Settings } from '../../shared/settings/settings.js';
import { ShuttingDown, describeStop } from '../../shared/stop/cause.js';
import { formatStop, parseStop } from '../../shared/stop/receipt.js';
import type { Store } from '../../shared/store.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import type { ChildEnqueuer } from '../../shared/task/handler.js';
import { type JobAddress, type TaskJobOptions, taskOptions } from '../../shared/task/job-options.js';
import { MAINTENANCE_QUEUE } from '../builtin/definitions.js';
import { type FleetJob, Stopped, untilAccepted } from '../fetch/fleet-job.js';
import type { JobCounters } from '../fetch/job-counters.js';
import type { RegistryWriter } from '../registry-writer.js';
import { standingStop } from '../stop-listener.js';
import type { LoadedHandler } from '../task-modules.js';
import { RunContext, validate } from './context.js';
import { Escalation, deadlineMissed } from './escalation.js';
import { type Outcome, decideOutcome, failWith } from './outcome.js';
import { TaskOutput, resultJson } from './output.js';
import { type ActiveRuns, Run } from './run.js';
import { ScheduledStart } from './scheduled-start.js';
import type { Threads } from './threads/threads.js';
import { OtherVersions, UnknownTasks } from './unknown-tasks.js';

interface TaskRunnerOptions {
  readonly workerId: string;
  /** The input schemas of the handlers. */
  readonly schemas: Schemas;
  readonly handlers: ReadonlyMap<string, LoadedHandler>;
  readonly settings: Settings;
  readonly store: Store;
  readonly runs: ActiveRuns;
  readonly writer: RegistryWriter;
  readonly threads: Threads;
  readonly taskCounters: JobCounters;
  readonly loggers: LoggerFactory;
  /** Returns whether a stop of this task arrived lately, perhaps before the task was tracked. */
  readonly recentlyStopped: (id: string) => boolean;
  /** The producer behind `context.enqueue`; null if the worker has none. */
  readonly producer: ChildEnqueuer | null;
}

/** Tolerated lead of Redis' clock over the fleet clock, in ms. */
const AHEAD_MS = 500;

/**
 * Runs one attempt, in the order of this file:
 * 1. tracks and registers the run,
 * 2. checks whether the handler may be called: a stop, a shutdown, the deadline, an overlap or a missing handler prevent it,
 * 3. validates the input and calls the handler, with escalation after an abort, and validates the output,
 * 4. returns the result, or makes BullMQ fail, requeue, defer or drop the job.
 */
export class TaskRunner {
  readonly #logger: Logger;
  readonly #taskLogger: Logger;
  readonly #escalation: Escalation;
  readonly #scheduled: ScheduledStart;
  readonly #unknown: UnknownTasks;
  readonly #versions: OtherVersions;
  #draining = false;

  constructor(private readonly options: TaskRunnerOptions) {
    this.#logger = options.loggers('worker');
    this.#taskLogger = options.loggers('task');
    this.#escalation = new Escalation({
      ...options,
      stopGraceMs: options.settings.stopGraceMs,
      clock: options.store.clock,
      logger: this.#logger,
    });
    this.#scheduled = new ScheduledStart(options.store, options.loggers('schedule'));
    this.#unknown = new UnknownTasks(options.handlers.keys(), this.#logger);
    this.#versions = new OtherVersions(options.store, options.workerId, options.schemas);
  }

  /** Makes tasks that are still fetched go back to the queue unrun. */
  drain(): void {
    this.#draining = true;
  }

  /** Returns whether a queue lately had tasks without a handler here, which another worker should fetch. */
  lacksHandlers(queue: string): boolean {
    return this.#unknown.cameLately(queue);
  }

  /** BullMQ's processor. Resolves with the result, or throws the error that makes BullMQ apply the outcome. */
  async run(job: FleetJob, token: string): Promise<unknown> {
    const { onStep } = this.options.store;
    if (onStep) await onStep('worker:fetched', job.id as string);
    await this.#checkClock(job);
    const run = this.#begin(job, token);
    try {
      if (onStep) await onStep('worker:tracked', run.id);
      const outcome = await this.#attempt(run, job);
      run.end();
      // A single connection keeps the order; a cluster client does not.
      if (!keepsOrder(this.options.store.redis)) await run.output?.written();
      if (onStep) await onStep('worker:ended', run.id);
      return outcome.kind === 'complete' ? outcome.value : await this.#conclude(run, job, token, outcome);
    } finally {
      run.end();
      this.options.runs.untrack(run);
    }
  }

  /** Measures the clock again if the lock seems expired or in the future: this process was frozen, or Redis' clock was set. */
  async #checkClock({ processedOn }: FleetJob): Promise<void> {
    const { store, settings } = this.options;
    if (processedOn === undefined || !store.clock.known) return;
    const ageMs = store.clock.now() - processedOn;
    if (ageMs > settings.lockMs || ageMs < -AHEAD_MS) await store.clock.measure();
  }

  #begin(job: FleetJob, token: string): Run {
    const { item } = taskOptions(job.opts);
    const { clock } = this.options.store;
    const id = job.id as string;
    const run = new Run({
      id,
      queue: job.queueName,
      name: job.name,
      item: item ?? '',
      token,
      lockMs: this.options.settings.lockMs,
      lockedAt: (clock.known && job.processedOn) || clock.now(),
      clock,
    });
    job.run = run;
    // Producers register their tasks; a job without our options comes from a plain BullMQ queue.
    if (item === undefined)
      this.options.writer.add({ id, item: '', queue: run.queue, at: isTime(job.timestamp) ? job.timestamp : clock.now() });
    // Scheduled tasks are registered once due, except the fleet's own, which users do not see.
    else if (isScheduledRun(id) && run.queue !== MAINTENANCE_QUEUE)
      this.options.writer.add({ id, item, queue: run.queue, at: dueTimeOf(id) });
    this.options.runs.track(run);
    this.options.taskCounters.fetched(job);
    return run;
  }

  async #attempt(run: Run, job: FleetJob): Promise<Outcome> {
    const handler = this.options.handlers.get(run.name);
    const deadline = deadlineOf(run.id, taskOptions(job.opts), handler?.definition);
    const prevented = await this.#checkStart(run, job, deadline);
    if (prevented !== null) return prevented;
    if (!handler) return this.#unknown.outcomeOf(job);
    const input = validate(handler.definition.input, job.data);
    if (!input.ok) return this.#badInput(run, job, new FleetError('INVALID_INPUT', `Bad input for ${run.name}: ${input.problem}`));
    const context = new RunContext({
      run,
      attempt: job.attemptsMade + 1,
      input: input.value,
      output: () => this.#outputOf(run, job),
      producer: this.options.producer,
      logger: this.#taskLogger,
    });
    // After a freeze since the fetch, another worker may have finished the task.
    if (!run.checkLock()) return decideOutcome(run.cause, { kind: 'abandoned' }, null);
    const end = await (handler.isolated(input.value)
      ? this.#escalation.inThread(run, handler, context, deadline)
      : this.#escalation.inProcess(run, handler, context));
    return this.#checkOutput(job, handler, decideOutcome(run.cause, end, handler.definition));
  }

  /** Returns the outcome of a task that must not start: stopped, requeued at a shutdown, late, or overlapping. Null if it may start. */
  async #checkStart(run: Run, job: FleetJob, deadline: number | null): Promise<Outcome | null> {
    const { childOf } = taskOptions(job.opts);
    if (this.#draining) run.abort(new ShuttingDown());
    else if (childOf || this.options.recentlyStopped(run.id)) await this.#applyStandingStop(run, childOf);
    if (run.cause) return decideOutcome(run.cause, { kind: 'abandoned' }, null);
    if (deadline !== null && this.options.store.clock.now() > deadline) return { kind: 'fail', error: deadlineMissed(deadline) };
    const scheduled = await this.#scheduled.check(job);
    if (scheduled !== null) return scheduled;
    // From here on, a stop of its item includes this task.
    if (isScheduledRun(run.id)) await this.options.writer.flush();
    return run.cause ? decideOutcome(run.cause, { kind: 'abandoned' }, null) : null;
  }

  /** Applies a stop that arrived before this run was tracked. */
  async #applyStandingStop(run: Run, parent: JobAddress | undefined): Promise<void> {
    const stop = await standingStop(this.options.store, run, parent);
    if (stop === null) return;
    run.via = 'queue';
    run.requestStop({ reason: stop.reason, by: stop.by, at: stop.at?.getTime() ?? 0 });
  }

  /** Fails the attempt, unless another live worker may accept the input: then defers the task to it. */
  async #badInput(run: Run, job: FleetJob, error: FleetError): Promise<Outcome> {
    const elsewhere = await untilAccepted(() => this.#versions.have(run.name));
    if (run.cause) return decideOutcome(run.cause, { kind: 'abandoned' }, null);
    return elsewhere ? this.#unknown.ofOtherVersion(job, error) : failWith(error);
  }

  #outputOf(run: Run, job: FleetJob): TaskOutput {
    const { redis, keys } = this.options.store;
    run.output ??= new TaskOutput(
      redis,
      keys.events(run.id),
      job.attemptsMade + 1,
      (progress) => job.updateProgress(progress),
      () => run.checkLock(),
      (error) => this.#logger.warn({ id: run.id, error: messageOf(error) }, 'Could not write task output'),
    );
    return run.output;
  }

  #checkOutput(job: FleetJob, { definition }: LoadedHandler, outcome: Outcome): Outcome {
    if (outcome.kind !== 'complete') return outcome;
    const checked = definition.output === null ? null : validate(definition.output, outcome.value);
    if (checked && !checked.ok) return failWith(new FleetError('INVALID_OUTPUT', `Bad output of ${definition.name}: ${checked.problem}`));
    try {
      job.resultJson = resultJson(definition.name, outcome.value, this.options.settings.maxResultBytes);
      return outcome;
    } catch (error) {
      return failWith(error);
    }
  }

  async #conclude(run: Run, job: FleetJob, token: string, outcome: Exclude<Outcome, { kind: 'complete' }>): Promise<never> {
    switch (outcome.kind) {
      case 'fail':
        throw outcome.error;
      case 'cancel':
        await this.#recordStop(run);
        throw new Stopped(run);
      case 'requeue':
        return this.#requeue(run, job, token);
      case 'defer':
        return this.#defer(run, job, token, outcome);
      case 'drop':
        this.#logger.warn({ id: run.id, name: run.name }, 'Lost the lock; dropping the result');
        throw new WaitingError();
    }
  }

  /** Records the stop, or adopts an earlier record: the stop message may differ from the record, or arrive before it. */
  async #recordStop(run: Run): Promise<void> {
    const { redis, keys, clock } = this.options.store;
    const { reason, by, at } = run.stop ?? { reason: null, by: null, at: clock.now() };
    const received = formatStop({ reason, by, at });
    const job = keys.jobs(run.queue) + run.id;
    const kept = await untilAccepted(() => redis.keepStop(job, `${job}:lock`, received, describeStop(reason, by), run.token));
    const stop = parseStop(kept, null);
    if (stop) run.stop = { reason: stop.reason, by: stop.by, at: stop.at?.getTime() ?? 0 };
  }

  async #requeue({ id, name, queue }: Run, job: FleetJob, token: string): Promise<never> {
    await untilAccepted(() => job.moveToWait(token));
    this.#logger.info({ id, name }, 'Requeued the task');
    await this.#settleLateStop(queue, id);
    throw new WaitingError();
  }

  async #defer({ id, queue }: Run, job: FleetJob, token: string, outcome: Outcome & { kind: 'defer' }): Promise<never> {
    await untilAccepted(() => job.defer(outcome, token));
    await this.#settleLateStop(queue, id);
    throw new DelayedError();
  }

  /** Settles a stop that arrived just before the task went back: no worker may fetch the task for a long time. */
  async #settleLateStop(queue: string, id: string): Promise<void> {
    const settling = this.options.store.stopper.settleIfStopped(queue, id);
    await settling.catch((error: unknown) => this.#logger.warn({ id, error }, 'Could not check for a stop after requeueing'));
  }
}

/**
 * Returns the deadline for starting an attempt, in ms since the epoch; null for none. The deadline of a scheduled task is its definition's,
 * counted from its due time.
 */
function deadlineOf(id: string, { deadline, schedule }: TaskJobOptions, definition: AnyDefinition | undefined): number | null {
  if (deadline !== undefined) return deadline;
  const deadlineMs = schedule && !schedule.retried && isScheduledRun(id) ? (definition?.deadlineMs ?? null) : null;
  return deadlineMs === null ? null : dueTimeOf(id) + deadlineMs;
}
