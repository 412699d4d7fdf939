import { messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/log/logger.js';
import { Service } from '../shared/process/service.js';
import { type Schedule, atStartId, formatSchedule, parseSchedule } from '../shared/schedule/schedule.js';
import type { NextRun, NextRunFault } from '../shared/schedule/schedulers.js';
import type { Settings } from '../shared/settings/settings.js';
import type { Store } from '../shared/store.js';
import type { AnyDefinition } from '../shared/task/definition.js';
import type { Retention } from '../shared/task/policies.js';
import { readBeats } from '../shared/workers/heartbeats.js';
import {
  MAINTENANCE_QUEUE,
  hasMaintenanceTask,
  modelsRefresh,
  registryReconcile,
  sessionPoolClean,
  usagePoolClean,
} from './builtin/definitions.js';

/** A schedule of one of the fleet's own tasks. */
interface FleetSchedule extends Schedule {
  /** Whether the task also runs when a worker starts. */
  readonly atStart: boolean;
}

/** Returns the schedules of the fleet's own tasks that a worker with these settings has. None of these tasks has an input. */
export function scheduleTable(settings: Settings): readonly FleetSchedule[] {
  const { reconcileMs, usageCleanMs, sessionCleanMs, modelsRefreshMs } = settings;
  return [
    every(reconcileMs, registryReconcile),
    every(usageCleanMs, usagePoolClean),
    every(sessionCleanMs, sessionPoolClean),
    every(modelsRefreshMs, modelsRefresh, { atStart: true }),
  ].filter(({ id }) => hasMaintenanceTask(settings, id));
}

/** The list of finished tasks is for users' tasks; results of the fleet's own are in the log. */
const NOT_KEPT: Retention = { ageMs: 60_000, count: 0 };

function every(everyMs: number, task: AnyDefinition, { atStart = false } = {}): FleetSchedule {
  const definition = { ...task, retention: { ...task.retention, completed: NOT_KEPT } };
  return {
    id: task.name,
    definition,
    data: '{}',
    item: '',
    tags: [],
    everyMs,
    cron: null,
    timeZone: null,
    jitterMs: 0,
    overlap: 'skip',
    limits: null,
    atStart,
  };
}

interface SchedulePlannerOptions {
  readonly store: Store;
  readonly table: readonly FleetSchedule[];
  readonly logger: Logger;
}

const FAULTS: Readonly<Record<NextRunFault, string>> = {
  absent: 'Schedule had no next run',
  gone: 'The next run of a schedule was missing',
  lost: 'The next run of a schedule was in no list of its queue',
  far: 'The next run of a schedule was more than one period away',
};

/** Mean interval between a worker's checks, in ms; each interval is 0.75 to 1.25 times that. */
const CHECK_MS = 20_000;
/** After one worker's check, the others skip theirs for this time. */
const CLAIM_MS = 12_000;

/**
 * Repairs the schedules of the table and of users. A worker checks them at its start and after each reconnect; about every quarter of a
 * minute, one of the workers does. This is not a scheduled task, because its own schedule might be the broken one.
 */
export class SchedulePlanner extends Service {
  #timer: NodeJS.Timeout | null = null;
  #applied = false;
  #applying: Promise<void> | null = null;
  #started = false;
  readonly #onReady = (): void => void this.apply();

  constructor(private readonly options: SchedulePlannerOptions) {
    super();
  }

  protected override onStart(): Promise<void> {
    const { redis } = this.options.store;
    this.#checkLater();
    redis.on('ready', this.#onReady);
    if (redis.status === 'ready') this.#onReady();
    return Promise.resolve();
  }

  protected override async onStop(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer);
    this.options.store.redis.off('ready', this.#onReady);
    await this.#applying;
  }

  /** Applies the schedules unless another worker has in the last seconds. Never rejects. */
  async look(): Promise<void> {
    const { store, logger } = this.options;
    if (store.redis.status !== 'ready' || this.stopping) return;
    try {
      if (!(await store.redis.claimLook(store.keys.scheduleLook, CLAIM_MS))) return;
    } catch (error) {
      return logger.debug({ error }, 'Could not claim the check of the schedules; trying again within a minute');
    }
    await this.apply();
  }

  #checkLater(): void {
    this.#timer = setTimeout(() => void this.look().then(() => this.stopping || this.#checkLater()), CHECK_MS * (0.75 + Math.random() / 2));
  }

  /** Never rejects. */
  apply(): Promise<void> {
    this.#applying ??= this.#apply().finally(() => {
      this.#applying = null;
    });
    return this.#applying;
  }

  async #apply(): Promise<void> {
    const { store, table, logger } = this.options;
    if (store.redis.status !== 'ready' || this.stopping) return;
    try {
      // List the schedulers before the records: a new schedule's record precedes its scheduler, so it is never taken for an orphan.
      const made = await this.#schedulerIds();
      const users = await this.#userSchedules();
      await this.#removeOrphans(made, users);
      const absent = await this.#ensureTable();
      await this.#runAtStart(absent);
      const mine = [...users.values()].filter((schedule) => schedule !== null);
      for (const { schedule, run } of await store.schedulers.findWrong(mine)) {
        this.#logFault(schedule, run);
        await this.#ensureUserSchedule(schedule);
      }
      await this.#removeStrays([...table, ...mine]);
      this.#applied = true;
    } catch (error) {
      logger.warn({ error: messageOf(error) }, 'Could not apply the schedules; trying again within a minute');
    }
  }

  /** Repairs the table's schedules. Returns those that had no scheduler. */
  async #ensureTable(): Promise<FleetSchedule[]> {
    const { store, table } = this.options;
    const wrong = await store.schedulers.findWrong(table);
    for (const { schedule, run } of wrong) this.#logFault(schedule, run);
    await Promise.all(wrong.map(({ schedule }) => store.schedulers.ensure(schedule)));
    return wrong.flatMap(({ schedule, run }) => (run.fault === 'absent' ? [schedule] : []));
  }

  /** Logs a fault, except at the first run: then schedulers may be missing or changed legitimately. */
  #logFault({ id }: Schedule, { fault, due }: NextRun): void {
    if (fault === null || !this.#applied) return;
    this.options.logger.warn({ id, fault, due: due === null ? null : new Date(due).toISOString() }, `${FAULTS[fault]}; creating a new one`);
  }

  async #removeStrays(schedules: readonly Schedule[]): Promise<void> {
    const { store, logger } = this.options;
    for (const queue of new Set(schedules.map(({ definition }) => definition.queue))) {
      const removed = await store.schedulers.removeStrays(queue);
      if (removed > 0) logger.warn({ queue, removed }, 'Schedules had more than one next run; removed the surplus');
    }
  }

  /** Returns the schedulers on all known queues. */
  async #schedulerIds(): Promise<{ queue: string; id: string }[]> {
    const { redis, keys, schedulers } = this.options.store;
    const queues = new Set([...(await redis.smembers(keys.queues)), MAINTENANCE_QUEUE]);
    const made = await Promise.all([...queues].map(async (queue) => (await schedulers.ids(queue)).map((id) => ({ queue, id }))));
    return made.flat();
  }

  /** Returns users' schedules by id; null for an invalid record. */
  async #userSchedules(): Promise<Map<string, Schedule | null>> {
    const { store, logger } = this.options;
    const stored = Object.entries(await store.redis.hgetall(store.keys.schedules));
    return new Map(
      stored.map(([id, text]) => {
        const schedule = parseSchedule(id, text);
        if (schedule === null) logger.warn({ id }, 'Could not parse a stored schedule; leaving it unchanged');
        return [id, schedule];
      }),
    );
  }

  /**
   * Removes schedulers without a schedule: dropped from the table, or left by a producer that died while removing them. Foreign schedulers
   * on users' queues stay.
   */
  async #removeOrphans(made: readonly { queue: string; id: string }[], users: ReadonlyMap<string, Schedule | null>): Promise<void> {
    const { store, table } = this.options;
    const fleets = new Set(table.map(({ id }) => id));
    for (const { queue, id } of made) {
      const user = users.get(id);
      if (user === null || user?.definition.queue === queue) continue;
      if (queue === MAINTENANCE_QUEUE) {
        // At the start only: workers with different versions of the table would undo each other's work every minute.
        if (!fleets.has(id) && !this.#started && !(await this.#isOfOthers(id))) await store.schedulers.remove(queue, id);
      } else if (await store.schedulers.isOurs(queue, id)) await store.schedulers.remove(queue, id);
    }
  }

  /** Returns whether another live worker has this task of the fleet: BUILTIN_TASKS may differ between workers. */
  async #isOfOthers(task: string): Promise<boolean> {
    return (await readBeats(this.options.store)).alive.some(({ definitions }) => Object.hasOwn(definitions ?? {}, task));
  }

  /** Repairs one schedule. Never rejects, so that a bad schedule does not block the others. */
  async #ensureUserSchedule(read: Schedule): Promise<void> {
    const { store, logger } = this.options;
    const { id } = read;
    try {
      for (let schedule = read; await store.schedulers.ensure(schedule);) {
        // The schedule may have been changed or removed since it was read.
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

  /**
   * Runs the tasks due at each start, and again after Redis has lost its data. Workers that start together run each task once: the id is
   * the same for a few seconds.
   */
  async #runAtStart(absent: readonly FleetSchedule[]): Promise<void> {
    const { store, table } = this.options;
    const due = this.#started ? absent : table;
    for (const schedule of due.filter(({ atStart }) => atStart))
      await store.schedulers.addNow(schedule, atStartId(schedule.id, store.clock.now()));
    this.#started = true;
  }
}
