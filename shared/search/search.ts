import type { FleetClock } from '../clock/fleet-clock.js';
import { groupBy } from '../groups.js';
import type { Limiter } from '../limiter/limiter.js';
import type { CheckedFilter } from '../task/filter/filter.js';
import { isOnQueue } from '../task/shards.js';
import { type TaskState, isTerminal } from '../task/state.js';
import { type TaskReader, foreignTask } from '../task/task-reader.js';
import type { TaskView } from '../task/view.js';
import { isPlain, selects, timesOf } from './conditions.js';
import { type Cursor, formatCursor, parseCursor } from './cursor.js';
import { EndedSources } from './ended-sources.js';
import { ForeignPages } from './foreign-pages.js';
import { LiveSources } from './live/live-sources.js';
import { matchesFilter, matchesForeign } from './matching.js';
import { type Candidate, type Position, comparing } from './order.js';
import { Sift } from './sift.js';
import { MAX_SEARCHED, MergedSources, type SearchStore, type Source } from './source.js';

export interface SearchPage {
  /** Live tasks by enqueue time, ended tasks by their end. */
  readonly tasks: TaskView[];
  /** Cursor for `after` to get the next page; null on the last page. A page may be short or empty and still have a next one. */
  readonly next: string | null;
  /** Number of tasks examined. */
  readonly searched: number;
  /** The time that the search reached, if it examined the most that a page may before the page was full; else null. */
  readonly reached: Date | null;
}

/** A task that a search found. */
export interface FoundTask {
  readonly id: string;
  /** Null for a task of another program. */
  readonly queue: string | null;
  /** Its enqueue, or the end of an ended task, in ms; 0 for a task of another program. */
  readonly at: number;
}

export interface FoundPage extends Pick<SearchPage, 'next' | 'searched' | 'reached'> {
  readonly found: FoundTask[];
}

export interface PageRange {
  /** The `next` of the previous page; null for the first. */
  readonly after: string | null;
  readonly limit: number;
}

export interface TaskCount {
  readonly count: number;
  /** False if the search ended early: there may be more tasks. */
  readonly complete: boolean;
}

interface SearchOptions extends SearchStore {
  readonly reader: TaskReader;
  readonly limiter: Pick<Limiter, 'standings'>;
  readonly clock: Pick<FleetClock, 'now'>;
}

/** A task that passed, with what a page has of it. */
interface Hit<Value> extends Position {
  readonly value: Value;
}

interface HitPage<Value> extends Pick<SearchPage, 'next' | 'searched' | 'reached'> {
  readonly values: Value[];
}

/** Turns candidates into hits, in their order. Leaves out those that do not pass. */
type Accept<Value> = (candidates: readonly Candidate[]) => Promise<Hit<Value>[]>;

/** Fewest and most candidates that are checked together. */
const FEWEST_CHECKED = 50;
const MOST_CHECKED = 2_000;
/** Tasks of a page that is only counted, and most tasks examined for a count. */
const COUNTED_AT_ONCE = 1_000;
const MOST_COUNTED = 400_000;

/**
 * Finds tasks by a filter. Candidates come from sources in the order of the list, scripts sift them on their queues, and only the tasks of
 * the page are read.
 */
export class TaskSearch {
  readonly #foreign: ForeignPages;

  constructor(private readonly options: SearchOptions) {
    this.#foreign = new ForeignPages(options.registry);
  }

  /** Returns a page of tasks. @throws FleetError `INVALID_OPTION` for a bad cursor */
  async page(filter: CheckedFilter, range: PageRange): Promise<SearchPage> {
    const sift = isPlain(filter) ? null : this.#siftOf(filter);
    const accept = async (candidates: readonly Candidate[]): Promise<Hit<TaskView>[]> =>
      this.#viewsOf(filter, sift ? await sift.passing(candidates) : candidates);
    const { values, ...page } = await this.#find(filter, range, accept, (task) => task);
    return { tasks: values, ...page };
  }

