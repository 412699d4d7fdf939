import type { Job, JobJson, Worker } from 'bullmq';
import { jsonProblem } from '../../shared/arguments.js';
import { messageOf } from '../../shared/errors.js';
import { type Logger, RepeatedLines } from '../../shared/logger.js';
import { adviceFor, isConnectionError } from '../../shared/redis/connection-errors.js';
import { isRefusal } from '../../shared/redis/reply-errors.js';
import { LockLost } from '../../shared/stop/cause.js';
import type { ConnectedSettings, Store } from '../../shared/store.js';
import { membershipsOf, taskOptions } from '../../shared/task/job-options.js';
import { isTerminal } from '../../shared/task/state.js';
import type { RegistryWriter } from '../registry-writer.js';
import type { ActiveRuns } from '../run/run.js';
import type { TaskRunner } from '../run/task-runner.js';
import type { StopLatency } from '../stop-listener.js';
import { controlRenewals, trackLock, untrackLock } from './bullmq-overrides.js';
import { FetchingWorker } from './fetching-worker.js';
import { FleetJob, untilAccepted } from './fleet-job.js';
import type { JobCounters } from './job-counters.js';
import { isUnreadable, makeJobsReadable } from './readable-jobs.js';

interface QueueWorkerOptions {
  readonly queue: string;
  readonly slots: number;
  readonly workerId: string;
  readonly settings: ConnectedSettings;
  readonly store: Store;
  readonly runner: TaskRunner;
  readonly runs: ActiveRuns;
  readonly writer: RegistryWriter;
  readonly stopLatency: StopLatency;
  readonly taskCounters: JobCounters;
  readonly logger: Logger;
}

/** Stalled tasks never fail for having stalled: the worker was at fault, not the task. */
const MAX_STALLED_COUNT = 1_000_000;
const YIELD_S = 0.1;
/** Interval between log lines for the same error of BullMQ's worker, in ms, and the most errors told apart. */
const REPEAT_LOG_MS = 60_000;
const MAX_ERRORS = 100;
/** Thrown after a job was moved elsewhere: BullMQ does not settle such a job, and only fetches the next one. */
const MOVED: readonly string[] = ['DelayedError', 'WaitingError', 'WaitingChildrenError'];

/** BullMQ's worker for one queue, with fleet jobs, which keeps the registry in step with the jobs it settles. */
export class QueueWorker extends FetchingWorker {
  readonly #store: Store;
  readonly #runs: ActiveRuns;
  readonly #writer: RegistryWriter;
  readonly #stopLatency: StopLatency;
  readonly #runner: TaskRunner;
  readonly #taskCounters: JobCounters;
  readonly #logger: Logger;

