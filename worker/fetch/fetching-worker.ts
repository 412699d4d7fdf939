import { setTimeout as delay } from 'node:timers/promises';
import { type Job, type JobJson, type Processor, Worker, type WorkerOptions } from 'bullmq';
import { useFleetClock } from '../../shared/clock/bullmq-time.js';
import { messageOf } from '../../shared/errors.js';
import type { Logger } from '../../shared/log/logger.js';
import { isConnectionError } from '../../shared/redis/connection-errors.js';
import { isRefusal } from '../../shared/redis/reply-errors.js';
import type { Store } from '../../shared/store.js';
import { BackOff } from '../../shared/time.js';
import {
  blockingClient,
  hangUpBlocking,
  isRateLimited,
  noteFetched,
  releaseWorker,
  retryIfFailed,
  takeFetchedJobs,
  trackLock,
  untrackLock,
  wakeFetchLoop,
  wrapWait,
} from './bullmq-overrides.js';
import type { FleetJob } from './fleet-job.js';
import { refusalBackOff } from './settle/refusals.js';

/** Backoff after fetches that fail at once: BullMQ would retry immediately, thousands of times a second. */
const FIRST_FAILURE_MS = 50;
const LONGEST_FAILURE_MS = 10_000;
/** The member of a queue's marker that says that a task may be fetched. */
const BASE_MARKER = '0';
/** Consecutive failures after which a queue counts as broken. */
const CERTAIN_FAILURES = 3;

/** What wakes one of the workers that wait for a job of a queue. */
interface Marker {
  readonly member: string;
  readonly score: number;
}

/**
 * BullMQ's worker with control over fetching: it reports stalls, can be replaced while its jobs go on, and backs off while Redis refuses
 * commands.
 */
export abstract class FetchingWorker extends Worker {
  readonly #redis: Store['redis'];
  readonly #clock: Store['clock'];
  readonly #logger: Logger;
  readonly #markerKey: string;
  /** Jobs being run or settled, by lock token. */
  readonly #held = new Map<string, FleetJob>();
  /** Last sign of life of the fetch loop, by performance.now. */
  #aliveAt = performance.now();
  readonly #refusals = refusalBackOff();
  /** For fetches and waits that fail at once for another reason than a refusal, such as a key of the wrong type. */
  readonly #fetches = new BackOff(FIRST_FAILURE_MS, LONGEST_FAILURE_MS);
  readonly #waits = new BackOff(FIRST_FAILURE_MS, LONGEST_FAILURE_MS);
  #lastFailure = '';
  #sleeping = 0;
  #pausing = new AbortController();
  #retired = false;
  #onReleased: (() => void) | null = null;

