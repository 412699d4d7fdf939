import { messageOf } from '../../shared/errors.js';
import type { Logger } from '../../shared/log/logger.js';
import { Service } from '../../shared/process/service.js';
import type { Store } from '../../shared/store.js';
import { baseQueue, shardsOf } from '../../shared/task/shards.js';
import { MAINTENANCE_QUEUE } from '../builtin/definitions.js';
import type { LoadedHandler } from '../task-modules.js';

/** Slots of the maintenance queue, independent of WORKER_CONCURRENCY: a run that waits for a lock must not block the others. */
const MAINTENANCE_SLOTS = 8;

type Slotted = Pick<LoadedHandler, 'definition' | 'alwaysIsolated'>;

/**
 * Returns the slots of each BullMQ queue. The slots of a sharded queue are divided over its shards, rounded up. A queue with isolated tasks
 * only gets no more slots than there are threads: further tasks would only wait for a thread.
 */
export function slotsByQueue(handlers: Iterable<Slotted>, concurrency: number, threads: number): Map<string, number> {
  const queues = new Map<string, { onlyIsolated: boolean; shards: string[] }>();
  for (const { definition, alwaysIsolated } of handlers) {
    const { onlyIsolated, shards } = queues.get(definition.queue) ?? { onlyIsolated: true, shards: [] };
    const own = shardsOf(definition);
    queues.set(definition.queue, { onlyIsolated: onlyIsolated && alwaysIsolated, shards: own.length > shards.length ? own : shards });
  }
  const slotsOf = (queue: string, onlyIsolated: boolean): number => {
    if (queue === MAINTENANCE_QUEUE) return MAINTENANCE_SLOTS;
    return onlyIsolated ? Math.min(concurrency, threads) : concurrency;
  };
  return new Map(
    [...queues].flatMap(([queue, { onlyIsolated, shards }]) =>
      shards.map((shard): [string, number] => [shard, Math.ceil(slotsOf(queue, onlyIsolated) / shards.length)]),
    ),
  );
}

/**
 * Returns slots for the shards among `names` that belong to a queue in `slots` but are missing there: as many as if all shards had been
 * known from the start. Known shards keep theirs.
 */
export function slotsOfOthers(slots: ReadonlyMap<string, number>, names: Iterable<string>): Map<string, number> {
  const others = [...names].filter((name) => baseQueue(name) !== name && slots.has(baseQueue(name)) && !slots.has(name));
  const shardsAmong = (queues: Iterable<string>, base: string): number => [...queues].filter((name) => baseQueue(name) === base).length;
  return new Map(
    others.map((name) => {
      const base = baseQueue(name);
      const known = shardsAmong(slots.keys(), base);
      return [name, Math.ceil(((slots.get(base) as number) * known) / (known + shardsAmong(others, base)))];
    }),
  );
}

interface ShardFinderOptions {
  readonly store: Store;
  /** Slots of the BullMQ queues that the worker fetches from. */
  readonly slots: ReadonlyMap<string, number>;
  readonly intervalMs: number;
  /** Starts fetching from another queue and adds it to `slots`. */
  readonly take: (queue: string, slots: number) => void;
  readonly logger: Logger;
}

/**
 * Finds shards of the worker's queues that only other versions of its definitions have; their tasks would wait until such a version is
 * back. Looks at the start, after each reconnect and at every heartbeat. Found shards are kept even when empty: another process may still
 * add tasks to them.
 */
export class ShardFinder extends Service {
  #timer: NodeJS.Timeout | null = null;
  readonly #onTick = (): void => void this.look();

  constructor(private readonly options: ShardFinderOptions) {
    super();
  }

  protected override onStart(): Promise<void> {
    this.#timer = setInterval(this.#onTick, this.options.intervalMs);
    this.options.store.redis.on('ready', this.#onTick);
    this.#onTick();
    return Promise.resolve();
  }

  protected override onStop(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    this.options.store.redis.off('ready', this.#onTick);
    return Promise.resolve();
  }

  /** Never rejects. */
  async look(): Promise<void> {
    const { store, slots, take, logger } = this.options;
    if (store.redis.status !== 'ready') return;
    try {
      const names = await store.registry.queueNames();
      // A new shard of a paused queue is paused before the first fetch from it.
      if (slotsOfOthers(slots, names).size > 0) await store.pauses.tend(names);
      // No await from here on: of two concurrent looks, the second must see the shards that the first took.
      if (this.stopping) return;
      for (const [queue, some] of slotsOfOthers(slots, names)) {
        take(queue, some);
        logger.info({ queue, slots: some }, 'Fetching from a shard that only another version defines');
      }
    } catch (error) {
      logger.debug({ error: messageOf(error) }, 'Could not look for new shards; trying again at the next heartbeat');
    }
  }
}