  constructor({ queue, slots, workerId, settings, store, runner, runs, writer, stopLatency, taskCounters, logger }: QueueWorkerOptions) {
    const options = {
      connection: store.redis,
      prefix: store.keys.bull(queue),
      name: workerId,
      concurrency: slots,
      lockDuration: settings.lockMs,
      stalledInterval: settings.stalledCheckMs,
      maxStalledCount: MAX_STALLED_COUNT,
      runRetryDelay: 1_000,
      autorun: false,
    };
    super(queue, (job, token) => runner.run(job as FleetJob, token as string), options, { store, logger });
    this.#store = store;
    this.#runs = runs;
    this.#writer = writer;
    this.#stopLatency = stopLatency;
    this.#runner = runner;
    this.#taskCounters = taskCounters;
    this.#logger = logger;
    this.on('completed', (job) => this.#onSettled(job as FleetJob, 'completed'));
    this.on('failed', (job) => job && this.#onFailed(job as FleetJob));
    this.on('lockRenewalFailed', (ids) => ids.forEach((id) => runs.get(queue, id)?.abort(new LockLost())));
    makeJobsReadable(this, (id, problem) => store.unreadable.report({ key: store.keys.jobs(queue) + id, problem }));
    const stalls = new RepeatedLines(logger, { intervalMs: REPEAT_LOG_MS });
    this.on('stalled', (id) => stalls.warn(id, { id, queue }, 'Task stalled: its worker is dead or hung; the task will run again'));
    // Connection errors and refusals are logged elsewhere, where they begin; log all other errors here.
    const isKnown = (error: unknown): boolean =>
      isConnectionError(error) || isRefusal(error) || adviceFor(store.redis, messageOf(error)) !== null;
    const lines = new RepeatedLines(logger, { intervalMs: REPEAT_LOG_MS, maxKeys: MAX_ERRORS });
    this.on('error', (error) =>
      lines.write(isKnown(error) ? 'debug' : 'warn', error.message || error.name, { queue, error: error.message }, 'Queue worker error'),
    );
  }

  protected override createJob(data: JobJson, id: string): Job {
    try {
      const job = FleetJob.fromJSON(this, data, id) as FleetJob;
      job.unreadable = isUnreadable(data.deferredFailure);
      return job;
    } catch (error) {
      // If this threw, the job would stay active without an owner, again after every stalled check.
      const { deferredFailure = `The job's data is not JSON: ${jsonProblem(error)}` } = data;
      const job = FleetJob.fromJSON(this, { ...data, data: 'null', deferredFailure }, id) as FleetJob;
      job.unreadable = data.deferredFailure === undefined;
      return job;
    }
  }

  /**
   * Returns how long an idle worker waits for the next job, in seconds. All idle workers wait for the same due time, and the one connected
   * longest wins; a worker that lacks handlers for some tasks waits a little longer, so that others fetch first.
   */
  protected override getBlockTimeout(blockUntil: number): number {
    // BullMQ compares `blockUntil`, a time by Redis' clock, with this machine's clock.
    const timeout = super.getBlockTimeout(blockUntil > 0 ? blockUntil + this.#store.clock.skewMs : blockUntil);
    return blockUntil > 0 && this.#runner.lacksHandlers(this.name) ? timeout + YIELD_S : timeout;
  }

  /** BullMQ calls this in its constructor, before the fields of this class are set. */
  protected override createLockManager(): void {
    super.createLockManager();
    controlRenewals(this, {
      isActive: (id) => this.#runs.get(this.name, id) !== undefined,
      onRenewed: (id, sentAt) => this.#runs.get(this.name, id)?.lockRenewed(sentAt),
    });
  }

  /** Renews locks by a script of ours: BullMQ's needs memory that Redis may not have. */
  override async extendJobLocks(ids: string[], tokens: string[], duration: number): Promise<string[]> {
    const { redis, queues, keys } = this.#store;
    const locks = ids.flatMap((id, index) => [id, tokens[index] ?? '']);
    return redis.renewLocks(...queues.scriptKeys(this.name, 'stalled'), keys.jobs(this.name), duration, ...locks);
  }

  protected override handleCompleted(...args: Parameters<Worker['handleCompleted']>): ReturnType<Worker['handleCompleted']> {
    return this.#settle(args[1], args[2], () => super.handleCompleted(...args));
  }

  /** Settles a job, and keeps its lock while Redis refuses: without the lock, another worker would run the job again. */
  #settle<Result>(job: Job, token: string, settle: () => Promise<Result>): Promise<Result> {
    const id = job.id as string;
    const attempt = (): Promise<Result> => {
      untrackLock(this, id);
      return settle();
    };
    return untilAccepted(attempt, (error, refusals) => {
      if (refusals === 1)
        this.#logger.warn(
          { id, queue: this.name, error: error.message },
          'Redis refuses to record a result; retrying until it accepts the result or the lock is lost',
        );
      trackLock(this, id, token, job.processedOn as number);
    });
  }

  protected override async handleFailed(...args: Parameters<Worker['handleFailed']>): ReturnType<Worker['handleFailed']> {
    const settle = (): ReturnType<Worker['handleFailed']> => super.handleFailed(...args);
    try {
      return await (MOVED.includes(args[0].name) ? settle() : this.#settle(args[1], args[2], settle));
    } catch (error) {
      // Settling failed for good. If Redis answered, the lock is gone: an earlier try may have succeeded and only its answer been lost.
      if (!isConnectionError(error)) void this.#resolveUnknown(args[1]);
      throw error;
    }
  }

  #onSettled(job: FleetJob, state: 'completed' | 'failed' | 'cancelled'): void {
    const id = job.id as string;
    this.#taskCounters.ended(job, state);
    this.#writer.remove(id, membershipsOf(taskOptions(job.opts)), { atOnce: state === 'cancelled' });
    if (mayHaveStream(job)) this.#writer.state(id, state);
    if (state !== 'cancelled') return;
    this.#measureStop(job);
    this.#store.queues
      .blockRetry(this.name, [id])
      .catch((error: unknown) => this.#logger.warn({ id, error: messageOf(error) }, 'Could not block foreign retries of a cancelled task'));
  }

  /** Measures stops of runs in this process only: settling for others says nothing about this worker's speed. */
  #measureStop({ run, finishedOn }: FleetJob): void {
    const at = run?.stop?.at ?? 0;
    // 0 marks a hand-written record without a time.
    if (at > 0 && finishedOn !== undefined) this.#stopLatency.record(finishedOn - at);
  }

  #onFailed(job: FleetJob): void {
    if (job.finishedOn !== undefined) return this.#onSettled(job, job.run?.stop || job.stoppedBefore ? 'cancelled' : 'failed');
    const id = job.id as string;
    this.#taskCounters.attempted(job);
    if (mayHaveStream(job)) this.#writer.retrying(id, job.attemptsMade);
    // A stop may have arrived between the handler's failure and the job's return to the queue: no run is left to receive it.
    this.#store.stopper
      .settleIfStopped(this.name, id)
      .catch((error: unknown) => this.#logger.warn({ id, error }, 'Could not check for a stop after a failed attempt'));
  }

  async #resolveUnknown(job: Job): Promise<void> {
    const id = job.id as string;
    try {
      const task = (await this.#store.reader.read([id])).get(id);
      if (!task || isTerminal(task.state)) this.#writer.remove(id, membershipsOf(taskOptions(job.opts)));
      this.#logger.warn({ id, state: task?.state ?? 'removed' }, 'The lock was gone when the task finished');
    } catch (error) {
      this.#logger.warn({ id, error }, 'Could not determine the outcome of a task');
    }
  }
}

/** Returns whether the task may have an event stream, made by this run or by an earlier one, perhaps on another worker. */
function mayHaveStream({ run, attemptsStarted }: FleetJob): boolean {
  return (run?.hasStream ?? false) || attemptsStarted > 1;
}