  /** Returns a page of the ids of tasks, for acts on all of them. @throws FleetError `INVALID_OPTION` for a bad cursor */
  async ids(filter: CheckedFilter, range: PageRange): Promise<FoundPage> {
    const sift = this.#siftOf(filter);
    const accept = async (candidates: readonly Candidate[]): Promise<Hit<FoundTask>[]> => {
      const passing = await sift.passing(candidates);
      const located = new Map(
        (
          await this.#viewsOf(
            filter,
            passing.filter(({ queue }) => queue === ''),
          )
        ).map(({ id, value }) => [id, value]),
      );
      return passing.flatMap(({ id, at, queue }) => {
        const on = queue === '' ? (located.get(id)?.queue ?? '') : queue;
        return on === '' ? [] : [{ id, at, value: { id, queue: on, at } }];
      });
    };
    const { values, ...page } = await this.#find(filter, range, accept, ({ id }) => ({ id, queue: null, at: 0 }));
    return { found: values, ...page };
  }

  /** Counts tasks, up to `atMost`. */
  async count(filter: CheckedFilter, atMost: number): Promise<TaskCount> {
    for (let count = 0, searched = 0, after: string | null = null; ;) {
      const page: FoundPage = await this.ids(filter, { after, limit: Math.min(COUNTED_AT_ONCE, atMost - count) });
      count += page.found.length;
      searched += page.searched;
      if (page.next === null) return { count, complete: true };
      if (count >= atMost || searched >= MOST_COUNTED) return { count, complete: false };
      after = page.next;
    }
  }

  /** Counts tasks by state: live ones in one search up to `atMost`, ended ones up to `atMost` of each state. */
  async countByState(filter: CheckedFilter, atMost: number): Promise<Map<TaskState, TaskCount>> {
    const states = [...filter.states];
    const live = new Set(states.filter((state) => !isTerminal(state)));
    const [tally, ...ended] = await Promise.all([
      this.#tally({ ...filter, states: live }, atMost),
      ...states
        .filter(isTerminal)
        .map(async (state) => [state, await this.count({ ...filter, states: new Set([state]) }, atMost)] as const),
    ]);
    return new Map([...tally, ...ended]);
  }

  /** Counts live tasks by state. */
  async #tally(filter: CheckedFilter, atMost: number): Promise<Map<TaskState, TaskCount>> {
    const counts = new Map([...filter.states].map((state) => [state, 0]));
    const sift = this.#siftOf(filter);
    const accept = async (candidates: readonly Candidate[]): Promise<Hit<TaskState>[]> => {
      const unplaced = await this.#viewsOf(
        filter,
        candidates.filter(({ queue }) => queue === ''),
      );
      const states = await sift.states(candidates);
      const views = new Map(unplaced.map(({ id, value }) => [id, value.state]));
      return candidates.flatMap((one) => {
        const state = states.get(one) ?? views.get(one.id);
        return state === undefined ? [] : [{ id: one.id, at: one.at, value: state }];
      });
    };
    let complete = filter.states.size === 0;
    for (let counted = 0, searched = 0, after: string | null = null; !complete && counted < atMost && searched < MOST_COUNTED;) {
      const range = { after, limit: Math.min(COUNTED_AT_ONCE, atMost - counted) };
      const page: HitPage<TaskState> = await this.#find(filter, range, accept, ({ state }) => state);
      for (const state of page.values) counts.set(state, (counts.get(state) ?? 0) + 1);
      counted += page.values.length;
      searched += page.searched;
      after = page.next;
      complete = after === null;
    }
    return new Map([...counts].map(([state, count]) => [state, { count, complete }]));
  }

  /** Reads sources until the page is full, the sources are over, or the budget is. */
  async #find<Value>(
    filter: CheckedFilter,
    { after: text, limit }: PageRange,
    accept: Accept<Value>,
    ofForeign: (task: TaskView) => Value,
  ): Promise<HitPage<Value>> {
    const cursor = text === null ? null : parseCursor(text);
    if (cursor?.kind === 'foreign') return this.#withForeign({ hits: [], searched: 0 }, cursor.id, filter, limit, ofForeign);
    const merged = new MergedSources(await this.#sources(filter), cursor, comparing(filter.order));
    const hits: Hit<Value>[] = [];
    let [searched, cost, wanted] = [0, 0, isPlain(filter) ? limit : Math.max(FEWEST_CHECKED, limit)];
    while (!merged.isOver) {
      const candidates = merged.take(wanted);
      for (const hit of candidates.length > 0 ? await accept(candidates) : []) {
        hits.push(hit);
        if (hits.length === limit) return { values: valuesOf(hits), next: formatCursor({ kind: 'own', ...hit }), searched, reached: null };
      }
      wanted = Math.min(MOST_CHECKED, wanted * 2);
      if (candidates.length > 0) continue;
      const reached = cost >= MAX_SEARCHED ? this.#stopAt(merged.reached, cursor, filter) : null;
      if (reached !== null) {
        const compare = comparing(filter.order);
        const values = valuesOf(hits.filter((hit) => compare(hit, reached) <= 0));
        return { values, next: formatCursor({ kind: 'own', ...reached }), searched, reached: new Date(reached.at) };
      }
      const read = await merged.read();
      searched += read.examined;
      cost += read.cost;
    }
    return this.#withForeign({ hits, searched }, null, filter, limit, ofForeign);
  }

  /**
   * Returns where a page ends whose budget is used up; null if it must go on. For a caller who may not see all tasks, it ends between two
   * milliseconds, so that its cursor names no task.
   */
  #stopAt(reached: Position | null, from: Cursor | null, { order, visibleItems }: CheckedFilter): Position | null {
    if (reached === null || visibleItems === null) return reached;
    const between = { at: reached.at + (order === 'newest' ? 1 : -1), id: '' };
    return from === null || comparing(order)(between, from) > 0 ? between : null;
  }

  async #sources(filter: CheckedFilter): Promise<Source[]> {
    const { registry, clock } = this.options;
    const now = clock.now();
    let names: Promise<readonly string[]> | null = null;
    const queueNames = (): Promise<readonly string[]> => (names ??= registry.queueNames());
    const { queue } = filter;
    const queues = queue === null ? null : (await queueNames()).filter((name) => isOnQueue(name, queue));
    if (queues?.length === 0) return [];
    const live = selects(filter, 'live') ? new LiveSources(this.options, filter, queues, queueNames).choose(now) : [];
    const isEnded = selects(filter, 'ended') && timesOf(filter, 'ended', now) !== null;
    const ended = isEnded ? new EndedSources(this.options, filter, queues ?? (await queueNames()), now).choose() : [];
    return (await Promise.all([live, ended])).flat();
  }

  #siftOf(filter: CheckedFilter): Sift {
    return new Sift(this.options, this.options.limiter, filter);
  }

  /** Reads the views of candidates that pass. */
  async #viewsOf(filter: CheckedFilter, candidates: readonly Candidate[]): Promise<Hit<TaskView>[]> {
    const { reader } = this.options;
    const views = new Map<string, TaskView>();
    const reading = [...groupBy(candidates, ({ queue }) => queue)].map(async ([queue, some]) => {
      const ids = some.map(({ id }) => id);
      if (queue !== '') return reader.readOn(queue, ids, views);
      for (const [id, view] of await reader.read(ids)) views.set(id, view);
    });
    await Promise.all(reading);
    return candidates.flatMap(({ id, at, isSifted }) => {
      const view = views.get(id);
      // A task that has just ended is in the list of ended tasks, with the time of its end.
      const isOfKind = view && (view.state === 'unreadable' || isTerminal(view.state) === isSifted);
      return isOfKind && matchesFilter(view, filter) ? [{ id, at, value: view }] : [];
    });
  }

  /** Fills up the last page with tasks of other programs, which come last because they have no time. */
  async #withForeign<Value>(
    { hits, searched }: { readonly hits: readonly Hit<Value>[]; readonly searched: number },
    after: string | null,
    filter: CheckedFilter,
    limit: number,
    ofForeign: (task: TaskView) => Value,
  ): Promise<HitPage<Value>> {
    const values = valuesOf(hits);
    if (!filter.states.has('running')) return { values, next: null, searched, reached: null };
    const { registry } = this.options;
    const { item } = filter;
    const ofItem = async (): ReturnType<typeof registry.foreign> =>
      [...(await registry.findItem(item?.text ?? '')).values()].flatMap((entry) => (entry?.queue === null ? [entry] : []));
    const pages = item === null || item.prefix ? this.#foreign : new ForeignPages({ foreign: ofItem });
    const passes = (task: { readonly id: string; readonly item: string | null }): boolean =>
      matchesForeign(foreignTask(task.id, task.item), filter);
    const rest = await pages.page(after, limit - values.length, passes);
    const last = rest.more ? rest.tasks.at(-1) : undefined;
    return {
      values: [...values, ...rest.tasks.map((task) => ofForeign(foreignTask(task.id, task.item)))],
      next: last ? formatCursor({ kind: 'foreign', at: 0, id: last.id }) : null,
      searched: searched + rest.tasks.length,
      reached: null,
    };
  }
}

function valuesOf<Value>(hits: readonly Hit<Value>[]): Value[] {
  return hits.map(({ value }) => value);
}
