import { FleetError } from '../../shared/errors.js';
import { timesOf } from '../../shared/search/conditions.js';
import { matchesFilter } from '../../shared/search/matching.js';
import { comparing } from '../../shared/search/order.js';
import type { FoundPage, PageRange, SearchPage, TaskCount, TaskSearch } from '../../shared/search/search.js';
import { type CheckedFilter, lowerCase } from '../../shared/task/filter/filter.js';
import { type TaskState, isTerminal } from '../../shared/task/state.js';
import type { TaskView } from '../../shared/task/view.js';
import type { TaskBook } from './task-book.js';

interface Hit {
  readonly view: TaskView;
  readonly id: string;
  readonly at: number;
}

/** Finds tasks in the book of a fake producer. */
export class FakeSearch implements Pick<TaskSearch, 'page' | 'ids' | 'count' | 'countByState'> {
  constructor(private readonly book: TaskBook) {}

  async page(filter: CheckedFilter, range: PageRange): Promise<SearchPage> {
    const { hits, ...page } = this.#find(filter, range);
    return { tasks: hits.map(({ view }) => ({ ...view, attempts: null, result: null })), ...page };
  }

  async ids(filter: CheckedFilter, range: PageRange): Promise<FoundPage> {
    const { hits, ...page } = this.#find(filter, range);
    return { found: hits.map(({ view, id, at }) => ({ id, at, queue: view.queue })), ...page };
  }

  async count(filter: CheckedFilter, atMost: number): Promise<TaskCount> {
    const { length } = this.#all(filter);
    return { count: Math.min(length, atMost), complete: length <= atMost };
  }

  async countByState(filter: CheckedFilter, atMost: number): Promise<Map<TaskState, TaskCount>> {
    const counts = new Map([...filter.states].map((state) => [state, 0]));
    for (const { view } of this.#all(filter)) counts.set(view.state, (counts.get(view.state) ?? 0) + 1);
    return new Map([...counts].map(([state, count]) => [state, { count: Math.min(count, atMost), complete: count <= atMost }]));
  }

  #find(filter: CheckedFilter, { after, limit }: PageRange): Pick<SearchPage, 'next' | 'searched' | 'reached'> & { readonly hits: Hit[] } {
    const all = this.#all(filter);
    const start = after === null ? 0 : all.findIndex(({ id }) => id === after) + 1;
    if (after !== null && start === 0)
      throw new FleetError('INVALID_OPTION', 'Bad after: expected the `next` of a page.', { details: { field: 'after' } });
    const hits = all.slice(start, start + limit);
    const next = start + hits.length < all.length ? (hits.at(-1)?.id ?? null) : null;
    return { hits, next, searched: hits.length, reached: null };
  }

  #all(filter: CheckedFilter): Hit[] {
    const now = this.book.now();
    const hits = [...this.book.tasks.values()].flatMap((task): Hit[] => {
      const view = this.book.view(task);
      const kind = isTerminal(view.state) ? 'ended' : 'live';
      const at = kind === 'ended' ? (task.finishedAt ?? now) : task.enqueuedAt;
      const range = timesOf(filter, kind, now);
      const isInRange = range !== null && isWithin(at, range.after, range.before);
      if (!isWithin(task.enqueuedAt, filter.enqueuedAfter, filter.enqueuedBefore)) return [];
      const isError = filter.error === null || lowerCase(view.error ?? '').includes(filter.error);
      return isInRange && isError && matchesFilter(view, filter) ? [{ view, id: task.id, at }] : [];
    });
    return hits.toSorted(comparing(filter.order));
  }
}

function isWithin(time: number, after: number | null, before: number | null): boolean {
  return (after === null || time > after) && (before === null || time < before);
}
