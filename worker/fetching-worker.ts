import { setTimeout as delay } from 'node:timers/promises';
import { type Job, type Processor, Worker, type WorkerOptions } from 'bullmq';
import { BackOff } from '../shared/back-off.js';
import { useFleetClock } from '../shared/clock/bullmq-time.js';
import { messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import { hangUp } from '../shared/redis/connect.js';
import type { RedisConnection } from '../shared/redis/connection.js';
import { isConnectionError } from '../shared/redis/connection-errors.js';
import { isRefusal } from '../shared/redis/refusals.js';
import type { Store } from '../shared/store.js';
import type { FleetJob } from './fleet-job.js';
import { refusalDelay } from './refusals.js';

/** What BullMQ keeps to itself. `test/worker/queue-keeper.test.ts` holds it to its version. */
interface Internals {
  /** What was fetched and is not yet begun, beside what is pending; null before the first fetch. */
  readonly mainLoopQueue: { fetch(): Promise<FleetJob | undefined>; numQueued(): number; add(job: Promise<void>): void } | null;
  isRateLimited(): boolean;
}

/** Waits after fetches that fail at once: BullMQ would ask again in the same moment, thousands of times a second. */
const FIRST_FAILURE_MS = 50;
const LONGEST_FAILURE_MS = 10_000;
/** Failures in a row after which a queue is said to be broken. */
const CERTAIN_FAILURES = 3;

/**
 * BullMQ's worker, as far as it fetches: it shows whether its fetching is alive, can be replaced by another one while its
 * jobs go on, and bears a Redis that refuses.
 */
export abstract class FetchingWorker extends Worker {
  readonly #redis: Store['redis'];
  readonly #clock: Store['clock'];
  readonly #logger: Logger;
  readonly #internals = this as unknown as Internals;
  /** What is run or settled, by the token of its lock. */
  readonly #held = new Map<string, FleetJob>();
  /** Of performance.now: when its fetching last gave a sign of life. */
  #signAt = performance.now();
  #refusals = 0;
  /** Of fetches, and of waits for jobs, that fail at once for another reason than a refusal, as where a key has the wrong type. */
  readonly #fetches = new BackOff(FIRST_FAILURE_MS, LONGEST_FAILURE_MS);
  readonly #waits = new BackOff(FIRST_FAILURE_MS, LONGEST_FAILURE_MS);
  #lastFailure = '';
  #sleeping = 0;
  readonly #ended = new AbortController();
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
    useFleetClock(this.getBackend(), store.clock);
    this.#watchFetching();
  }

  /** What it has: what is run, and what has ended and is not settled yet. */
  get held(): readonly FleetJob[] {
    return [...this.#held.values()];
  }

  /** How long its fetching gave no sign of life, in ms; 0 while it has no reason to fetch, or no Redis to fetch from. */
  get silentMs(): number {
    const rests =
      !this.running || this.paused || this.#sleeping > 0 || this.#internals.isRateLimited() || this.#held.size >= this.concurrency;
    if (rests || this.#redis.status !== 'ready') this.#sign();
    return performance.now() - this.#signAt;
  }

  readonly #sign = (): void => {
    this.#signAt = performance.now();
  };

  /** For one that watches it: this process itself could not fetch. */
  resetStallTimer(): void {
    this.#sign();
  }

  /**
   * Each wait for a job ends, with or without one, and that is a sign of life; so is an attempt to connect. While Redis
   * refuses there is no wait: BullMQ would forget what is due, and wait for up to 10 s more when Redis takes writes again.
   */
  #watchFetching(): void {
    const backend = this.getBackend();
    const wait = backend.waitForJob.bind(backend);
    backend.waitForJob = async (timeout) => {
      try {
        if (this.#refusals > 0) return null;
        const marker = await wait(timeout);
        this.#waits.reset();
        return marker;
      } catch (error) {
        if (isConnectionError(error)) throw error;
        await this.#pauseAfter(error, this.#waits);
        if (!isRefusal(error)) this.emit('error', error as Error);
        return null;
      } finally {
        this.#sign();
      }
    };
    for (const event of ['error', 'close', 'ready']) blockingClient(this)?.on(event, this.#sign);
  }

  /**
   * Fetches a job, for the loop that fetches or in place of one that has moved elsewhere. BullMQ asks again at once if
   * Redis refuses: a loop that would take a whole core.
   */
  protected override async moveToActive(...args: Parameters<Worker['moveToActive']>): ReturnType<Worker['moveToActive']> {
    if (this.#retired) return undefined as unknown as Job;
    const ofLoop = !this.#held.has(args[0]);
    try {
      if (!this.#clock.known) await this.#clock.measure();
      const job = await super.moveToActive(...args);
      this.#refusals = 0;
      this.#fetches.reset();
      if (!this.#retired || !job) return job;
      // The loop that asked for it may never come to it.
      void this.processJob(job, args[0], () => false);
      return undefined as unknown as Job;
    } catch (error) {
      // BullMQ itself waits for a lost connection.
      if (!isConnectionError(error)) await this.#pauseAfter(error, this.#fetches);
      throw error;
    } finally {
      if (ofLoop) this.#sign();
    }
  }

  /** Why nothing can be fetched, in the words of the last failure; null if that is not so, or not yet certain. */
  get failure(): string | null {
    return Math.max(this.#fetches.failures, this.#waits.failures) < CERTAIN_FAILURES ? null : this.#lastFailure;
  }

  async #pauseAfter(error: unknown, backOff: BackOff): Promise<void> {
    if (isRefusal(error)) {
      this.#refusals += 1;
      if (this.#refusals === 1)
        this.#logger.warn({ queue: this.name, error: error.message }, 'Redis refuses to hand out tasks; asking again until it does');
      return this.#sleep(refusalDelay(this.#refusals));
    }
    this.#lastFailure = messageOf(error);
    await this.#sleep(backOff.next());
  }

  /** Ends at once when nothing more is to be fetched. */
  async #sleep(ms: number): Promise<void> {
    if (this.closing) return;
    this.#sleeping += 1;
    await delay(ms, undefined, { signal: this.#ended.signal }).catch(() => undefined);
    this.#sleeping -= 1;
  }

  override async pause(doNotWaitActive?: boolean): Promise<void> {
    this.#ended.abort();
    await super.pause(doNotWaitActive);
  }

  override async close(force?: boolean): Promise<void> {
    this.#ended.abort();
    await super.close(force);
  }

  override async processJob(job: Job, token: string, fetchNext?: () => boolean): ReturnType<Worker['processJob']> {
    this.#held.set(token, job as FleetJob);
    try {
      const next = await super.processJob(job, token, fetchNext);
      if (!next || !this.#retired) return next;
      return await this.processJob(next, token, () => false);
    } finally {
      // With all slots taken there was no reason to fetch.
      if (this.#held.size >= this.concurrency) this.#sign();
      this.#held.delete(token);
      if (this.#held.size === 0) this.#onReleased?.();
    }
  }

  /**
   * Fetches nothing more, for good. What it has is run and settled as before, and keeps its locks until then. Resolves
   * when nothing is left.
   */
  async retire(): Promise<void> {
    this.#retired = true;
    await this.pause(true);
    const backend = this.getBackend();
    backend.reconnectBlocking = () => Promise.resolve();
    const blocking = blockingClient(this);
    if (blocking) hangUp(blocking);
    // What it has fetched and not begun: the loop that would do that may hang.
    const { mainLoopQueue } = this.#internals;
    const taken = mainLoopQueue ? Array.from({ length: mainLoopQueue.numQueued() }, () => mainLoopQueue.fetch()) : [];
    for (const job of await Promise.all(taken)) if (job?.token) void this.processJob(job, job.token, () => false);
    if (this.#held.size > 0) await new Promise<void>((resolve) => (this.#onReleased = resolve));
    await this.letGo();
  }

  /** Sets the number of slots. */
  resize(slots: number): void {
    if (slots === this.concurrency) return;
    this.concurrency = slots;
    // It may wait for the end of a job that it runs: BullMQ's own `resume` wakes it in this way.
    this.#internals.mainLoopQueue?.add(Promise.resolve());
  }

  /** For a `close` that waits for a Redis that is away: lets go of what would keep the process alive. */
  async letGo(): Promise<void> {
    await this.lockManager.close();
    const blocking = blockingClient(this);
    if (blocking) hangUp(blocking);
    await this.getBackend().close(true);
  }
}

/** The connection that waits for jobs, whether it is ready or not. */
function blockingClient(worker: Worker): RedisConnection | null {
  const connection = worker.getBackend().blockingConnection as unknown as Readonly<Record<'_client', RedisConnection>> | undefined;
  return connection?.['_client'] ?? null;
}
