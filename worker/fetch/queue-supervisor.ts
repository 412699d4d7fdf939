import { messageOf } from '../../shared/errors.js';
import { shortened } from '../../shared/limits.js';
import { type Logger, RepeatedLines } from '../../shared/log/logger.js';
import type { Store } from '../../shared/store.js';
import { describeWrongKeys, wrongKeysOf } from '../../shared/task/queues.js';
import type { FleetJob } from './fleet-job.js';
import type { QueueWorker } from './queue-worker.js';

interface QueueSupervisorOptions {
  readonly queue: string;
  readonly slots: number;
  readonly store: Store;
  /** How long the worker may fetch nothing while tasks are fetchable, in ms. */
  readonly stallMs: number;
  /** Creates a worker for the queue, without running it. */
  readonly make: () => QueueWorker;
  readonly logger: Logger;
}

/** Checks per stall time. */
const CHECKS = 10;
/** If Redis takes longer to answer than this, it is slow for the worker's fetches too. */
const SLOW_ANSWER_MS = 1_000;
/** Maximum length of the problem reported for a broken queue, in characters. */
const MAX_PROBLEM_LENGTH = 1_000;

/**
 * Keeps one queue fetched from. After a failover BullMQ's worker may be connected and never fetch again (its issues 4138, 4378, 4479,
 * 4585). Such a worker is replaced by one with a new connection; the old one keeps its running jobs, and their slots, until they are
 * settled.
 *
 * A worker must be silent for half the stall time before the queue is examined, and leave fetchable tasks alone for the other half. A
 * worker without a free slot or Redis, or under a rate limit, is not silent: see `QueueWorker.silentMs`.
 */
export class QueueSupervisor {
  readonly #everyMs: number;
  #worker: QueueWorker;
  /** Replaced workers that still have jobs. */
  readonly #retired = new Set<QueueWorker>();
  #timer: NodeJS.Timeout | null = null;
  #checkedAt = performance.now();
  #checking = false;
  /** When tasks were first seen fetchable, by performance.now; null if there are none. */
  #fetchableSince: number | null = null;
  #replaced = 0;
  #broken: string | null = null;
  #suspended = false;
  readonly #lines: RepeatedLines;

  constructor(private readonly options: QueueSupervisorOptions) {
    this.#everyMs = options.stallMs / CHECKS;
    this.#lines = new RepeatedLines(options.logger);
    this.#worker = options.make();
  }

  get name(): string {
    return this.options.queue;
  }

  /** The number of replaced workers. */
  get replaced(): number {
    return this.#replaced;
  }

  /** Why the queue cannot be fetched from, and the repair; null if it can. */
  get broken(): string | null {
    return this.#broken;
  }

  /** Jobs being run or settled. */
  get held(): readonly FleetJob[] {
    return this.#all().flatMap((worker) => worker.held);
  }

  /** Ids of the tasks that are run or settled, and of those that could not be settled. */
  get unsettled(): string[] {
    return this.#all().flatMap((worker) => worker.unsettled);
  }

  run(): void {
    if (!this.#suspended) void this.#worker.run();
    this.#timer = setInterval(() => void this.#check(), this.#everyMs);
  }

  /** Stops fetching until `resume`. */
  suspend(): void {
    this.#suspended = true;
    void this.#worker.pause(true);
  }

  resume(): void {
    this.#suspended = false;
    void this.#worker.resume();
  }

  async waitUntilReady(): Promise<void> {
    await this.#worker.waitUntilReady();
  }

  /** Stops fetching for good. */
  pause(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    for (const worker of this.#all()) void worker.pause(true);
  }

  /** Resolves when all jobs are settled and the connections closed; may never resolve while Redis is away. */
  async close(): Promise<void> {
    await Promise.all(this.#all().map((worker) => worker.close()));
  }

  /** Releases everything that would keep the process alive while `close` waits for an unreachable Redis. */
  async letGo(): Promise<void> {
    await Promise.all(this.#all().map((worker) => worker.letGo()));
  }

  #all(): QueueWorker[] {
    return [...this.#retired, this.#worker];
  }

  async #check(): Promise<void> {
    const now = performance.now();
    // This process was frozen or busy: Redis' answers may have been waiting here to be read.
    if (now - this.#checkedAt > 2 * this.#everyMs) this.#worker.resetStallTimer();
    this.#checkedAt = now;
    if (this.#retired.size > 0) this.#shareSlots();
    if (this.#checking) return;
    this.#checking = true;
    try {
      await this.#findProblem();
      await this.#replaceIfStalled();
    } catch (error) {
      // Redis refuses the command or is away: no worker could fetch.
      this.options.logger.debug({ queue: this.name, error }, 'Could not count fetchable tasks');
      this.#worker.resetStallTimer();
    } finally {
      this.#checking = false;
    }
  }

  /** Looks for keys of a wrong type: BullMQ's scripts fail on them, but only this queue is affected. */
  async #findProblem(): Promise<void> {
    const { store, queue } = this.options;
    const { failure } = this.#worker;
    if (failure === null) {
      this.#broken = null;
      return void this.#lines.forget(queue);
    }
    const wrong = await wrongKeysOf(store.redis, store.keys, queue);
    this.#broken = shortened(wrong.length > 0 ? describeWrongKeys(wrong) : failure, MAX_PROBLEM_LENGTH);
    this.#lines.error(queue, { queue, problem: this.#broken }, 'A queue is broken; fetching from the other queues only');
  }

  async #replaceIfStalled(): Promise<void> {
    const { stallMs, logger } = this.options;
    const worker = this.#worker;
    if (worker.silentMs < stallMs / 2) return this.#clearFetchable();
    const askedAt = performance.now();
    const fetchable = await this.#countFetchable();
    const answeredAt = performance.now();
    if (answeredAt - askedAt > SLOW_ANSWER_MS) worker.resetStallTimer();
    const { silentMs } = worker;
    if (fetchable === 0 || silentMs < stallMs / 2) return this.#clearFetchable();
    this.#fetchableSince ??= answeredAt;
    if (answeredAt - this.#fetchableSince < stallMs / 2 || silentMs < stallMs || this.#timer === null) return;
    logger.warn(
      { queue: this.name, waiting: fetchable, silentMs: Math.round(silentMs), running: worker.held.length },
      'Queue worker fetches nothing although tasks wait and slots are free; replacing it',
    );
    this.#replace();
  }

  #clearFetchable(): void {
    this.#fetchableSince = null;
  }

  #countFetchable(): Promise<number> {
    const { store, queue } = this.options;
    return store.redis.countFetchable(
      ...store.queues.scriptKeys(queue, 'wait', 'prioritized', 'delayed', 'meta', 'active', 'limiter'),
      store.clock.now(),
    );
  }

  #replace(): void {
    const { make, logger } = this.options;
    const old = this.#worker;
    this.#clearFetchable();
    this.#replaced += 1;
    this.#retired.add(old);
    this.#worker = make();
    this.#shareSlots();
    old
      .retire()
      .catch((error: unknown) => logger.warn({ queue: this.name, error: messageOf(error) }, 'Could not close a replaced queue worker'))
      .finally(() => {
        this.#retired.delete(old);
        this.#shareSlots();
      });
    void this.#worker.run();
  }

  /** Subtracts the jobs of the replaced workers from the slots of the new one. */
  #shareSlots(): void {
    const taken = [...this.#retired].reduce((sum, { held }) => sum + held.length, 0);
    this.#worker.resize(Math.max(1, this.options.slots - taken));
  }
}
