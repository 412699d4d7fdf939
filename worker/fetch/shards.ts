import { messageOf } from '../../shared/errors.js';
import type { Logger } from '../../shared/logger.js';
import { Service } from '../../shared/service.js';
import type { Store } from '../../shared/store.js';
import { slotsOfOthers } from './slots.js';

export interface ShardFinderOptions {
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
  readonly #options: ShardFinderOptions;
  #timer: NodeJS.Timeout | null = null;
  readonly #onTick = (): void => void this.look();

  constructor(options: ShardFinderOptions) {
    super();
    this.#options = options;
  }

  protected override onStart(): Promise<void> {
    this.#timer = setInterval(this.#onTick, this.#options.intervalMs);
    this.#options.store.redis.on('ready', this.#onTick);
    this.#onTick();
    return Promise.resolve();
  }

  protected override onStop(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    this.#options.store.redis.off('ready', this.#onTick);
    return Promise.resolve();
  }

  /** Never rejects. */
  async look(): Promise<void> {
    const { store, slots, take, logger } = this.#options;
    if (store.redis.status !== 'ready') return;
    try {
      const names = await store.registry.queueNames();
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
