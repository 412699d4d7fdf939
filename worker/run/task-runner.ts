import { FleetError, messageOf } from '../../shared/errors.js';
import type { Logger, LoggerFactory } from '../../shared/log/logger.js';
import { isTime } from '../../shared/records/hash-reader.js';
import { keepsOrder } from '../../shared/redis/connection.js';
import { dueTimeOf, isScheduledRun } from '../../shared/schedule/schedule.js';
import type { Settings } from '../../shared/settings/settings.js';
import type { Store } from '../../shared/store.js';
import type { ChildEnqueuer } from '../../shared/task/handler.js';
import { ancestorsOf } from '../../shared/task/job-options.js';
import { validate } from '../../shared/task/payload/payload.js';
import type { Telemetry } from '../../shared/tracing/telemetry.js';
import type { Schemas } from '../../shared/workers/heartbeats.js';
import { MAINTENANCE_QUEUE } from '../builtin/definitions.js';
import type { FleetJob } from '../fetch/fleet-job.js';
import type { JobCounters } from '../fetch/job-counters.js';
import { untilAccepted } from '../fetch/settle/refusals.js';
import { startSpan } from '../hooks/attempt-span.js';
import type { HookCaller } from '../hooks/hook-caller.js';
import type { MiddlewareChain } from '../hooks/middleware.js';
import type { RegistryWriter } from '../registry-writer.js';
import type { LoadedHandler } from '../task-modules.js';
import { Conclusion } from './conclusion.js';
import { RunContext } from './context.js';
import { Escalation } from './escalation.js';
import { HandlerCalls } from './handler-call.js';
import { TaskLoggers } from './log/task-loggers.js';
import { type Outcome, decideOutcome, failWith } from './outcome.js';
import { TaskOutput } from './output.js';
import type { Releases } from './releases.js';
import { type ActiveRuns, Run } from './run.js';
import { Spending } from './spending.js';
import { LimitGate } from './start/limit-gate.js';
import { StartChecks, deadlineOf } from './start/start-checks.js';
import { OtherVersions, UnknownTasks } from './start/unknown-tasks.js';
import type { Quarantine } from './threads/quarantine.js';
import type { Threads } from './threads/threads.js';

interface TaskRunnerOptions {
  readonly workerId: string;
  /** The input schemas of the handlers. */
  readonly schemas: Schemas;
  readonly handlers: ReadonlyMap<string, LoadedHandler>;
  readonly settings: Settings;
  readonly store: Store;
  readonly runs: ActiveRuns;
  readonly writer: RegistryWriter;
  readonly releases: Releases;
  readonly threads: Threads;
  readonly quarantine: Quarantine;
  readonly taskCounters: JobCounters;
  readonly loggers: LoggerFactory;
  /** Returns whether a stop of this task arrived lately, perhaps before the task was tracked. */
  readonly recentlyStopped: (id: string) => boolean;
  /** The producer behind `context.enqueue`; null if the worker has none. */
  readonly producer: ChildEnqueuer | null;
  /** Null for none. */
  readonly hooks: HookCaller | null;
  /** Null for none. */
  readonly middleware: MiddlewareChain | null;
  /** Null for none. */
  readonly telemetry: Telemetry | null;
}

/** Tolerated lead of Redis' clock over the fleet clock, in ms. */
const AHEAD_MS = 500;
/** After how long a task asks for its turn again, in ms: see `Quarantine`. */
const TURN_MS = 1_000;

/**
 * Runs one attempt, in the order of this file:
 * 1. tracks and registers the run,
 * 2. checks whether the handler may be called (`StartChecks`), and validates the input,
 * 3. checks the limits (`LimitGate`), calls the handler, with escalation after an abort, and validates the output (`HandlerCalls`),
 * 4. returns the result, or applies another outcome (`Conclusion`).
 */
export class TaskRunner {
  readonly #logger: Logger;
  readonly #taskLoggers: TaskLoggers;
  readonly #calls: HandlerCalls;
  readonly #checks: StartChecks;
  readonly #gate: LimitGate;
  readonly #conclusion: Conclusion;
  readonly #unknown: UnknownTasks;
  readonly #versions: OtherVersions;

