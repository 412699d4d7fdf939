import { messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import { Service } from '../shared/service.js';
import type { Store } from '../shared/store.js';
import { slotsOfOthers } from './slots.js';

export interface ShardFinderOptions {
  readonly store: Store;
  /** Of the BullMQ queues that the worker takes tasks from. */
  readonly slots: ReadonlyMap<string, number>;
  readonly intervalMs: number;
  /** Takes tasks from one more, which is in `slots` from then on. */
  readonly take: (queue: string, slots: number) => void;
  readonly logger: Logger;
}

/**
 * Finds shards of the worker's queues that its own definitions do not have: those of other versions that state more, or
 * did. Without that their tasks would wait until such a version is back. Looks at the start, after each reconnect and at
 * every heartbeat. What is found is kept, also when it is empty: another process may still add to it.
 */
export class ShardFinder extends Service {
  readonly #options: ShardFinderOptions;
  #timer: NodeJS.Timeout | null = null;
  readonly #onTime = (): void => void this.look();

  constructor(options: ShardFinderOptions) {
    super();
    this.#options = options;
  }

  protected override onStart(): Promise<void> {
    this.#timer = setInterval(this.#onTime, this.#options.intervalMs);
    this.#options.store.redis.on('ready', this.#onTime);
    this.#onTime();
    return Promise.resolve();
  }

  protected override onStop(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    this.#options.store.redis.off('ready', this.#onTime);
    return Promise.resolve();
  }

  /** Never rejects. */
  async look(): Promise<void> {
    const { store, slots, take, logger } = this.#options;
    if (store.redis.status !== 'ready') return;
    try {
      const names = await store.registry.queueNames();
      // Without a pause from here on: of two looks at once, the second finds what the first has taken.
      if (this.stopping) return;
      for (const [queue, some] of slotsOfOthers(slots, names)) {
        take(queue, some);
        logger.info({ queue, slots: some }, 'Takes tasks from a shard that its own definitions do not have');
      }
    } catch (error) {
      logger.debug({ error: messageOf(error) }, 'Could not look for shards');
    }
  }
}
