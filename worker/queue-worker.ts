import type { Job, JobJson, Worker } from 'bullmq';
import { messageOf } from '../shared/errors.js';
import { jsonProblem } from '../shared/json-problem.js';
import type { Logger } from '../shared/logger.js';
import { adviceFor } from '../shared/redis/connection-advice.js';
import { isConnectionError } from '../shared/redis/connection-errors.js';
import { isRefusal } from '../shared/redis/refusals.js';
import { RepeatedLines } from '../shared/repeated-lines.js';
import type { ConnectedSettings, Store } from '../shared/store.js';
import { LockLost } from '../shared/stop/cause.js';
import { membershipsOf, taskOptions } from '../shared/task/job-options.js';
import { isTerminal } from '../shared/task/state.js';
import type { ActiveRuns } from './active-runs.js';
import { FetchingWorker } from './fetching-worker.js';
import { FleetJob } from './fleet-job.js';
import type { JobCounters } from './job-counters.js';
import { untilTaken } from './refusals.js';
import { isUnreadable, makeJobsReadable } from './readable-jobs.js';
import type { RegistryWriter } from './registry-writer.js';
import type { TaskRunner } from './run-task.js';
import type { StopLatency } from './stop-latency.js';

export interface QueueWorkerOptions {
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

/** A stalled task is never failed for having stalled: it did nothing wrong. */
const MAX_STALLED_COUNT = 1_000_000;
const YIELD_S = 0.1;
/** How often the same error of BullMQ's worker is logged, in ms, and how many are told apart. */
const SAY_AGAIN_MS = 60_000;
const MOST_ERRORS = 100;
/** What BullMQ's LockManager keeps to itself. `test/worker/clock.test.ts` holds it to its version. */
interface LockRenewal {
  readonly closed: boolean;
  readonly trackedJobs: ReadonlyMap<string, unknown>;
  lockRenewalTimer: NodeJS.Timeout | undefined;
  extendLocks(ids: string[]): Promise<void>;
  startLockExtenderTimer(): void;
}

/** What moves a job elsewhere throws one of these: it is not settled, only the next job is fetched. */
const MOVED: readonly string[] = ['DelayedError', 'WaitingError', 'WaitingChildrenError'];

/** BullMQ's worker for one queue, with our jobs, and the registry kept in step with what it settles. */
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
    this.on('completed', (job) => this.#ended(job as FleetJob, 'completed'));
    this.on('failed', (job) => job && this.#failed(job as FleetJob));
    this.on('lockRenewalFailed', (ids) => ids.forEach((id) => runs.get(queue, id)?.abort(new LockLost())));
    makeJobsReadable(this.getBackend(), (id, problem) => store.unreadable.report({ key: store.keys.jobs(queue) + id, problem }));
    const stalls = new RepeatedLines(logger, { intervalMs: SAY_AGAIN_MS });
    this.on('stalled', (id) => stalls.warn(id, { id, queue }, 'Task stalled: its worker is gone or hangs; it will run again'));
    // A lost connection, and one that cannot be used, is logged where it is made, a refusal when it begins; everything else should be seen.
    const isKnown = (error: unknown): boolean =>
      isConnectionError(error) || isRefusal(error) || adviceFor(store.redis, messageOf(error)) !== null;
    const lines = new RepeatedLines(logger, { intervalMs: SAY_AGAIN_MS, maxKeys: MOST_ERRORS });
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
      // Thrown from here it would leave the job active and without an owner, again after every stalled check.
      const { deferredFailure = `The job's data is not JSON: ${jsonProblem(error)}` } = data;
      const job = FleetJob.fromJSON(this, { ...data, data: 'null', deferredFailure }, id) as FleetJob;
      job.unreadable = data.deferredFailure === undefined;
      return job;
    }
  }

