import { describeValue } from '../shared/arguments.js';
import { FleetError } from '../shared/errors.js';
import { type Keys, checkItem, quote } from '../shared/keys.js';
import { MAX_PAGE_SIZE } from '../shared/limits.js';
import type { RecordReporter } from '../shared/records/unreadable.js';
import { type Entry, type Position, type Registry, positionOf } from '../shared/registry/registry.js';
import type { ScriptedRedis } from '../shared/scripts/define-scripts.js';
import type { Store } from '../shared/store.js';
import { isOnQueue } from '../shared/task/shards.js';
import { TASK_STATES, type TaskState, isTerminal } from '../shared/task/state.js';
import { type TaskReader, foreignTask } from '../shared/task/task-reader.js';
import type { TaskView } from '../shared/task/view.js';
import { ForeignPages, type ForeignTask } from './foreign-pages.js';

export interface ListOptions {
  /** Only tasks of this item. */
  readonly item?: string | undefined;
  /** Only tasks in this state. Default: all live tasks. Ended tasks are listed only with this option, while they are retained. */
  readonly state?: TaskState | undefined;
  readonly name?: string | undefined;
  /** Only tasks of this queue and its shards, or of one shard if it names a shard. */
  readonly queue?: string | undefined;
  /**
   * Only tasks whose item (null for none) passes, for callers with limited access. Then `next` never names a hidden task, so a page
   * is read until it is full, however far that is.
   */
  readonly sees?: ((item: string | null) => boolean) | undefined;
  /** The `next` of the previous page. */
  readonly after?: string | undefined;
  /** Maximum number of tasks, 1 to 1,000. Default 100. */
  readonly limit?: number | undefined;
}

export interface TaskPage {
  /** Live tasks by enqueue time, ended tasks by their end, newest first. */
  readonly tasks: TaskView[];
  /** Cursor for `after` to get the next page; null on the last page. */
  readonly next: string | null;
}

/** A paged source of ids in list order. */
type Source = (after: Position | null, limit: number) => Promise<(Position & { queue?: string })[]>;

const DEFAULT_LIMIT = 100;
/** Maximum ids read for one page, so that a rare state in a large fleet yields a short page with a `next`, not a long wait. */
const MAX_SCANNED = 20_000;
/** Ids read per batch when few may pass the filter. */
const SIFTED_AT_ONCE = 2_000;
/** The time of foreign tasks in a cursor: they come after all of the fleet's tasks. */
const FOREIGN_AT = 0;

export class TaskList {
  readonly #redis: ScriptedRedis;
  readonly #reader: TaskReader;
  readonly #registry: Registry;
  readonly #keys: Keys;
  readonly #foreign: ForeignPages;
  readonly #unreadable: RecordReporter;

  constructor({ redis, reader, registry, keys, unreadable }: Store) {
    this.#redis = redis;
    this.#reader = reader;
    this.#registry = registry;
    this.#keys = keys;
    this.#foreign = new ForeignPages(registry);
    this.#unreadable = unreadable;
  }

  /** @throws FleetError `INVALID_OPTION`, `INVALID_ITEM` */
  async page(options: ListOptions): Promise<TaskPage> {
    const limit = checkLimit(options.limit);
    if (options.state !== undefined && !TASK_STATES.includes(options.state)) {
      throw new FleetError('INVALID_OPTION', `Bad state: expected one of ${TASK_STATES.join(', ')}, got ${describeValue(options.state)}.`, {
        details: { field: 'state' },
      });
    }
    if (options.item !== undefined) checkItem(options.item);
    let after = options.after === undefined ? null : parseCursor(options.after);
    const tasks: TaskView[] = [];
    if (after?.at === FOREIGN_AT) return this.#withForeign(tasks, after, options, limit);
    const source = await this.#source(options);
    const most = options.sees ? Infinity : MAX_SCANNED;
    for (let scanned = 0; scanned < most;) {
      const positions = await source(after, limit);
      scanned += positions.length;
      const found = await this.#read(positions);
      for (const position of positions) {
        after = position;
        const task = found.get(position.id);
        if (!task || !matches(task, options)) continue;
        tasks.push(task);
        if (tasks.length === limit) return { tasks, next: formatCursor(position) };
      }
      if (positions.length < limit) return this.#withForeign(tasks, null, options, limit);
    }
    return { tasks, next: after && formatCursor(after) };
  }

