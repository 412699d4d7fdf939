import { now, read } from './api.js';
import type { ListChange, Task, TaskPage } from './api-types.js';
import { type ListQuery, listPath } from './list-query.js';
import { TaskSet } from './task-set.js';

export interface LiveListView {
  /** Shows these tasks; `more`: there are older ones. */
  readonly show: (tasks: readonly Task[], page: { readonly number: number; readonly more: boolean }) => void;
  readonly fail: (error: unknown) => void;
  /** Whether a row must not go yet. */
  readonly keeps: (id: string) => boolean;
}

/** One page of the list at a time, kept up to date. */
export class LiveList {
  readonly #view: LiveListView;
  #query: ListQuery;
  /** Where each page up to this one begins. */
  #cursors: (string | null)[] = [null];
  #next: string | null = null;
  #set: TaskSet | null = null;
  /** Of the last request: an answer to one before it comes too late. */
  #request = 0;
  /** What was told while a page was on its way. */
  #early: ListChange[] | null = null;
  #paused = false;

  constructor(query: ListQuery, view: LiveListView) {
    this.#query = query;
    this.#view = view;
  }

  get query(): ListQuery {
    return this.#query;
  }

  /** True while nothing moves. What happened meanwhile shows when it goes on. */
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
    // New tasks have pushed others off the first page since its `next` was told.
    if (this.#cursors.length === 1) await this.load();
    if (this.#next === null) return;
    this.#cursors.push(this.#next);
    await this.load();
  }

  async newer(): Promise<void> {
    if (this.#cursors.length > 1) this.#cursors.pop();
    await this.load();
  }

  /** Asks for the page again. */
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

  /** Lets go of what has ended and was shown for long enough. */
  expire(): void {
    if (!this.#paused && this.#set?.expire(now(), this.#view.keeps)) this.#show();
  }

  #show(): void {
    if (this.#set === null) return;
    const tasks = this.#set.list();
    this.#view.show(tasks, { number: this.#cursors.length, more: this.#next !== null || this.#set.size >= this.#query.limit });
  }
}
