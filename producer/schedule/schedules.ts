import { definitionOf, describeValue } from '../../shared/arguments.js';
import { FleetError } from '../../shared/errors.js';
import { isName } from '../../shared/keys.js';
import { readPausedQueues } from '../../shared/queue/paused-queues.js';
import { isTime } from '../../shared/records/hash-reader.js';
import { type Schedule, formatSchedule, parseSchedule } from '../../shared/schedule/schedule.js';
import { type ScheduleView, unreadableSchedule } from '../../shared/schedule/view.js';
import type { Store } from '../../shared/store.js';
import type { TaskDefinition } from '../../shared/task/definition.js';
import type { Carrier } from '../../shared/tracing/carrier.js';
import type { Telemetry } from '../../shared/tracing/telemetry.js';
import { BUILTIN_DEFINITIONS, MAINTENANCE_QUEUE } from '../../worker/builtin/definitions.js';
import type { Caller } from '../calls.js';
import { traced } from '../enqueue/enqueue-calls.js';
import type { EnqueuedTask } from '../enqueue/enqueued-task.js';
import type { Enqueuer } from '../enqueue/enqueuer.js';
import { prepareScheduled } from '../enqueue/prepare.js';
import { type ScheduleOptions, checkSchedule, checkScheduleId } from './check-schedule.js';

interface Found {
  readonly schedule: Schedule;
  readonly builtIn: boolean;
}

interface SchedulesOptions {
  readonly store: Store;
  readonly call: Caller;
  readonly enqueuer: Enqueuer;
  readonly maxInputBytes: number;
  /** Null for none. */
  readonly telemetry: Telemetry | null;
}

const PROBLEM = 'expected a schedule as JSON, under an id of at most 64 letters, digits and . _ -';

/** Schedules of recurring tasks. Workers keep them going; without a worker, no task is enqueued. */
export class Schedules {
  readonly #store: Store;
  readonly #call: Caller;
  readonly #enqueuer: Enqueuer;
  readonly #maxInputBytes: number;
  readonly #telemetry: Telemetry | null;

  constructor({ store, call, enqueuer, maxInputBytes, telemetry }: SchedulesOptions) {
    this.#store = store;
    this.#call = call;
    this.#enqueuer = enqueuer;
    this.#maxInputBytes = maxInputBytes;
    this.#telemetry = telemetry;
  }