  constructor(
    queue: string,
    processor: Processor,
    options: WorkerOptions,
    { store, logger }: { readonly store: Store; readonly logger: Logger },
  ) {
    super(queue, processor, options);
    this.#redis = store.redis;
    this.#clock = store.clock;
    this.#logger = logger;
    [this.#markerKey = ''] = store.queues.scriptKeys(queue, 'marker');
    useFleetClock(this.getBackend(), store.clock);
    this.#watchFetching();
  }

  /** Jobs being run or settled. */
  get held(): readonly FleetJob[] {
    return [...this.#held.values()];
  }

  /** Time since the fetch loop last showed life, in ms; 0 while it has no reason to fetch or no connection. */
  get silentMs(): number {
    const isIdle = !this.running || this.paused || this.#sleeping > 0 || isRateLimited(this) || this.#held.size >= this.concurrency;
    if (isIdle || this.#redis.status !== 'ready') this.#showLife();
    return performance.now() - this.#aliveAt;
  }

  readonly #showLife = (): void => {
    this.#aliveAt = performance.now();
  };

  /** Restarts the stall timer, for when this process itself was unable to fetch. */
  resetStallTimer(): void {
    this.#showLife();
  }

  /**
   * Counts the end of each wait for a job, and each attempt to connect, as a sign of life. While Redis refuses fetches there is no wait:
   * BullMQ would forget due jobs, and wait up to 10 s after Redis accepts writes again.
   */
  #watchFetching(): void {
    wrapWait(this, (wait) => async (timeout) => {
      try {
        if (this.#refusals.failures > 0) return null;
        const marker = await wait(timeout);
        this.#waits.reset();
        if (!marker || !this.paused) return marker;
        // A paused worker does not fetch the task that woke it: another one shall.
        await this.#wakeWorkers(marker);
        return null;
      } catch (error) {
        if (isConnectionError(error)) throw error;
        await this.#pauseAfter(error, this.#waits);
        if (!isRefusal(error)) this.emit('error', error as Error);
        return null;
      } finally {
        this.#showLife();
      }
    });
    for (const event of ['error', 'close', 'ready']) blockingClient(this)?.on(event, this.#showLife);
  }

  /**
   * Fetches a job, for the fetch loop or after a job that moved elsewhere. Backs off after refusals: BullMQ would retry at once and occupy
   * a whole core.
   */
  protected override async moveToActive(...args: Parameters<Worker['moveToActive']>): ReturnType<Worker['moveToActive']> {
    if (this.#retired || this.paused) return undefined as unknown as Job;
    const isFetchLoop = !this.#held.has(args[0]);
    try {
      if (!this.#clock.known) await this.#clock.measure();
      const job = await super.moveToActive(...args);
      this.#refusals.reset();
      this.#fetches.reset();
      if (!this.#retired || !job) return job;
      // The fetch loop may never process this job.
      void this.processJob(job, args[0], () => false);
      return undefined as unknown as Job;
    } catch (error) {
      // BullMQ waits for a lost connection itself.
      if (!isConnectionError(error)) await this.#pauseAfter(error, this.#fetches);
      throw error;
    } finally {
      if (isFetchLoop) this.#showLife();
    }
  }

  /** The last failure, if fetching fails consistently; else null. */
  get failure(): string | null {
    return Math.max(this.#fetches.failures, this.#waits.failures) < CERTAIN_FAILURES ? null : this.#lastFailure;
  }

  async #pauseAfter(error: unknown, backOff: BackOff): Promise<void> {
    if (isRefusal(error)) {
      const waitMs = this.#refusals.next();
      if (this.#refusals.failures === 1)
        this.#logger.warn({ queue: this.name, error: error.message }, 'Redis refuses fetches; retrying until it accepts them');
      return this.#sleep(waitMs);
    }
    this.#lastFailure = messageOf(error);
    await this.#sleep(backOff.next());
  }

  /** Sleeps, or returns at once when the worker pauses or closes. */
  async #sleep(ms: number): Promise<void> {
    if (this.closing) return;
    this.#sleeping += 1;
    await delay(ms, undefined, { signal: this.#pausing.signal }).catch(() => undefined);
    this.#sleeping -= 1;
  }

  /** Fetches until paused. Never rejects. */
  override async run(): Promise<void> {
    try {
      await super.run();
    } catch (error) {
      this.#logger.error({ queue: this.name, error: messageOf(error) }, 'Queue worker exited');
    }
  }

  override async pause(doNotWaitActive?: boolean): Promise<void> {
    this.#pausing.abort();
    await super.pause(doNotWaitActive);
  }

  /** Fetches again. Wakes the wait for a job: the tasks that were added meanwhile may have woken others only. */
  override async resume(): Promise<void> {
    if (this.closing || !this.paused) return;
    this.#pausing = new AbortController();
    this.#showLife();
    await super.resume();
    await this.#wakeWorkers({ member: BASE_MARKER, score: 0 });
  }

  /** Adds the marker for which the workers of this queue wait. */
  async #wakeWorkers({ member, score }: Marker): Promise<void> {
    try {
      await this.#redis.zadd(this.#markerKey, score, member);
    } catch (error) {
      this.#logger.debug(
        { queue: this.name, error: messageOf(error) },
        'Could not wake the workers of a queue; they look again within 10 s',
      );
    }
  }

  override async close(force?: boolean): Promise<void> {
    this.#pausing.abort();
    await super.close(force);
  }

  /** BullMQ's `processJob` for a job that is to be run, without the promises of its telemetry. */
  async #runAndSettle(job: Job, token: string, fetchNext?: () => boolean): ReturnType<Worker['processJob']> {
    const id = job.id as string;
    trackLock(this, id, token, job.processedOn as number);
    try {
      const result: unknown = await this.callProcessJob(job, token);
      return await retryIfFailed(this, () => {
        untrackLock(this, id);
        return this.handleCompleted(result, job, token, fetchNext);
      });
    } catch (error) {
      const settle = (): ReturnType<Worker['handleFailed']> => {
        untrackLock(this, id);
        return this.handleFailed(error as Error, job, token, fetchNext);
      };
      return await retryIfFailed(this, settle, { onlyEmitError: true });
    } finally {
      untrackLock(this, id);
    }
  }

  /** Without the promises of BullMQ for the next run of a schedule, which most jobs do not have. */
  protected override nextJobFromJobData(data?: JobJson, id?: string, token?: string): ReturnType<Worker['nextJobFromJobData']> {
    if (!data || data.repeatJobKey || data.opts.repeatJobKey) return super.nextJobFromJobData(data, id, token);
    const job = this.createJob(data, id as string);
    job.token = token as string;
    noteFetched(this, job);
    return Promise.resolve(job);
  }

  override async processJob(job: Job, token: string, fetchNext?: () => boolean): ReturnType<Worker['processJob']> {
    this.#held.set(token, job as FleetJob);
    try {
      const next = job.deferredFailure ? await super.processJob(job, token, fetchNext) : await this.#runAndSettle(job, token, fetchNext);
      if (!next || !this.#retired) return next;
      return await this.processJob(next, token, () => false);
    } finally {
      // Without a free slot there was no reason to fetch.
      if (this.#held.size >= this.concurrency) this.#showLife();
      this.#held.delete(token);
      if (this.#held.size === 0) this.#onReleased?.();
    }
  }

  /** Stops fetching for good. Current jobs are run and settled as before and keep their locks. Resolves when none is left. */
  async retire(): Promise<void> {
    this.#retired = true;
    await this.pause(true);
    hangUpBlocking(this);
    for (const job of await takeFetchedJobs(this)) if (job.token) void this.processJob(job, job.token, () => false);
    if (this.#held.size > 0) await new Promise<void>((resolve) => (this.#onReleased = resolve));
    await this.letGo();
  }

  /** Sets the number of slots. */
  resize(slots: number): void {
    if (slots === this.concurrency) return;
    this.concurrency = slots;
    wakeFetchLoop(this);
  }

  /** Releases everything that would keep the process alive while `close` waits for an unreachable Redis. */
  async letGo(): Promise<void> {
    await releaseWorker(this);
  }
}
