import { UnrecoverableError, WaitingError } from 'bullmq';
import { FleetError, messageOf } from '../shared/errors.js';
import type { Logger, LoggerFactory } from '../shared/logger.js';
import type { Settings } from '../shared/settings.js';
import { type AbortCause, ShuttingDown, TimedOut } from '../shared/stop/cause.js';
import { parseStop } from '../shared/stop/record.js';
import type { Store } from '../shared/store.js';
import { issuesOf } from '../shared/task/definition.js';
import { taskOptions } from '../shared/task/job-options.js';
import type { ActiveRuns } from './active-runs.js';
import { RunContext } from './context.js';
import { type FleetJob, Stopped } from './fleet-job.js';
import { Grace } from './grace.js';
import { type HandlerEnd, type Outcome, decideOutcome } from './outcome.js';
import type { RegistryWriter } from './registry-writer.js';
import { Run } from './run.js';
import type { LoadedHandler } from './task-modules.js';
import { TaskOutput } from './task-output.js';
import type { Threads } from './threads.js';

/** What a handler gets to unwind when the worker's time is up. */
export const SHUTDOWN_GRACE_MS = 1_000;

export interface TaskRunnerOptions {
  readonly handlers: ReadonlyMap<string, LoadedHandler>;
  readonly settings: Settings;
  readonly store: Store;
  readonly runs: ActiveRuns;
  readonly writer: RegistryWriter;
  readonly threads: Threads;
  readonly loggers: LoggerFactory;
  /** Whether a stop of this task was heard of a moment ago, perhaps before it was tracked. */
  readonly recentlyStopped: (id: string) => boolean;
}

/** Runs one attempt: validates, calls the handler, climbs the ladder when it is aborted, and decides the outcome. */
export class TaskRunner {
  readonly #options: TaskRunnerOptions;
  readonly #logger: Logger;
  readonly #taskLogger: Logger;
  #draining = false;

  constructor(options: TaskRunnerOptions) {
    this.#options = options;
    this.#logger = options.loggers('worker');
    this.#taskLogger = options.loggers('task');
  }

  /** From now on a task that is still fetched goes straight back. */
  drain(): void {
    this.#draining = true;
  }

  /** BullMQ's processor: resolves with the result, or throws what makes BullMQ do what the outcome says. */
  async run(job: FleetJob, token: string): Promise<unknown> {
    const run = this.#begin(job, token);
    try {
      const outcome = await this.#attempt(run, job);
      run.end();
      return await this.#conclude(run, job, token, outcome);
    } finally {
      run.end();
      this.#options.runs.untrack(run);
    }
  }

