import type { Logger } from '../shared/logger.js';
import { messageOf } from '../shared/errors.js';
import { Service } from '../shared/service.js';
import type { Store } from '../shared/store.js';
import { MAINTENANCE_QUEUE } from '../shared/task/builtin/index.js';
import { jobOptions } from '../shared/task/job-options.js';
import type { Schedule } from './schedule-table.js';

export interface SchedulesOptions {
  readonly store: Store;
  readonly table: readonly Schedule[];
  readonly logger: Logger;
}

/** A schedule that has lost its next task is given a new one after this time. */
const APPLY_EVERY_MS = 60_000;

/**
 * Keeps the fleet's schedules as the table has them: at the start, after each reconnect, and every minute. Every worker
 * does it; there is one scheduler for each entry all the same, and its next task keeps its time.
 */
export class Schedules extends Service {
  readonly #options: SchedulesOptions;
  #timer: NodeJS.Timeout | null = null;
  #applying: Promise<void> | null = null;
  readonly #onReady = (): void => void this.apply();

  constructor(options: SchedulesOptions) {
    super();
    this.#options = options;
  }

  protected override onStart(): Promise<void> {
    const { redis } = this.#options.store;
    this.#timer = setInterval(this.#onReady, APPLY_EVERY_MS);
    redis.on('ready', this.#onReady);
    if (redis.status === 'ready') this.#onReady();
    return Promise.resolve();
  }

  protected override async onStop(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    this.#options.store.redis.off('ready', this.#onReady);
    await this.#applying;
  }

  /** Never rejects. */
  apply(): Promise<void> {
    this.#applying ??= this.#apply().finally(() => {
      this.#applying = null;
    });
    return this.#applying;
  }

  async #apply(): Promise<void> {
    const { store, table, logger } = this.#options;
    if (store.redis.status !== 'ready' || this.stopping) return;
    try {
      const queue = store.queues.get(MAINTENANCE_QUEUE);
      await store.redis.sadd(store.keys.queues, MAINTENANCE_QUEUE);
      const known = await queue.getJobSchedulers(0, -1);
      const left = known.flatMap(({ key }) => (key && !table.some(({ id }) => id === key) ? [key] : []));
      await Promise.all(left.map((key) => queue.removeJobScheduler(key)));
      for (const { id, definition, input, everyMs } of table) {
        // The first one after an interval: a fleet that starts has better to do.
        // With an item of its own, though empty: what the fleet does for itself is not among the live tasks of its users.
        const opts = { ...jobOptions(definition), item: '' };
        await queue.upsertJobScheduler(id, { every: everyMs, startDate: Date.now() + everyMs }, { name: definition.name, data: input, opts });
      }
    } catch (error) {
      logger.warn({ error: messageOf(error) }, 'Could not apply the schedules; trying again within a minute');
    }
  }
}
