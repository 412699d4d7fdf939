import type { ListChange, Task, TaskState } from './api-types.js';

export interface TaskFilter {
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
