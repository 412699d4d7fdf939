import type { ListChange, Task, TaskState } from './api-types.js';

export interface TaskFilter {
  readonly item: string | null;
  /** Null for all live ones. */
  readonly state: TaskState | null;
  readonly name: string | null;
}

/** How long a task that left the list is still shown, with what became of it, in ms. */
const LINGER_MS = 5_000;

/** The tasks of one page of the list, kept up to date by the changes that the API tells of. */
export class TaskSet {
  readonly #filter: TaskFilter;
  readonly #limit: number;
  /** Whether new tasks belong here: they are on the first page. */
  readonly #first: boolean;
  readonly #tasks: Map<string, Task>;
  /** When those that have left go, in ms. */
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

  /** Newest first, ended ones by their end. */
  list(): Task[] {
    const ended = this.#filter.state !== null && isTerminal(this.#filter.state);
    const placeOf = ({ enqueued_at: enqueuedAt, finished_at: finishedAt }: Task): string => (ended ? finishedAt : enqueuedAt) ?? '';
    return [...this.#tasks.values()].sort((a, b) => compare(placeOf(b), placeOf(a)) || compare(b.id, a.id));
  }

  apply({ changed, removed }: ListChange, now: number): void {
    const told = new Set<string>();
    for (const task of changed) {
      told.add(task.id);
      this.#take(task, now);
    }
    // A task that is over and was not kept: nothing is known of its end.
    if (!this.#showsEnded()) for (const id of removed) if (!told.has(id)) this.#drop(id);
    this.#trim();
  }

  /** Lets go those that have been shown long enough, unless `keeps` says otherwise. True if there were any. */
  expire(now: number, keeps: (id: string) => boolean): boolean {
    const due = [...this.#leaving].filter(([id, at]) => at <= now && !keeps(id));
    for (const [id] of due) this.#drop(id);
    return due.length > 0;
  }

  #take(task: Task, now: number): void {
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

  #showsEnded(): boolean {
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