  #begin(job: FleetJob, token: string): Run {
    const { item } = taskOptions(job.opts);
    const id = job.id as string;
    const run = new Run({ id, queue: job.queueName, name: job.name, item: item ?? '', token });
    job.run = run;
    // Our producer registers first; a job without our mark was added by a plain BullMQ queue.
    if (item === undefined) this.#options.writer.add({ id, item: '', queue: run.queue, at: job.timestamp });
    this.#options.runs.track(run);
    return run;
  }

  async #attempt(run: Run, job: FleetJob): Promise<Outcome> {
    if (this.#draining) run.abort(new ShuttingDown());
    else if (this.#options.recentlyStopped(run.id)) await this.#readStop(run);
    if (run.cause) return decideOutcome(run.cause, { kind: 'abandoned' }, false);

    const handler = this.#options.handlers.get(run.name);
    if (!handler) return { kind: 'fail', error: this.#unknownTask(run.name) };
    const input = handler.definition.input.safeParse(job.data);
    if (!input.success) {
      return { kind: 'fail', error: new UnrecoverableError(`Bad input for ${run.name}: ${issuesOf(input.error)}`) };
    }
    const context = new RunContext(run, job.attemptsMade + 1, input.data, () => this.#outputOf(run, job), this.#taskLogger);
    const isolated = handler.isolated(input.data);
    const end = await (isolated ? this.#inThread(run, handler, context) : this.#inProcess(run, handler, context));
    return this.#checkOutput(handler, decideOutcome(run.cause, end, handler.definition.retryOnTimeout));
  }

  /** A stop was heard of before this run was tracked; whether it is meant for this run, its record says. */
  async #readStop(run: Run): Promise<void> {
    const { redis, keys } = this.#options.store;
    const stop = parseStop(await redis.hget(keys.jobs(run.queue) + run.id, 'stop'), null);
    if (stop === null) return;
    run.via = 'queue';
    run.requestStop({ reason: stop.reason, by: stop.by, recordedAt: stop.at.getTime() });
  }

  /** The handler in this thread. If it does not end within grace of an abort, it is given up: its slot is free, and it may do what it likes. */
  #inProcess(run: Run, handler: LoadedHandler, context: RunContext<unknown>): Promise<HandlerEnd> {
    return new Promise((resolve) => {
      let grace: Grace | null = null;
      const timeout = this.#startTimeout(run, handler);
      const finish = (end: HandlerEnd): void => {
        if (timeout) clearTimeout(timeout);
        grace?.cancel();
        resolve(end);
      };
      const giveUp = (): void => {
        if (run.stop) run.via = 'abandon';
        this.#abandon(run, handled);
        finish({ kind: 'abandoned' });
      };
      const handled = callHandler(handler, context);
      handled.then(
        (value) => finish({ kind: 'returned', value }),
        (error: unknown) => finish({ kind: 'threw', error }),
      );
      run.onAbort((cause) => {
        grace ??= new Grace(giveUp);
        grace.limit(this.#graceMs(cause));
      });
    });
  }

  #abandon(run: Run, handled: Promise<unknown>): void {
    const { id, name } = run;
    this.#logger.warn({ id, name, cause: run.cause?.kind }, 'Handler ignored its signal and was given up; it still runs in this process');
    this.#options.runs.addZombie(run, handled, () => {
      this.#logger.info({ id, name, afterMs: Date.now() - run.startedAt }, 'A given-up handler returned');
    });
  }

  /** The handler in a thread of its own. If it does not end within grace of an abort, the thread does. */
  async #inThread(run: Run, handler: LoadedHandler, context: RunContext<unknown>): Promise<HandlerEnd> {
    let timeout: NodeJS.Timeout | null = null;
    const thread = this.#options.threads.run(handler.source, context, () => {
      if (!run.ended) timeout = this.#startTimeout(run, handler);
    });
    const grace = new Grace(() => {
      if (run.stop) run.via = 'kill';
      this.#logger.warn({ id: run.id, name: run.name, cause: run.cause?.kind }, 'Isolated handler ignored its signal; its thread is ended');
      thread.kill();
    });
    run.onAbort((cause) => {
      if (thread.started) {
        thread.abort(cause);
        return grace.limit(this.#graceMs(cause));
      }
      // It waits for a free thread: there is nobody to be patient with.
      if (run.stop) run.via = 'queue';
      thread.kill();
    });
    try {
      return { kind: 'returned', value: await thread.result };
    } catch (error) {
      return { kind: 'threw', error };
    } finally {
      if (timeout) clearTimeout(timeout);
      grace.cancel();
    }
  }

  /** From the moment at which the handler begins. */
  #startTimeout(run: Run, { definition: { timeoutMs } }: LoadedHandler): NodeJS.Timeout | null {
    return timeoutMs === null ? null : setTimeout(() => run.abort(new TimedOut(timeoutMs)), timeoutMs);
  }

  #graceMs(cause: AbortCause): number {
    const { stopGraceMs } = this.#options.settings;
    return cause.kind === 'shutdown' ? Math.min(SHUTDOWN_GRACE_MS, stopGraceMs) : stopGraceMs;
  }

  #checkOutput({ definition }: LoadedHandler, outcome: Outcome): Outcome {
    if (outcome.kind !== 'complete' || definition.output === null) return outcome;
    const parsed = definition.output.safeParse(outcome.value);
    if (parsed.success) return outcome;
    const error = new FleetError('INVALID_OUTPUT', `Bad output of ${definition.name}: ${issuesOf(parsed.error)}`);
    return { kind: 'fail', error };
  }

  #conclude(run: Run, job: FleetJob, token: string, outcome: Outcome): unknown {
    switch (outcome.kind) {
      case 'complete':
        return outcome.value;
      case 'fail':
        throw outcome.error;
      case 'cancel':
        throw new Stopped(run);
      case 'hand-back':
        return this.#handBack(run, job, token);
      case 'drop':
        this.#logger.warn({ id: run.id, name: run.name }, 'Lost its lock; the result is dropped');
        throw new WaitingError();
    }
  }

  async #handBack({ id, name, queue }: Run, job: FleetJob, token: string): Promise<never> {
    await job.moveToWait(token);
    this.#logger.info({ id, name }, 'Handed back to the queue');
    // A stop may have come in the last moment, and no worker may come for the task for a long time.
    const settling = this.#options.store.stopper.settleIfStopped(queue, id);
    await settling.catch((error: unknown) => this.#logger.warn({ id, error }, 'Could not check for a stop after handing back'));
    throw new WaitingError();
  }

  #outputOf(run: Run, job: FleetJob): TaskOutput {
    const { redis, keys } = this.#options.store;
    run.output ??= new TaskOutput(
      redis,
      keys.events(run.id),
      (progress) => job.updateProgress(progress),
      (error) => this.#logger.warn({ id: run.id, error: messageOf(error) }, 'Output of a task was not written'),
    );
    return run.output;
  }

  #unknownTask(name: string): FleetError {
    const known = [...this.#options.handlers.keys()].join(', ');
    return new FleetError('UNKNOWN_TASK', `No handler for ${name} on this worker; it has ${known}`);
  }
}

/** Calls a handler; what it throws at once is a rejection too. */
async function callHandler(handler: LoadedHandler, context: RunContext<unknown>): Promise<unknown> {
  return handler.handle(context);
}
