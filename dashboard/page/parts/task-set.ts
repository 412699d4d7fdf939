import type { ListChange, Task, TaskState } from './api-types.js';

interface TaskFilter {
  readonly item: string | null;
  /** Null for all live tasks. */
  readonly state: TaskState | null;
  readonly name: string | null;
}

/** How long a task that left the list stays visible with its outcome, in ms. */
const LINGER_MS = 5_000;

/** The tasks of one page of the list, updated by the API's change events. */
export class TaskSet {
  readonly #filter: TaskFilter;
  readonly #limit: number;
  /** Whether this is the first page, where new tasks appear. */
  readonly #first: boolean;
  readonly #tasks: Map<string, Task>;
  /** When to remove tasks that left the list, by id, in ms. */
  readonly #leaving = new Map<string, number>();

  constructor(
    tasks: readonly Task[],
    { filter, limit, first }: { readonly filter: TaskFilter; readonly limit: number; readonly first: boolean },
  ) {
    this.#filter = filter;
    this.#limit = limit;
    this.#first = first;
    this.#tasks = new Map(tasks.map((task) => [task.id, task]));
  }

  get size(): number {
    return this.#tasks.size;
  }

  /** Returns the tasks, newest first: by enqueue time, finished ones by finish time. */
  list(): Task[] {
    const finished = this.#filter.state !== null && isTerminal(this.#filter.state);
    const sortKeyOf = ({ enqueued_at: enqueuedAt, finished_at: finishedAt }: Task): string => (finished ? finishedAt : enqueuedAt) ?? '';
    return [...this.#tasks.values()].sort((a, b) => compare(sortKeyOf(b), sortKeyOf(a)) || compare(b.id, a.id));
  }

  apply({ changed, removed }: ListChange, now: number): void {
    const updated = new Set<string>();
    for (const task of changed) {
      updated.add(task.id);
      this.#upsert(task, now);
    }
    // A finished task without retention: its outcome is unknown.
    if (!this.#showsFinished()) for (const id of removed) if (!updated.has(id)) this.#drop(id);
    this.#trim();
  }

  /** Removes tasks whose time is up, except those that must stay. Returns whether any were removed. */
  expire(now: number, mustStay: (id: string) => boolean): boolean {
    const due = [...this.#leaving].filter(([id, at]) => at <= now && !mustStay(id));
    for (const [id] of due) this.#drop(id);
    return due.length > 0;
  }

  #upsert(task: Task, now: number): void {
    const known = this.#tasks.has(task.id);
    if (this.#matches(task)) {
      this.#leaving.delete(task.id);
      if (known || this.#first) this.#tasks.set(task.id, task);
    } else if (known) {
      this.#tasks.set(task.id, task);
      if (!this.#leaving.has(task.id)) this.#leaving.set(task.id, now + LINGER_MS);
    }
  }

  #matches({ item, state, name }: Task): boolean {
    const filter = this.#filter;
    if (filter.item !== null && item !== filter.item) return false;
    if (filter.name !== null && name !== filter.name) return false;
    return filter.state === null ? !isTerminal(state) : state === filter.state;
  }

  #showsFinished(): boolean {
    return this.#filter.state !== null && isTerminal(this.#filter.state);
  }

  #trim(): void {
    if (this.#tasks.size > this.#limit) for (const { id } of this.list().slice(this.#limit)) this.#drop(id);
  }

  #drop(id: string): void {
    this.#tasks.delete(id);
    this.#leaving.delete(id);
  }
}

export function isTerminal(state: TaskState): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled';
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The list's filters and page size, kept in the URL so that they can be bookmarked and shared. */
export interface ListQuery extends TaskFilter {
  readonly limit: number;
}

export const LIMITS = [100, 250, 500, 1_000] as const;
export const STATES: readonly TaskState[] = [
  'scheduled',
  'queued',
  'waiting',
  'running',
  'retrying',
  'stopping',
  'completed',
  'failed',
  'cancelled',
  'unreadable',
];

export function readListQuery(search: string): ListQuery {
  const values = new URLSearchParams(search);
  const limit = Number(values.get('limit'));
  return {
    item: values.get('item') || null,
    state: STATES.find((state) => state === values.get('state')) ?? null,
    name: values.get('name') || null,
    limit: LIMITS.find((allowed) => allowed === limit) ?? LIMITS[0],
  };
}

/** Returns the query string for the page's URL and the API; `''` for the defaults. */
export function listSearch({ item, state, name, limit }: ListQuery): string {
  const values = new URLSearchParams();
  for (const [key, value] of Object.entries({ item, state, name })) if (value !== null) values.set(key, value);
  if (limit !== LIMITS[0]) values.set('limit', String(limit));
  return values.size === 0 ? '' : `?${values.toString()}`;
}

/** Returns the API path of one page of the list. */
export function listPath(query: ListQuery, after: string | null): string {
  const values = new URLSearchParams(listSearch(query));
  values.set('limit', String(query.limit));
  if (after !== null) values.set('after', after);
  return `tasks?${values.toString()}`;
}