  constructor(private readonly options: TaskRunnerOptions) {
    this.#logger = options.loggers('worker');
    this.#taskLoggers = new TaskLoggers({
      ...{ store: options.store, taskLogger: options.loggers('task'), logger: this.#logger },
      kept: options.settings.taskLogLevelKept,
    });
    const escalation = new Escalation({
      ...options,
      stopGraceMs: options.settings.stopGraceMs,
      clock: options.store.clock,
      logger: this.#logger,
    });
    this.#calls = new HandlerCalls({ escalation, hooks: options.hooks, maxResultBytes: options.settings.maxResultBytes });
    this.#checks = new StartChecks(options);
    this.#gate = new LimitGate({ ...options.store, logger: this.#logger });
    this.#conclusion = new Conclusion({ ...options, logger: this.#logger, taskLogger: options.loggers('task') });
    this.#unknown = new UnknownTasks(options.handlers.keys(), this.#logger);
    this.#versions = new OtherVersions(options.store, options.workerId, options.schemas);
  }

  /** Makes tasks that are still fetched go back to the queue unrun. */
  drain(): void {
    this.#checks.drain();
  }

  /** Returns whether a queue lately had tasks without a handler here, which another worker should fetch. */
  lacksHandlers(queue: string): boolean {
    return this.#unknown.cameLately(queue);
  }

  /** BullMQ's processor. Resolves with the result, or throws the error that makes BullMQ apply the outcome. */
  async run(job: FleetJob, token: string): Promise<unknown> {
    const { onStep } = this.options.store;
    if (onStep) await onStep('worker:fetched', job.id as string);
    if (this.#seemsWrong(job)) await this.options.store.clock.measure();
    const run = this.#begin(job, token);
    try {
      if (onStep) await onStep('worker:tracked', run.id);
      const outcome = await this.#attempt(run, job);
      run.end();
      // A single connection keeps the order; a cluster client does not.
      if ((run.output || run.log) && !keepsOrder(this.options.store.redis)) await Promise.all([run.output?.written(), run.log?.written()]);
      if (onStep) await onStep('worker:ended', run.id);
      return outcome.kind === 'complete' ? outcome.value : await this.#conclusion.apply(run, job, outcome);
    } finally {
      run.end();
      this.options.runs.untrack(run);
      if (job.losses > 0) this.options.quarantine.leave(job);
    }
  }

  /** Whether the lock seems expired or in the future: this process was frozen, or Redis' clock was set. */
  #seemsWrong({ processedOn }: FleetJob): boolean {
    const { store, settings } = this.options;
    if (processedOn === undefined || !store.clock.known) return false;
    const ageMs = store.clock.now() - processedOn;
    return ageMs > settings.lockMs || ageMs < -AHEAD_MS;
  }

  readonly #onFailure = (job: FleetJob): void => {
    if (job.run) this.#taskLoggers.failed(job.run, job);
  };

  #begin(job: FleetJob, token: string): Run {
    const { item, tags } = job.taskOptions;
    const { clock } = this.options.store;
    const id = job.id as string;
    const run = new Run({
      id,
      queue: job.queueName,
      name: job.name,
      item: item ?? '',
      tags,
      ancestors: ancestorsOf(id, job.taskOptions),
      token,
      lockMs: this.options.settings.lockMs,
      lockedAt: (clock.known && job.processedOn) || clock.now(),
      clock,
    });
    job.run = run;
    job.onFailure = this.#onFailure;
    // Producers register their tasks; a job without our options comes from a plain BullMQ queue.
    if (item === undefined)
      this.options.writer.add({ id, item: '', name: job.name, queue: run.queue, at: isTime(job.timestamp) ? job.timestamp : clock.now() });
    // Scheduled tasks are registered once due, except the fleet's own, which users do not see.
    else if (isScheduledRun(id) && run.queue !== MAINTENANCE_QUEUE)
      this.options.writer.add({ id, item, tags, name: job.name, queue: run.queue, at: dueTimeOf(id) });
    this.options.runs.track(run);
    this.options.taskCounters.fetched(job);
    return run;
  }

  async #attempt(run: Run, job: FleetJob): Promise<Outcome> {
    const handler = this.options.handlers.get(run.name);
    const deadline = deadlineOf(run.id, job.taskOptions, handler?.definition);
    const checked = this.#checks.check(run, job, handler?.definition, deadline);
    const prevented = checked instanceof Promise ? await checked : checked;
    if (prevented !== null) return prevented;
    if (!handler) return this.#unknown.outcomeOf(job);
    if (job.losses > 0 && !this.options.quarantine.takeTurn(job, handler))
      return { kind: 'defer', ms: TURN_MS, starts: Math.max(1, job.attemptsStarted - 1), keepsPlaces: true };
    const input = validate(handler.definition.input, job.data);
    if (!input.ok) return this.#badInput(run, job, new FleetError('INVALID_INPUT', `Bad input for ${run.name}: ${input.problem}`));
    // Last: a task that does not start for another reason must not take a place.
    const isLimited = job.taskOptions.limits !== undefined || handler.rate.length > 0;
    const unstarted = isLimited ? await this.#gate.check(run, job, { handler, input: input.value }, deadline) : null;
    if (unstarted !== null) return unstarted;
    const threads = this.#threadsFor(job, handler, input.value);
    const context = new RunContext({
      run,
      attempt: job.attempt,
      input: input.value,
      chunk: threads ? null : (handler.definition.chunk ?? null),
      output: () => this.#outputOf(run, job),
      spending: () => this.#spendingOf(run),
      producer: this.options.producer,
      log: () => this.#taskLoggers.of(run, job.attempt),
    });
    // After a freeze since the fetch, another worker may have finished the task.
    if (!run.checkLock()) return decideOutcome(run.cause, { kind: 'abandoned' }, null);
    const { telemetry, workerId } = this.options;
    if (telemetry) run.span = startSpan(telemetry, workerId, run, job);
    // Without `await`, the caller would go on three microtasks later.
    return await this.#calls.call(run, job, handler, context, { threads, deadline });
  }

  /** Returns the threads to run the handler in; null for the main thread. */
  #threadsFor(job: FleetJob, handler: LoadedHandler, input: unknown): Threads | null {
    const { threads, quarantine } = this.options;
    if (handler.isolated(input)) return threads;
    return quarantine.takes(job, handler) ? quarantine.threads : null;
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
      job.attempt,
      (progress) => job.updateProgress(progress),
      () => run.checkLock(),
      (error) => this.#logger.warn({ id: run.id, error: messageOf(error) }, 'Could not write task output'),
    );
    return run.output;
  }

  #spendingOf(run: Run): Spending | null {
    const rates = run.steps.filter(({ kind, cost }) => kind === 'rate' && cost !== undefined);
    if (rates.length === 0) return null;
    run.spending ??= new Spending({
      rates,
      correct: (rate, tokens) => this.options.store.limiter.spend(rate, tokens),
      onError: (error) =>
        this.#logger.warn({ id: run.id, error: messageOf(error) }, 'Could not correct the cost of a task; its estimate counts'),
    });
    return run.spending;
  }
}
