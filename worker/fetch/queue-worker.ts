import type { Job, JobJson, Worker } from 'bullmq';
import { jsonProblem } from '../../shared/arguments.js';
import { messageOf } from '../../shared/errors.js';
import { type Logger, RepeatedLines } from '../../shared/log/logger.js';
import { adviceFor, isConnectionError } from '../../shared/redis/connection-errors.js';
import { isRefusal } from '../../shared/redis/reply-errors.js';
import { keepsNone } from '../../shared/retention/limits.js';
import { LockLost } from '../../shared/stop/cause.js';
import type { ConnectedSettings, Store } from '../../shared/store.js';
import { membershipsOf } from '../../shared/task/job-options.js';
import { type TerminalState, isTerminal } from '../../shared/task/state.js';
import type { Telemetry } from '../../shared/tracing/telemetry.js';
import { reportStopped } from '../hooks/attempt-span.js';
import type { HookCaller } from '../hooks/hook-caller.js';
import type { RegistryWriter } from '../registry-writer.js';
import { AttemptNotes } from '../run/attempt-notes.js';
import { logFailure } from '../run/log/failure-log.js';
import type { Releases } from '../run/releases.js';
import type { ActiveRuns } from '../run/run.js';
import type { TaskRunner } from '../run/task-runner.js';
import type { StopLatency } from '../stop-listener.js';
import { controlRenewals, trackLock, untrackLock } from './bullmq-overrides.js';
import { FetchingWorker } from './fetching-worker.js';
import { FleetJob } from './fleet-job.js';
import type { JobCounters } from './job-counters.js';
import type { JobHistory } from './job-history.js';
import { makeJobsReadable } from './readable-jobs.js';
import { batchCompletions } from './settle/completion-batch.js';
import { untilAccepted } from './settle/refusals.js';
import { batchStops } from './settle/stop-batch.js';
import { controlStalledCheck } from './stalled-check.js';

interface QueueWorkerOptions {
  readonly queue: string;
  readonly slots: number;
  readonly workerId: string;
  readonly settings: ConnectedSettings;
  readonly store: Store;
  readonly runner: TaskRunner;
  readonly runs: ActiveRuns;
  readonly writer: RegistryWriter;
  readonly releases: Releases;
  readonly stopLatency: StopLatency;
  readonly taskCounters: JobCounters;
  /** Null for none. */
  readonly hooks: HookCaller | null;
  /** Null for none. */
  readonly telemetry: Telemetry | null;
  readonly logger: Logger;
  /** Writes the lines about failed attempts. */
  readonly taskLogger: Logger;
}