  /** Returns all schedules sorted by id, including unreadable ones and (once a worker has created them) the built-in ones. */
  list(): Promise<ScheduleView[]> {
    return this.#call(async () => {
      const [{ users, bad }, fleets] = await Promise.all([this.#users(), this.#fleets()]);
      return [...(await this.#views([...users, ...fleets])), ...bad].toSorted((a, b) => (a.id < b.id ? -1 : 1));
    });
  }

  /**
   * Creates or updates a schedule. An unchanged schedule keeps its next time; a running task is not affected.
   * @throws FleetError `INVALID_ID`, `INVALID_INPUT`, `INPUT_TOO_LARGE`, `INVALID_ITEM`, `INVALID_OPTION` (naming the field)
   */
  upsert<Input, Output>(
    id: string,
    definition: TaskDefinition<Input, Output, unknown>,
    input: Input,
    options: ScheduleOptions,
  ): Promise<ScheduleView> {
    return this.#call(async () => {
      const schedule = checkSchedule(id, definitionOf(definition), input, options, this.#maxInputBytes);
      const { redis, keys, schedulers } = this.#store;
      const before = await this.#user(id);
      // The record comes first, so that workers finish an interrupted upsert.
      await redis.hset(keys.schedules, id, formatSchedule(schedule));
      if (before && before.definition.queue !== schedule.definition.queue) await schedulers.remove(before.definition.queue, id);
      await schedulers.ensure(schedule);
      const [view] = await this.#views([{ schedule, builtIn: false }]);
      return view as ScheduleView;
    });
  }

  /**
   * Removes a schedule and its next task. A task that a worker has picked up continues, even while it waits for its turn.
   * Returns whether the schedule existed.
   * @throws FleetError `INVALID_ID`
   */
  remove(id: string): Promise<boolean> {
    return this.#call(async () => {
      const { redis, keys, schedulers, overlapGuard } = this.#store;
      const schedule = await this.#user(checkScheduleId(id));
      if ((await redis.hdel(keys.schedules, id)) === 0) return false;
      if (schedule === null) return true;
      await schedulers.remove(schedule.definition.queue, id);
      await overlapGuard.forget(id, schedule.definition.queue);
      return true;
    });
  }

  /**
   * Enqueues a task of a schedule now, in addition to its regular times. It is never skipped: while another task of the schedule runs,
   * it waits, also for those asked for earlier.
   * @throws FleetError `SCHEDULE_NOT_FOUND`
   */
  runNow(id: string): Promise<EnqueuedTask> {
    return this.#call(async () => {
      const schedule = await this.#find(id);
      const add = (carrier?: Carrier): Promise<EnqueuedTask> =>
        this.#enqueuer.enqueue(traced(prepareScheduled(schedule, this.#store.clock.now()), carrier));
      const { queue, name } = schedule.definition;
      const added = await (this.#telemetry ? this.#telemetry.send({ queue, name, count: null }, add) : add());
      // The task is added; without a place in line yet, it takes one at its first fetch.
      await this.#store.scheduleLine.join(schedule.id, added.id).catch(() => undefined);
      return added;
    });
  }

  async #find(id: string): Promise<Schedule> {
    const found = isName(id)
      ? ((await this.#user(id)) ?? (await this.#fleets()).find(({ schedule }) => schedule.id === id)?.schedule)
      : null;
    if (found) return found;
    throw new FleetError('SCHEDULE_NOT_FOUND', `No schedule ${describeValue(id)}.`, {
      details: { id: typeof id === 'string' ? id.slice(0, 64) : null },
    });
  }

  async #user(id: string): Promise<Schedule | null> {
    const { redis, keys, unreadable } = this.#store;
    const text = await unreadable.read(keys.schedules, 'hash', redis.hget(keys.schedules, id), null);
    return text === null ? null : this.#parse(id, text);
  }

  /** Returns the users' schedules, including unreadable ones. */
  async #users(): Promise<{ readonly users: Found[]; readonly bad: ScheduleView[] }> {
    const { redis, keys, unreadable } = this.#store;
    const stored = await unreadable.read(keys.schedules, 'hash', redis.hgetall(keys.schedules), {});
    const all = Object.entries(stored).map(([id, text]) => ({ id, schedule: this.#parse(id, text) }));
    return {
      users: all.flatMap(({ schedule }) => (schedule ? { schedule, builtIn: false } : [])),
      bad: all.flatMap(({ id, schedule }) => (schedule ? [] : unreadableSchedule(id, PROBLEM))),
    };
  }

  #parse(id: string, text: string): Schedule | null {
    const schedule = parseSchedule(id, text);
    const { unreadable, keys } = this.#store;
    if (schedule === null) unreadable.report({ key: keys.schedules, id, problem: PROBLEM });
    return schedule;
  }

  /** Returns the built-in schedules that workers have created. */
  async #fleets(): Promise<Found[]> {
    const { redis, keys, unreadable } = this.#store;
    const own = BUILTIN_DEFINITIONS.filter(({ queue }) => queue === MAINTENANCE_QUEUE);
    const made = own.map(async (definition): Promise<Found[]> => {
      const key = `${keys.jobs(MAINTENANCE_QUEUE)}repeat:${definition.name}`;
      const every = Number(await unreadable.read(key, 'hash', redis.hget(key, 'every'), null));
      if (!(every > 0)) return [];
      const schedule: Schedule = {
        id: definition.name,
        definition,
        data: '{}',
        item: '',
        tags: [],
        everyMs: every,
        cron: null,
        timeZone: null,
        jitterMs: 0,
        overlap: 'skip',
        limits: null,
      };
      return [{ schedule, builtIn: true }];
    });
    return (await Promise.all(made)).flat();
  }

  /** Returns a schedule's next time and its last task; neither is known if a key has the wrong type. */
  async #times(
    schedule: Schedule,
  ): Promise<{ readonly next: number | null; readonly last: { readonly task: string; readonly going: boolean } | null }> {
    const { schedulers, overlapGuard, keys, unreadable } = this.#store;
    const {
      id,
      definition: { queue },
    } = schedule;
    const repeat = `${keys.jobs(queue)}repeat`;
    const [[next = null], [last = null]] = await Promise.all([
      unreadable.read(repeat, 'sorted set', schedulers.nextTimes([schedule]), []),
      unreadable.read(keys.scheduleRuns, 'hash', overlapGuard.last([{ id, queue }]), []),
    ]);
    if (next === null || isTime(next)) return { next, last };
    unreadable.report({ key: repeat, id, problem: `expected a time as score, got ${next}` });
    return { next: null, last };
  }

  async #views(found: readonly Found[]): Promise<ScheduleView[]> {
    const queues = [...new Set(found.map(({ schedule }) => schedule.definition.queue))];
    const [times, pauses] = await Promise.all([
      Promise.all(found.map(({ schedule }) => this.#times(schedule))),
      readPausedQueues(this.#store, queues),
    ]);
    return found.map(({ schedule: { id, definition, item, everyMs, cron, timeZone, jitterMs, overlap }, builtIn }, index) => {
      const { next = null, last = null } = times[index] ?? {};
      return {
        ...{ id, name: definition.name, queue: definition.queue, item: item || null, everyMs, cron, timeZone, jitterMs, overlap, builtIn },
        ...{ nextAt: next === null ? null : new Date(next), lastTask: last?.task ?? null, running: last?.going ?? false },
        ...{ paused: pauses.get(definition.queue) ?? null, problem: null },
      };
    });
  }
}
