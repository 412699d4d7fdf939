import type { ListChange, Task, TaskPage } from './api-types.js';
import { now, read } from './api.js';
import { type ListQuery, TaskSet, listPath } from './task-set.js';

interface TaskPagerView {
  /** Renders the tasks; `more` says that older ones exist. */
  readonly show: (tasks: readonly Task[], page: { readonly number: number; readonly more: boolean }) => void;
  readonly fail: (error: unknown) => void;
  /** Whether a row must stay for now. */
  readonly mustStay: (id: string) => boolean;
}

/** Pages through the task list and keeps the current page up to date. */
export class TaskPager {
  readonly #view: TaskPagerView;
  #query: ListQuery;
  /** The start cursor of each page up to the current one. */
  #cursors: (string | null)[] = [null];
  #next: string | null = null;
  #set: TaskSet | null = null;
  /** The number of the latest request; responses to earlier ones are discarded. */
  #request = 0;
  /** Changes received while a page loads. */
  #early: ListChange[] | null = null;
  #paused = false;

  constructor(query: ListQuery, view: TaskPagerView) {
    this.#query = query;
    this.#view = view;
  }

  get query(): ListQuery {
    return this.#query;
  }

  /** True while updates are paused; resuming reloads the page. */
  get paused(): boolean {
    return this.#paused;
  }

  pause(paused: boolean): void {
    this.#paused = paused;
    if (!paused) void this.load();
  }

  change(query: ListQuery): void {
    this.#query = query;
    this.#cursors = [null];
    void this.load();
  }

  async older(): Promise<void> {
    // Refreshes `next`: new tasks have since pushed others off the first page.
    if (this.#cursors.length === 1) await this.load();
    if (this.#next === null) return;
    this.#cursors.push(this.#next);
    await this.load();
  }

  async newer(): Promise<void> {
    if (this.#cursors.length > 1) this.#cursors.pop();
    await this.load();
  }

  /** Reloads the current page. */
  async load(): Promise<void> {
    const request = ++this.#request;
    const first = this.#cursors.length === 1;
    this.#early = [];
    try {
      const { tasks, next } = await read<TaskPage>(listPath(this.#query, this.#cursors.at(-1) ?? null));
      if (request !== this.#request) return;
      this.#next = next;
      this.#set = new TaskSet(tasks, { filter: this.#query, limit: this.#query.limit, first });
      for (const change of this.#early) this.#set.apply(change, now());
      this.#early = null;
      this.#view.fail(null);
      this.#show();
    } catch (error) {
      if (request !== this.#request) return;
      this.#early = null;
      this.#view.fail(error);
    }
  }

  apply(change: ListChange): void {
    if (this.#paused) return;
    this.#early?.push(change);
    if (this.#set === null) return;
    this.#set.apply(change, now());
    this.#show();
  }

  /** Removes tasks that left the list long enough ago. */
  expire(): void {
    if (!this.#paused && this.#set?.expire(now(), this.#view.mustStay)) this.#show();
  }

  #show(): void {
    if (this.#set === null) return;
    const tasks = this.#set.list();
    this.#view.show(tasks, { number: this.#cursors.length, more: this.#next !== null || this.#set.size >= this.#query.limit });
  }
}
