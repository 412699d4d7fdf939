import { definitionOf, describeValue } from '../shared/arguments.js';
import { FleetError } from '../shared/errors.js';
import { isName } from '../shared/keys.js';
import { type Schedule, formatSchedule, parseSchedule } from '../shared/schedule/schedule.js';
import type { ScheduleView } from '../shared/schedule/view.js';
import type { Store } from '../shared/store.js';
import { BUILTIN_DEFINITIONS, MAINTENANCE_QUEUE } from '../shared/task/builtin/index.js';
import type { TaskDefinition } from '../shared/task/definition.js';
import type { Caller } from './caller.js';
import { type ScheduleOptions, checkSchedule, checkScheduleId } from './check-schedule.js';
import type { EnqueuedTask, Enqueuer } from './enqueue.js';
import { prepareScheduled } from './prepare.js';

interface Found {
  readonly schedule: Schedule;
  readonly builtIn: boolean;
}

export interface SchedulesOptions {
  readonly store: Store;
  readonly call: Caller;
  readonly enqueuer: Enqueuer;
  readonly maxInputBytes: number;
}

/** Tasks that the fleet enqueues by itself, again and again. Workers keep a schedule going; without one it waits. */
export class Schedules {
  readonly #store: Store;
  readonly #call: Caller;
  readonly #enqueuer: Enqueuer;
  readonly #maxInputBytes: number;

  constructor({ store, call, enqueuer, maxInputBytes }: SchedulesOptions) {
    this.#store = store;
    this.#call = call;
    this.#enqueuer = enqueuer;
    this.#maxInputBytes = maxInputBytes;
  }

  /** All schedules by id, the fleet's own among them (once a worker has made them). */
  list(): Promise<ScheduleView[]> {
    return this.#call(async () => {
      const found = [...(await this.#users()), ...(await this.#fleets())].toSorted((a, b) => (a.schedule.id < b.schedule.id ? -1 : 1));
      return this.#views(found);
    });
  }

  /**
   * Makes a schedule, or changes the one with this id. What is unchanged keeps its time; of a run that is going nothing changes.
   * @throws FleetError `INVALID_ID`, `INVALID_INPUT`, `INPUT_TOO_LARGE`, `INVALID_ITEM`, `INVALID_OPTION` (naming the field)
   */
  upsert<Input, Output>(id: string, definition: TaskDefinition<Input, Output, unknown>, input: Input, options: ScheduleOptions): Promise<ScheduleView> {
    return this.#call(async () => {
      const schedule = checkSchedule(id, definitionOf(definition), input, options, this.#maxInputBytes);
      const { redis, keys, schedulers } = this.#store;
      const before = await this.#user(id);
      // The record first: should we not get further, the workers do.
      await redis.hset(keys.schedules, id, formatSchedule(schedule));
      if (before && before.definition.queue !== schedule.definition.queue) await schedulers.remove(before.definition.queue, id);
      await schedulers.ensure(schedule);
      const [view] = await this.#views([{ schedule, builtIn: false }]);
      return view as ScheduleView;
    });
  }

  /** Removes a schedule and its next task; one that a worker has come to goes on, be it that it waits for its turn. Returns whether there was one. @throws FleetError `INVALID_ID` */
  remove(id: string): Promise<boolean> {
    return this.#call(async () => {
      const { redis, keys, schedulers, turns } = this.#store;
      const schedule = await this.#user(checkScheduleId(id));
      if ((await redis.hdel(keys.schedules, id)) === 0) return false;
      if (schedule === null) return true;
      await schedulers.remove(schedule.definition.queue, id);
      await turns.forget(id, schedule.definition.queue);
      return true;
    });
  }

  /**
   * Adds a task of a schedule now, beside those at its times. It is a run like any other: the overlap policy holds.
   * @throws FleetError `SCHEDULE_NOT_FOUND`
   */
  runNow(id: string): Promise<EnqueuedTask> {
    return this.#call(async () => this.#enqueuer.enqueue(prepareScheduled(await this.#find(id), this.#store.clock.now())));
  }

  async #find(id: string): Promise<Schedule> {
    const found = isName(id) ? ((await this.#user(id)) ?? (await this.#fleets()).find(({ schedule }) => schedule.id === id)?.schedule) : null;
    if (found) return found;
    throw new FleetError('SCHEDULE_NOT_FOUND', `No schedule ${describeValue(id)}.`, { details: { id: typeof id === 'string' ? id.slice(0, 64) : null } });
  }

  async #user(id: string): Promise<Schedule | null> {
    const text = await this.#store.redis.hget(this.#store.keys.schedules, id);
    return text === null ? null : parseSchedule(id, text);
  }

  async #users(): Promise<Found[]> {
    const stored = await this.#store.redis.hgetall(this.#store.keys.schedules);
    return Object.entries(stored).flatMap(([id, text]) => {
      const schedule = parseSchedule(id, text);
      return schedule ? { schedule, builtIn: false } : [];
    });
  }

  /** What the workers have made of their table. */
  async #fleets(): Promise<Found[]> {
    const schedulers = await this.#store.queues.get(MAINTENANCE_QUEUE).getJobSchedulers(0, -1);
    return schedulers.flatMap(({ key, every }) => {
      const definition = BUILTIN_DEFINITIONS.find(({ name }) => name === key);
      if (!definition || every === undefined) return [];
      const schedule: Schedule = { id: key, definition, data: '{}', item: '', everyMs: Number(every), cron: null, timeZone: null, jitterMs: 0, overlap: 'skip' };
      return { schedule, builtIn: true };
    });
  }

  async #views(found: readonly Found[]): Promise<ScheduleView[]> {
    const { schedulers, turns } = this.#store;
    const [times, runs] = await Promise.all([
      schedulers.nextTimes(found.map(({ schedule }) => schedule)),
      turns.last(found.map(({ schedule: { id, definition } }) => ({ id, queue: definition.queue }))),
    ]);
    return found.map(({ schedule: { id, definition, item, everyMs, cron, timeZone, jitterMs, overlap }, builtIn }, index) => {
      const next = times[index] ?? null;
      const last = runs[index] ?? null;
      return {
        ...{ id, name: definition.name, queue: definition.queue, item: item || null, everyMs, cron, timeZone, jitterMs, overlap, builtIn },
        ...{ nextAt: next === null ? null : new Date(next), lastTask: last?.task ?? null, running: last?.going ?? false },
      };
    });
  }
}