  async #source({ item, state, queue, sees }: ListOptions): Promise<Source> {
    if (state !== undefined && isTerminal(state)) return this.#ended(state, queue);
    const live: Source = item === undefined ? (after, limit) => this.#registry.page(after, limit) : await this.#ofItem(item);
    return sees ? this.#sifted(live, sees) : live;
  }

  /** Filters live ids by their item, so that other tasks need not be read. */
  #sifted(source: Source, sees: (item: string | null) => boolean): Source {
    return async (after, limit) => {
      const passing: Position[] = [];
      for (let from = after; passing.length < limit;) {
        const some = await source(from, SIFTED_AT_ONCE);
        const items = await this.#reader.itemsOf(some.map(({ id }) => id));
        passing.push(...some.filter(({ id }) => sees(items.get(id) ?? null)));
        from = some.at(-1) ?? null;
        if (some.length < SIFTED_AT_ONCE) break;
      }
      return passing.slice(0, limit);
    };
  }

  async #ofItem(item: string): Promise<Source> {
    const ids = [...(await this.#registry.findItem(item)).keys()];
    const { live } = this.#keys;
    const scores =
      ids.length > 0
        ? await this.#unreadable.read(
            live,
            'sorted set',
            this.#redis.zmscore(live, ...ids),
            ids.map(() => '1'),
          )
        : [];
    const all = ids
      .map((id, index) => ({ id, at: Number(scores[index] ?? 0) }))
      .filter(({ at }) => at > 0)
      .sort(newestFirst);
    return (after, limit) => Promise.resolve(all.filter((one) => after === null || newestFirst(after, one) < 0).slice(0, limit));
  }

  /** Returns the ended tasks of all queues, merged by their end. */
  async #ended(state: TaskState, only: string | undefined): Promise<Source> {
    const place = state === 'completed' ? 'completed' : 'failed';
    const queues = (await this.#registry.queueNames()).filter((queue) => only === undefined || isOnQueue(queue, only));
    return async (after, limit) => {
      const parts = await Promise.all(
        queues.map(async (queue) => {
          const key = this.#keys.jobs(queue) + place;
          const read = (reading: Promise<string[]>): Promise<string[]> => this.#unreadable.read(key, 'sorted set', reading, []);
          const skip =
            after === null ? 0 : (await read(this.#redis.zrangebyscore(key, after.at, after.at))).filter((id) => id >= after.id).length;
          const flat = await read(
            this.#redis.zrange(
              key,
              after === null ? '+inf' : String(after.at),
              '-inf',
              'BYSCORE',
              'REV',
              'LIMIT',
              skip,
              limit,
              'WITHSCORES',
            ),
          );
          return flat.flatMap((id, index) => (index % 2 === 0 ? [{ id, at: positionOf(flat[index + 1] as string), queue }] : []));
        }),
      );
      return parts.flat().sort(newestFirst).slice(0, limit);
    };
  }

  async #read(positions: readonly (Position & { queue?: string })[]): Promise<Map<string, TaskView>> {
    const tasks = new Map<string, TaskView>();
    for (const queue of new Set(positions.map((position) => position.queue))) {
      const ids = positions.filter((position) => position.queue === queue).map(({ id }) => id);
      if (queue !== undefined) await this.#reader.readOn(queue, ids, tasks);
      else for (const [id, task] of await this.#reader.read(ids)) tasks.set(id, task);
    }
    return tasks;
  }

  /** Fills up the last page with foreign tasks, which come last because they have no time. */
  async #withForeign(tasks: TaskView[], after: Position | null, options: ListOptions, limit: number): Promise<TaskPage> {
    if (options.state !== undefined && options.state !== 'running') return { tasks, next: null };
    const passes = ({ id, item }: ForeignTask): boolean => matches(foreignTask(id, item), options);
    const pages = options.item === undefined ? this.#foreign : new ForeignPages({ foreign: () => this.#foreignOf(options.item as string) });
    const page = await pages.page(after, limit - tasks.length, passes);
    const last = page.more ? page.tasks.at(-1) : undefined;
    return {
      tasks: [...tasks, ...page.tasks.map(({ id, item }) => foreignTask(id, item))],
      next: last ? formatCursor({ at: FOREIGN_AT, id: last.id }) : null,
    };
  }

  async #foreignOf(item: string): Promise<Entry[]> {
    return [...(await this.#registry.findItem(item)).values()].filter((entry): entry is Entry => entry !== null && entry.queue === null);
  }
}

function matches(task: TaskView, { item, state, name, queue, sees }: ListOptions): boolean {
  if (sees && !sees(task.item)) return false;
  if (item !== undefined && task.item !== item) return false;
  if (queue !== undefined && (task.queue === null || !isOnQueue(task.queue, queue))) return false;
  if (name !== undefined && task.name !== name) return false;
  return state === undefined ? !isTerminal(task.state) : task.state === state;
}

function newestFirst(a: Position, b: Position): number {
  return b.at - a.at || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
}

function formatCursor({ at, id }: Position): string {
  return `${at}-${id}`;
}

function parseCursor(cursor: string): Position {
  const match = /^(\d{1,16})-([^]*)$/.exec(String(cursor));
  if (!match)
    throw new FleetError('INVALID_OPTION', `Bad after: expected the \`next\` of a page, got ${quote(String(cursor))}.`, {
      details: { field: 'after' },
    });
  return { at: Number(match[1]), id: match[2] as string };
}

function checkLimit(limit: number | undefined): number {
  if (limit === undefined) return DEFAULT_LIMIT;
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_PAGE_SIZE) return limit;
  throw new FleetError('INVALID_OPTION', `Bad limit: expected a whole number from 1 to ${MAX_PAGE_SIZE}, got ${describeValue(limit)}.`, {
    details: { field: 'limit' },
  });
}
