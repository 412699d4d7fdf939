import type { Logger } from '../shared/logger.js';
import { messageOf } from '../shared/errors.js';
import type { NextRun, NextRunFault } from '../shared/schedule/next-runs.js';
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

const FAULTS: Readonly<Record<NextRunFault, string>> = {
  absent: 'A schedule had no next run',
  gone: 'The next run of a schedule was gone',
  lost: "The next run of a schedule was in none of its queue's lists",
  far: 'The next run of a schedule was further off than one period',
};

/** How often a worker asks whether somebody has looked at the schedules: from three quarters of it to five. */
const LOOK_MS = 20_000;
/** One look is enough for the whole fleet for this time. */
const ENOUGH_MS = 12_000;

/**
 * Keeps the schedules as the table has them, and those of users as they made them. A worker looks at its start and after
 * each reconnect; every quarter of a minute or so, one of the workers does. It is no task: that would end with its own schedule.
 */
export class Schedules extends Service {
  readonly #options: SchedulesOptions;
  #timer: NodeJS.Timeout | null = null;
  #applied = false;
  #applying: Promise<void> | null = null;
  #started = false;
  readonly #onReady = (): void => void this.apply();

  constructor(options: SchedulesOptions) {
    super();
    this.#options = options;
  }

  protected override onStart(): Promise<void> {
    const { redis } = this.#options.store;
    this.#lookLater();
    redis.on('ready', this.#onReady);
    if (redis.status === 'ready') this.#onReady();
    return Promise.resolve();
  }

  protected override async onStop(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer);
    this.#options.store.redis.off('ready', this.#onReady);
    await this.#applying;
  }

  /** Applies the schedules if no worker has done it within the last seconds. Never rejects. */
  async look(): Promise<void> {
    const { store, logger } = this.#options;
    if (store.redis.status !== 'ready' || this.stopping) return;
    try {
      if (!(await store.redis.claimLook(store.keys.scheduleLook, ENOUGH_MS))) return;
    } catch (error) {
      return logger.debug({ error }, 'Could not ask whether somebody has looked at the schedules');
    }
    await this.apply();
  }

  #lookLater(): void {
    this.#timer = setTimeout(() => void this.look().then(() => this.stopping || this.#lookLater()), LOOK_MS * (0.75 + Math.random() / 2));
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
      const absent = await this.#ensureFleets();
      await this.#startFirst(absent);
      const mine = [...users.values()].filter((schedule) => schedule !== null);
      for (const { schedule, run } of await store.schedulers.findWrong(mine)) {
        this.#tell(schedule, run);
        await this.#ensureUsers(schedule);
      }
      await this.#removeStrays([...table, ...mine]);
      this.#applied = true;
    } catch (error) {
      logger.warn({ error: messageOf(error) }, 'Could not apply the schedules; trying again within a minute');
    }
  }

  /** Returns those that had no scheduler at all. */
  async #ensureFleets(): Promise<FleetSchedule[]> {
    const { store, table } = this.#options;
    const wrong = await store.schedulers.findWrong(table);
    for (const { schedule, run } of wrong) this.#tell(schedule, run);
    await Promise.all(wrong.map(({ schedule }) => store.schedulers.ensure(schedule)));
    return wrong.flatMap(({ schedule, run }) => (run.fault === 'absent' ? [schedule] : []));
  }

  /** At the start nothing is there yet, and a schedule that has changed is no fault. */
  #tell({ id }: Schedule, { fault, due }: NextRun): void {
    if (fault === null || !this.#applied) return;
    this.#options.logger.warn({ id, fault, due: due === null ? null : new Date(due).toISOString() }, `${FAULTS[fault]}; it gets a new one`);
  }

  async #removeStrays(schedules: readonly Schedule[]): Promise<void> {
    const { store, logger } = this.#options;
    for (const queue of new Set(schedules.map(({ definition }) => definition.queue))) {
      const removed = await store.schedulers.removeStrays(queue);
      if (removed > 0) logger.warn({ queue, removed }, 'Schedules had more than one next run; the others are removed');
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
      for (let schedule = read; await store.schedulers.ensure(schedule);) {
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

  /** What is due at each start, and again where Redis has lost all: workers that do it together do it once, for the id is that of a few seconds. */
  async #startFirst(absent: readonly FleetSchedule[]): Promise<void> {
    const { store, table } = this.#options;
    const due = this.#started ? absent : table;
    for (const schedule of due.filter(({ atStart }) => atStart))
      await store.schedulers.addNow(schedule, atStartId(schedule.id, store.clock.now()));
    this.#started = true;
  }
}
