import { messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/log/logger.js';
import type { ConnectedSettings, Store } from '../shared/store.js';
import { baseQueue } from '../shared/task/shards.js';
import type { BrokenQueue } from '../shared/workers/heartbeats.js';
import { MAINTENANCE_QUEUE } from './builtin/definitions.js';
import type { FleetJob } from './fetch/fleet-job.js';
import { OutageReport } from './fetch/outage-report.js';
import { QueueSupervisor } from './fetch/queue-supervisor.js';
import type { QueueWorker } from './fetch/queue-worker.js';
import { ShardFinder, slotsByQueue } from './fetch/shards.js';
import type { LoadedHandler } from './task-modules.js';

interface FetchersOptions {
  readonly store: Store;
  readonly settings: ConnectedSettings;
  readonly workerId: string;
  readonly handlers: Iterable<LoadedHandler>;
  /** Creates a worker for one queue, without running it. */
  readonly make: (queue: string, slots: number) => QueueWorker;
  readonly logger: Logger;
}

/** Fetches from all queues of a worker, and from those of their shards that are found later. */
export class Fetchers {
  /** Slots by BullMQ queue. */
  readonly #slots: Map<string, number>;
  readonly #shards: ShardFinder;
  readonly #outages: OutageReport;
  readonly #supervisors: QueueSupervisor[] = [];
  #suspended = false;
  #stopped = false;
  /** Settles once the shards are fetched from. */
  #sharding: Promise<void> = Promise.resolve();

  constructor(private readonly options: FetchersOptions) {
    const { store, settings, workerId, handlers, logger } = options;
    this.#slots = slotsByQueue(handlers, settings.concurrency, settings.threads);
    this.#outages = new OutageReport({
      ...{ store, workerId, lockMs: settings.lockMs, logger },
      queues: () => this.#supervisors.map(({ name }) => name),
      held: () => this.held,
    });
    this.#shards = new ShardFinder({
      store,
      slots: this.#slots,
      intervalMs: settings.heartbeatMs,
      take: (queue, slots) => this.#fetchFrom(queue, slots),
      logger,
    });
  }

  /** The queues of users' tasks. */
  get queues(): string[] {
    return [...this.#slots.keys()].filter((queue) => queue !== MAINTENANCE_QUEUE);
  }

  /** Slots for users' tasks. */
  get slots(): number {
    return [...this.#slots].reduce((sum, [queue, slots]) => (queue === MAINTENANCE_QUEUE ? sum : sum + slots), 0);
  }

  get takesMaintenance(): boolean {
    return this.#slots.has(MAINTENANCE_QUEUE);
  }

  /** Whether fetching is suspended. */
  get suspended(): boolean {
    return this.#suspended;
  }

  /** Jobs being run or settled. */
  get held(): FleetJob[] {
    return this.#supervisors.flatMap(({ held }) => held);
  }

  /** Ids of the tasks that are run or settled, and of those that could not be settled. */
  get unsettled(): string[] {
    return this.#supervisors.flatMap(({ unsettled }) => unsettled);
  }

  /** Number of replaced queue workers. */
  get replaced(): number {
    return this.#supervisors.reduce((sum, { replaced }) => sum + replaced, 0);
  }

  get broken(): BrokenQueue[] {
    return this.#supervisors.flatMap(({ name: queue, broken: problem }) => (problem === null ? [] : [{ queue, problem }]));
  }

  /** Connections that wait for jobs. */
  get connections(): number {
    return this.#supervisors.length;
  }

  async start(): Promise<void> {
    await this.#outages.start();
    const queues = [...this.#slots];
    for (const [queue, slots] of queues) if (!isShard(queue)) this.#fetchFrom(queue, slots);
    this.#sharding = this.#fetchFromShards(queues.filter(([queue]) => isShard(queue)));
    await this.#shards.start();
  }

  async waitUntilReady(): Promise<void> {
    await this.#sharding;
    await Promise.all(this.#supervisors.map((supervisor) => supervisor.waitUntilReady()));
  }

  /** Stops fetching until `resume`. Running tasks go on. */
  suspend(): void {
    this.#suspended = true;
    for (const supervisor of this.#supervisors) supervisor.suspend();
  }

  resume(): void {
    this.#suspended = false;
    for (const supervisor of this.#supervisors) supervisor.resume();
  }

  /** Stops fetching for good. */
  async pause(): Promise<void> {
    this.#stopped = true;
    await this.#shards.stop();
    for (const supervisor of this.#supervisors) supervisor.pause();
  }

  /** Resolves when all jobs are settled and the connections closed; may never resolve while Redis is away. */
  async close(): Promise<void> {
    await Promise.all(this.#supervisors.map((supervisor) => supervisor.close()));
  }

  /** Releases everything that would keep the process alive while `close` waits for an unreachable Redis. */
  async letGo(): Promise<void> {
    await Promise.all(this.#supervisors.map((supervisor) => supervisor.letGo()));
  }

  /** Ends what needs no Redis. */
  async stop(): Promise<void> {
    await this.#outages.stop();
  }

  /** Fetches from shards once those of paused queues are paused too: they may be new. Never rejects. */
  async #fetchFromShards(shards: readonly (readonly [queue: string, slots: number])[]): Promise<void> {
    if (shards.length === 0) return;
    const { store, logger } = this.options;
    const names = shards.map(([queue]) => queue);
    try {
      // Listed first: a pause of the queue from now on includes them.
      await store.redis.sadd(store.keys.queues, ...names);
      await store.pauses.tend(names);
    } catch (error) {
      logger.warn(
        { queues: names, error: messageOf(error) },
        'Could not check whether the queues of new shards are paused; fetching from them',
      );
    }
    if (this.#stopped) return;
    for (const [queue, slots] of shards) this.#fetchFrom(queue, slots);
  }

  #fetchFrom(queue: string, slots: number): void {
    const { store, settings, make, logger } = this.options;
    const supervisor = new QueueSupervisor({
      ...{ queue, slots, store, logger },
      make: () => make(queue, slots),
      stallMs: settings.fetchStallMs,
    });
    this.#slots.set(queue, slots);
    this.#supervisors.push(supervisor);
    if (this.#suspended) supervisor.suspend();
    supervisor.run();
  }
}

function isShard(queue: string): boolean {
  return baseQueue(queue) !== queue;
}
