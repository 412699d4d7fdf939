import type { Logger } from '../shared/logger.js';
import { messageOf } from '../shared/errors.js';
import { atStartId, formatSchedule, parseSchedule, type Schedule } from '../shared/schedule/schedule.js';
import { Service } from '../shared/service.js';
import type { Store } from '../shared/store.js';
import { MAINTENANCE_QUEUE } from '../shared/task/builtin/index.js';
import type { FleetSchedule } from './schedule-table.js';

export interface SchedulesOptions {
  readonly store: Store;
  readonly table: readonly FleetSchedule[];
  readonly logger: Logger;
}

/** A schedule that has lost its next task is given a new one after this time. */
const APPLY_EVERY_MS = 60_000;

/**
 * Keeps the schedules as the table has them, and those of users as they made them: at the start, after each reconnect,
 * and every minute. Every worker does it; there is one scheduler for each schedule all the same.
 */
export class Schedules extends Service {
  readonly #options: SchedulesOptions;
  #timer: NodeJS.Timeout | null = null;
  #applying: Promise<void> | null = null;
  #started = false;
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
      // First what there is: a schedule that is made meanwhile is not in it, for its record comes before its scheduler.
      const made = await this.#made();
      const users = await this.#users();
      await this.#removeOthers(made, users);
      await Promise.all(table.map((schedule) => store.schedulers.ensure(schedule)));
      await this.#startFirst();
      for (const schedule of users.values()) if (schedule !== null) await this.#ensureUsers(schedule);
    } catch (error) {
      logger.warn({ error: messageOf(error) }, 'Could not apply the schedules; trying again within a minute');
    }
  }

  /** The schedulers of all queues that the fleet knows of. */
  async #made(): Promise<{ queue: string; id: string }[]> {
    const { redis, keys, schedulers } = this.#options.store;
    const queues = new Set([...(await redis.smembers(keys.queues)), MAINTENANCE_QUEUE]);
    const made = await Promise.all([...queues].map(async (queue) => (await schedulers.ids(queue)).map((id) => ({ queue, id }))));
    return made.flat();
  }

  /** By id; null for one that cannot be understood. */
  async #users(): Promise<Map<string, Schedule | null>> {
    const { store, logger } = this.#options;
    const stored = Object.entries(await store.redis.hgetall(store.keys.schedules));
    return new Map(
      stored.map(([id, text]) => {
        const schedule = parseSchedule(id, text);
        if (schedule === null) logger.warn({ id }, 'A schedule is stored in a way that cannot be understood; leaving it');
        return [id, schedule];
      }),
    );
  }

  /** What is in neither list has left the table, or its producer did not live to remove it. On users' queues others may have their own. */
  async #removeOthers(made: readonly { queue: string; id: string }[], users: ReadonlyMap<string, Schedule | null>): Promise<void> {
    const { store, table } = this.#options;
    const fleets = new Set(table.map(({ id }) => id));
    for (const { queue, id } of made) {
      const user = users.get(id);
      if (user === null || user?.definition.queue === queue) continue;
      if (queue === MAINTENANCE_QUEUE) {
        // At the start only: workers with two versions of the table would undo each other's work every minute.
        if (!fleets.has(id) && !this.#started) await store.schedulers.remove(queue, id);
      } else if (await store.schedulers.isOurs(queue, id)) await store.schedulers.remove(queue, id);
    }
  }

  /** One schedule that cannot be applied must not keep the others from it. */
  async #ensureUsers(read: Schedule): Promise<void> {
    const { store, logger } = this.#options;
    const { id } = read;
    try {
      for (let schedule = read; await store.schedulers.ensure(schedule); ) {
        // Somebody may have changed or removed it since it was read.
        const text = await store.redis.hget(store.keys.schedules, id);
        const now = text === null ? null : parseSchedule(id, text);
        if (now?.definition.queue !== schedule.definition.queue) await store.schedulers.remove(schedule.definition.queue, id);
        if (now === null || formatSchedule(now) === formatSchedule(schedule)) return;
        schedule = now;
      }
    } catch (error) {
      logger.warn({ id, error: messageOf(error) }, 'Could not apply a schedule; trying again within a minute');
    }
  }

  /** What is due at each start. Workers that start together do it once: the id is that of a few seconds. */
  async #startFirst(): Promise<void> {
    if (this.#started) return;
    const { store, table } = this.#options;
    for (const schedule of table.filter(({ atStart }) => atStart)) await store.schedulers.addNow(schedule, atStartId(schedule.id, store.clock.now()));
    this.#started = true;
  }
}
