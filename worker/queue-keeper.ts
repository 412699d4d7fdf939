import { messageOf } from '../shared/errors.js';
import { shortened } from '../shared/limits.js';
import type { Logger } from '../shared/logger.js';
import { RepeatedLines } from '../shared/repeated-lines.js';
import type { Store } from '../shared/store.js';
import { describeWrongKeys, wrongKeysOf } from '../shared/task/queue-keys.js';
import type { FleetJob } from './fleet-job.js';
import type { QueueWorker } from './queue-worker.js';

export interface QueueKeeperOptions {
  readonly queue: string;
  readonly slots: number;
  readonly store: Store;
  /** How long the worker may fetch nothing while there is something to fetch, in ms. */
  readonly stallMs: number;
  /** Makes a worker for the queue, which does not run yet. */
  readonly make: () => QueueWorker;
  readonly logger: Logger;
}

/** Looks in one stall time. */
const LOOKS = 10;
/** A Redis that takes longer to answer is slow, and so is what it is asked for. */
const SLOW_ANSWER_MS = 1_000;
/** Characters of what is said about a broken queue. */
const LONGEST_FAULT = 1_000;

/**
 * Keeps one queue fetched from. BullMQ's worker may come out of a failover connected, and fetch nothing ever after (its
 * issues 4138, 4378, 4479, 4585). Such a worker is replaced by a new one with a new connection; what it runs stays with
 * it until it is settled, and its slots with that.
 *
 * A worker is silent for half the stall time before anybody looks into the queue, and must leave it as it is for the
 * other half. Whoever has no free slot, no Redis or a rate limit does not count as silent: see `QueueWorker.silentMs`.
 */
export class QueueKeeper {
  readonly #options: QueueKeeperOptions;
  readonly #everyMs: number;
  #worker: QueueWorker;
  /** Workers that were replaced and still have jobs. */
  readonly #retired = new Set<QueueWorker>();
  #timer: NodeJS.Timeout | null = null;
  #lookedAt = performance.now();
  #looking = false;
  /** Of performance.now: since when there has been something to fetch; null if there is not. */
  #fetchableSince: number | null = null;
  #replaced = 0;
  #broken: string | null = null;
  readonly #lines: RepeatedLines;

  constructor(options: QueueKeeperOptions) {
    this.#options = options;
    this.#everyMs = options.stallMs / LOOKS;
    this.#lines = new RepeatedLines(options.logger);
    this.#worker = options.make();
  }

  get name(): string {
    return this.#options.queue;
  }

  /** How many workers of this queue were replaced. */
  get replaced(): number {
    return this.#replaced;
  }

  /** Why nothing can be fetched from the queue, and what repairs it; null if nothing is wrong. */
  get broken(): string | null {
    return this.#broken;
  }

  /** What is run, and what has ended and is not settled. */
  get held(): readonly FleetJob[] {
    return this.#all().flatMap((worker) => worker.held);
  }

  run(): void {
    this.#run(this.#worker);
    this.#timer = setInterval(() => void this.#look(), this.#everyMs);
  }

  async waitUntilReady(): Promise<void> {
    await this.#worker.waitUntilReady();
  }

  /** Fetches nothing more. */
  pause(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    for (const worker of this.#all()) void worker.pause(true);
  }

  /** Resolves when everything is settled and closed; may never do, while Redis is away. */
  async close(): Promise<void> {
    await Promise.all(this.#all().map((worker) => worker.close()));
  }

  /** For a `close` that waits for a Redis that is away: lets go of what would keep the process alive. */
  async letGo(): Promise<void> {
    await Promise.all(this.#all().map((worker) => worker.letGo()));
  }

  #all(): QueueWorker[] {
    return [...this.#retired, this.#worker];
  }

  #run(worker: QueueWorker): void {
    const { queue, logger } = this.#options;
    worker.run().catch((error: unknown) => logger.error({ queue, error: messageOf(error) }, 'Queue worker ended'));
  }

  async #look(): Promise<void> {
    const now = performance.now();
    // Frozen, or busy with something else: answers may have been waiting here to be read.
    if (now - this.#lookedAt > 2 * this.#everyMs) this.#worker.resetStallTimer();
    this.#lookedAt = now;
    if (this.#retired.size > 0) this.#share();
    if (this.#looking) return;
    this.#looking = true;
    try {
      await this.#findFault();
      await this.#judge();
    } catch (error) {
      // Redis refuses, or is away: no worker could fetch.
      this.#options.logger.debug({ queue: this.name, error }, 'Could not look for what waits');
      this.#worker.resetStallTimer();
    } finally {
      this.#looking = false;
    }
  }

  /** BullMQ's own scripts fail where a key of the queue has the wrong type; only this queue suffers. */
  async #findFault(): Promise<void> {
    const { store, queue } = this.#options;
    const { failure } = this.#worker;
    if (failure === null) {
      this.#broken = null;
      return void this.#lines.forget(queue);
    }
    const wrong = await wrongKeysOf(store.redis, store.keys, queue);
    this.#broken = shortened(wrong.length > 0 ? describeWrongKeys(wrong) : failure, LONGEST_FAULT);
    this.#lines.error(queue, { queue, problem: this.#broken }, 'A queue is broken and nothing is fetched from it; the other queues go on');
  }

  async #judge(): Promise<void> {
    const { stallMs, logger } = this.#options;
    const worker = this.#worker;
    if (worker.silentMs < stallMs / 2) return this.#clear();
    const askedAt = performance.now();
    const fetchable = await this.#countFetchable();
    const answeredAt = performance.now();
    if (answeredAt - askedAt > SLOW_ANSWER_MS) worker.resetStallTimer();
    const { silentMs } = worker;
    if (fetchable === 0 || silentMs < stallMs / 2) return this.#clear();
    this.#fetchableSince ??= answeredAt;
    if (answeredAt - this.#fetchableSince < stallMs / 2 || silentMs < stallMs || this.#timer === null) return;
    logger.warn(
      { queue: this.name, waiting: fetchable, silentMs: Math.round(silentMs), running: worker.held.length },
      'Nothing is fetched although tasks wait and slots are free: the queue worker is replaced',
    );
    this.#replace();
  }

  #clear(): void {
    this.#fetchableSince = null;
  }

  #countFetchable(): Promise<number> {
    const { store, queue } = this.#options;
    return store.redis.countFetchable(
      ...store.queues.scriptKeys(queue, 'wait', 'prioritized', 'delayed', 'meta', 'active', 'limiter'),
      store.clock.now(),
    );
  }

  #replace(): void {
    const { make, logger } = this.#options;
    const old = this.#worker;
    this.#clear();
    this.#replaced += 1;
    this.#retired.add(old);
    this.#worker = make();
    this.#share();
    old
      .retire()
      .catch((error: unknown) => logger.warn({ queue: this.name, error: messageOf(error) }, 'A replaced queue worker was not closed'))
      .finally(() => {
        this.#retired.delete(old);
        this.#share();
      });
    this.#run(this.#worker);
  }

  /** What the old ones run is taken from the slots of the new one. */
  #share(): void {
    const taken = [...this.#retired].reduce((sum, { held }) => sum + held.length, 0);
    this.#worker.resize(Math.max(1, this.#options.slots - taken));
  }
}