  /**
   * How long an idle worker waits for the next job, in seconds. All idle workers wait for the same due time, and the one
   * that has been connected longest wins: while there are tasks that it cannot run, it lets the others come first.
   */
  protected override getBlockTimeout(blockUntil: number): number {
    // BullMQ compares it with this machine's clock, and it is by Redis'.
    const timeout = super.getBlockTimeout(blockUntil > 0 ? blockUntil + this.#store.clock.skewMs : blockUntil);
    return blockUntil > 0 && this.#runner.lacksHandlers(this.name) ? timeout + YIELD_S : timeout;
  }

  /**
   * BullMQ tracks the locks that it renews by job id. A job that stalled and came back to this worker would lose its
   * renewals with the end of its first run, stall again, and so on for ever. A run that has ended is no longer among the
   * active ones when it is untracked here; one that still is took its place.
   */
  protected override createLockManager(): void {
    super.createLockManager();
    const { lockManager } = this;
    const untrack = lockManager.untrackJob.bind(lockManager);
    lockManager.untrackJob = (id) => {
      if (!this.#runs.get(this.name, id)) untrack(id);
    };
    // A lock holds from when its renewal was sent: the answer may be read much later, after a process was frozen.
    const manager = lockManager as unknown as LockRenewal;
    const extend = manager.extendLocks.bind(manager);
    manager.extendLocks = async (ids) => {
      const sentAt = performance.now();
      const renewed = ({ jobIds }: { jobIds: string[] }): void =>
        jobIds.forEach((id) => this.#runs.get(this.name, id)?.lockRenewed(sentAt));
      this.once('locksRenewed', renewed);
      await extend(ids);
      this.off('locksRenewed', renewed);
    };
    // BullMQ renews what was renewed long ago by the time of day: a clock that is set back would let locks run out. This renews
    // what was there at the turn before.
    let seen = new Set<string>();
    manager.startLockExtenderTimer = () => {
      if (manager.closed) return;
      clearTimeout(manager.lockRenewalTimer);
      const renew = async (): Promise<void> => {
        const tracked = [...manager.trackedJobs.keys()];
        const due = tracked.filter((id) => seen.has(id));
        seen = new Set(tracked.filter((id) => !seen.has(id)));
        if (due.length > 0) await manager.extendLocks(due);
        manager.startLockExtenderTimer();
      };
      manager.lockRenewalTimer = setTimeout(() => void renew(), (this.opts.lockRenewTime as number) / 2);
    };
  }

  /** BullMQ's own way needs memory that Redis may not have. */
  override async extendJobLocks(ids: string[], tokens: string[], duration: number): Promise<string[]> {
    const { redis, queues, keys } = this.#store;
    const locks = ids.flatMap((id, index) => [id, tokens[index] ?? '']);
    return redis.renewLocks(...queues.scriptKeys(this.name, 'stalled'), keys.jobs(this.name), duration, ...locks);
  }

  protected override handleCompleted(...args: Parameters<Worker['handleCompleted']>): ReturnType<Worker['handleCompleted']> {
    return this.#settle(args[1], args[2], () => super.handleCompleted(...args));
  }

  /** As long as Redis refuses to end a job its lock is kept: once it is lost, another worker runs it again. */
  #settle<Result>(job: Job, token: string, settle: () => Promise<Result>): Promise<Result> {
    const id = job.id as string;
    const attempt = (): Promise<Result> => {
      this.lockManager.untrackJob(id);
      return settle();
    };
    return untilTaken(attempt, (error, refusals) => {
      if (refusals === 1)
        this.#logger.warn(
          { id, queue: this.name, error: error.message },
          'Redis refuses the end of a task; it is tried again until it is taken or the lock is lost',
        );
      this.lockManager.trackJob(id, token, job.processedOn as number);
    });
  }

  protected override async handleFailed(...args: Parameters<Worker['handleFailed']>): ReturnType<Worker['handleFailed']> {
    const settle = (): ReturnType<Worker['handleFailed']> => super.handleFailed(...args);
    try {
      return await (MOVED.includes(args[0].name) ? settle() : this.#settle(args[1], args[2], settle));
    } catch (error) {
      // Everything that could be done for this job failed. If Redis answered, our lock is gone: perhaps an earlier try
      // was carried out and only its answer was lost.
      if (!isConnectionError(error)) void this.#resolveUnknown(args[1]);
      throw error;
    }
  }

  #ended(job: FleetJob, state: 'completed' | 'failed' | 'cancelled'): void {
    const id = job.id as string;
    this.#taskCounters.ended(job, state);
    this.#writer.remove(id, membershipsOf(taskOptions(job.opts)), { atOnce: state === 'cancelled' });
    if (maySpeak(job)) this.#writer.state(id, state);
    if (state !== 'cancelled') return;
    this.#measureStop(job);
    this.#store.queues
      .blockRetry(this.name, [id])
      .catch((error: unknown) =>
        this.#logger.warn({ id, error: messageOf(error) }, 'A retry that is not ours could bring a cancelled task back'),
      );
  }

  /** Only of what ran here: what a worker settles for others says nothing of how fast it is. */
  #measureStop({ run, finishedOn }: FleetJob): void {
    const at = run?.stop?.at ?? 0;
    // 0 stands for a record that somebody wrote by hand and without a time.
    if (at > 0 && finishedOn !== undefined) this.#stopLatency.record(finishedOn - at);
  }

  #failed(job: FleetJob): void {
    if (job.finishedOn !== undefined) return this.#ended(job, job.run?.stop || job.stoppedBefore ? 'cancelled' : 'failed');
    const id = job.id as string;
    this.#taskCounters.attempted(job);
    if (maySpeak(job)) this.#writer.retrying(id, job.attemptsMade);
    // A stop may have come after the handler failed and before the job went back: nobody is left to hear it.
    this.#store.stopper
      .settleIfStopped(this.name, id)
      .catch((error: unknown) => this.#logger.warn({ id, error }, 'Could not check for a stop after a failed attempt'));
  }

  async #resolveUnknown(job: Job): Promise<void> {
    const id = job.id as string;
    try {
      const task = (await this.#store.reader.read([id])).get(id);
      if (!task || isTerminal(task.state)) this.#writer.remove(id, membershipsOf(taskOptions(job.opts)));
      this.#logger.warn({ id, state: task?.state ?? 'removed' }, 'The lock was gone when the task ended here');
    } catch (error) {
      this.#logger.warn({ id, error }, 'The outcome of a task is unknown');
    }
  }
}

/** Whether the task may have a stream of events: this run has made one, or one before it may have, perhaps elsewhere. */
function maySpeak({ run, attemptsStarted }: FleetJob): boolean {
  return (run?.spoke ?? false) || attemptsStarted > 1;
}