/** BullMQ never fails a stalled job: how often a task may lose its worker is in its definition, see `checkLosses`. */
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
  readonly #releases: Releases;
  readonly #stopLatency: StopLatency;
  readonly #runner: TaskRunner;
  readonly #taskCounters: JobCounters;
  readonly #hooks: HookCaller | null;
  readonly #telemetry: Telemetry | null;
  readonly #logger: Logger;
  readonly #taskLogger: Logger;
  readonly #notes: AttemptNotes;
  /** Of fetched jobs, until BullMQ makes them. */
  readonly #histories = new Map<string, JobHistory>();
  /** Ids of tasks that could not be settled, until it is known what became of them. */
  readonly #unsettled = new Set<string>();

  constructor(given: QueueWorkerOptions) {
    const {
      queue,
      slots,
      workerId,
      settings,
      store,
      runner,
      runs,
      writer,
      releases,
      stopLatency,
      taskCounters,
      hooks,
      telemetry,
      logger,
      taskLogger,
    } = given;
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
    this.#releases = releases;
    this.#stopLatency = stopLatency;
    this.#runner = runner;
    this.#taskCounters = taskCounters;
    this.#hooks = hooks;
    this.#telemetry = telemetry;
    this.#logger = logger;
    this.#taskLogger = taskLogger;
    this.#notes = new AttemptNotes(store, logger);
    this.on('completed', (job) => this.#onSettled(job as FleetJob, (job as FleetJob).skippedFor === null ? 'completed' : 'skipped'));
    this.on('failed', (job, error) => job && this.#onFailed(job as FleetJob, error));
    this.on('lockRenewalFailed', (ids) => ids.forEach((id) => runs.get(queue, id)?.abort(new LockLost())));
    batchCompletions(this);
    batchStops(this);
    makeJobsReadable(this, {
      onHistory: (id, history) => this.#histories.set(id, history),
      onUnreadable: (id, problem) => store.unreadable.report({ key: store.keys.jobs(queue) + id, problem }),
    });
    controlStalledCheck(this, { store, queue, lockMs: settings.lockMs, logger });
    // Connection errors and refusals are logged elsewhere, where they begin; log all other errors here.
    const isKnown = (error: unknown): boolean =>
      isConnectionError(error) || isRefusal(error) || adviceFor(store.redis, messageOf(error)) !== null;
    const lines = new RepeatedLines(logger, { intervalMs: REPEAT_LOG_MS, maxKeys: MAX_ERRORS });
    this.on('error', (error) =>
      lines.write(isKnown(error) ? 'debug' : 'warn', error.message || error.name, { queue, error: error.message }, 'Queue worker error'),
    );
  }

  /** Ids of the tasks that are run or settled, and of those that could not be settled. */
  get unsettled(): string[] {
    return [...new Set([...this.held.map(({ id }) => id as string), ...this.#unsettled])];
  }

  protected override createJob(data: JobJson, id: string): Job {
    const job = this.#parseJob(data, id);
    job.clock = this.#store.clock;
    job.history = this.#histories.get(id) ?? job.history;
    this.#histories.delete(id);
    return job;
  }

  #parseJob(data: JobJson, id: string): FleetJob {
    try {
      return FleetJob.fromJSON(this, data, id) as FleetJob;
    } catch (error) {
      // If this threw, the job would stay active without an owner, again after every stalled check.
      const { deferredFailure = `The job's data is not JSON: ${jsonProblem(error)}` } = data;
      return FleetJob.fromJSON(this, { ...data, data: 'null', deferredFailure }, id) as FleetJob;
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
    (job as FleetJob).settlingSince = performance.now();
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
      if (!isConnectionError(error)) void this.#resolveUnknown(args[1] as FleetJob);
      throw error;
    }
  }

  #onSettled(job: FleetJob, state: TerminalState, failure: Error | null = null): void {
    const id = job.id as string;
    this.#releases.release(job);
    this.#taskCounters.ended(job, state);
    const removal = { id, queue: this.name, since: job.settlingSince };
    this.#writer.remove(removal, membershipsOf(job.taskOptions, job.name), { atOnce: state === 'cancelled' });
    this.#keep(job, state);
    if (job.mayHaveStream) this.#writer.state(id, state);
    this.#hooks?.jobFinished(job, state, failure);
    if (state !== 'cancelled') return;
    this.#measureStop(job);
    if (this.#telemetry) reportStopped(this.#telemetry, job);
    if (job.retriesBlocked) return;
    this.#store.queues
      .blockRetry(this.name, [id])
      .catch((error: unknown) => this.#logger.warn({ id, error: messageOf(error) }, 'Could not block foreign retries of a cancelled task'));
  }

  #keep({ id, name, retention, taskOptions }: FleetJob, state: TerminalState): void {
    // A skipped task is in BullMQ's set of completed jobs.
    const kind = state === 'skipped' ? 'completed' : state;
    // BullMQ has removed a task of which none are kept.
    if (retention === null || keepsNone(retention[kind])) return;
    const { item = '', tags } = taskOptions;
    const place = kind === 'completed' ? kind : 'failed';
    this.#writer.keep({ id: id as string, queue: this.name, name, item, tags, place, retention });
  }

  /** Measures stops of runs in this process only: settling for others says nothing about this worker's speed. */
  #measureStop({ run, finishedOn }: FleetJob): void {
    const at = run?.stop?.at ?? 0;
    // 0 marks a hand-written record without a time.
    if (at > 0 && finishedOn !== undefined) this.#stopLatency.record(finishedOn - at);
  }

  #onFailed(job: FleetJob, failure: Error): void {
    logFailure(this.#taskLogger, job);
    if (job.finishedOn !== undefined) return this.#onSettled(job, job.run?.stop || job.stoppedBefore ? 'cancelled' : 'failed', failure);
    const id = job.id as string;
    this.#releases.release(job);
    this.#taskCounters.attempted(job);
    if (job.mayHaveStream) this.#writer.retrying(id, job.attempt);
    // A stop may have arrived between the handler's failure and the job's return to the queue: no run is left to receive it.
    this.#store.stopper
      .settleIfStopped(this.name, id)
      .catch((error: unknown) => this.#logger.warn({ id, error }, 'Could not check for a stop after a failed attempt'));
  }

  async #resolveUnknown(job: FleetJob): Promise<void> {
    const id = job.id as string;
    this.#unsettled.add(id);
    try {
      await this.#notes.lockLost(job);
      const { registry, reader } = this.#store;
      // Read before the task: a retry registers the task anew, and that entry must stay.
      const score = await registry.scoreOf(id);
      const task = (await reader.read([id])).get(id);
      this.#unsettled.delete(id);
      if (!task || isTerminal(task.state)) {
        this.#releases.release(job);
        await registry.removeUnchanged([{ id, ...membershipsOf(job.taskOptions, job.name), score }]);
      }
      if (task && isTerminal(task.state)) this.#keep(job, task.state);
      this.#logger.warn({ id, state: task?.state ?? 'removed' }, 'The lock was gone when the task finished');
    } catch (error) {
      // While the worker shuts down, it names the task at the end.
      if (!this.paused) this.#unsettled.delete(id);
      this.#logger.warn({ id, error }, 'Could not determine the outcome of a task');
    }
  }
}
