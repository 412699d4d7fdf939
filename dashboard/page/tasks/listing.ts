import type { Task, TaskPage } from '../parts/api-types.js';
import { read } from '../parts/api.js';
import { HeldRows } from './held-rows.js';
import { type TaskQuery, listPath } from './query.js';

/** What the list shows. */
export interface ListState {
  readonly query: TaskQuery;
  readonly tasks: readonly Task[];
  /** The number of tasks that are held back, because rows must not move. */
  readonly held: number;
  readonly page: number;
  /** Whether there is a next page. */
  readonly more: boolean;
  /** Tasks looked at for this page. */
  readonly searched: number;
  /** How far the search got, if it ended before the page was full; else null. */
  readonly reached: string | null;
}

interface ListingView {
  readonly show: (state: ListState) => void;
  readonly fail: (error: unknown) => void;
  /** Whether rows may be added, removed and reordered now. */
  readonly mayMove: () => boolean;
}

/** A refresh waits for at least this long after the one before, and for twenty times as long as that took. */
const PAUSE_MS = 2_500;
const PAUSE_FACTOR = 20;

/** The pages of the list. The current page is refreshed, and is read in several parts if the search gave up before it was full. */
export class Listing {
  readonly #rows = new HeldRows();
  #query: TaskQuery;
  /** The start of each page up to the current one; a page that was looked further for has a start for each part. */
  #pages: (string | null)[][] = [[null]];
  #next: string | null = null;
  #searched = 0;
  #reached: string | null = null;
  /** The number of the latest request; the answers to others are dropped. */
  #request = 0;
  #idleUntil = 0;

  constructor(
    query: TaskQuery,
    private readonly view: ListingView,
  ) {
    this.#query = query;
  }

  get query(): TaskQuery {
    return this.#query;
  }

  get tasks(): readonly Task[] {
    return this.#rows.shown;
  }

  change(query: TaskQuery): Promise<void> {
    this.#query = query;
    this.#pages = [[null]];
    return this.#move();
  }

  /** Reads the page again, unless that was done a moment ago. */
  async refresh(): Promise<void> {
    if (performance.now() >= this.#idleUntil) await this.#load();
  }

  /** Reads the page again soon, since tasks have changed that are not on it. */
  hurry(): void {
    if (this.#idleUntil !== Infinity) this.#idleUntil = Math.min(this.#idleUntil, performance.now() + PAUSE_MS);
  }

  /** Reads the page again at once. */
  reload(): Promise<void> {
    return this.#guarded(() => this.#load());
  }

  async older(): Promise<void> {
    if (this.#next === null) return;
    this.#pages.push([this.#next]);
    await this.#move();
  }

  async newer(): Promise<void> {
    if (this.#pages.length > 1) this.#pages.pop();
    await this.#move();
  }

  /** Goes on where the search gave up, for the same page. */
  async lookFurther(): Promise<void> {
    if (this.#next === null) return;
    this.#pages.at(-1)?.push(this.#next);
    await this.#guarded(() => this.#load(true));
  }

  update(changed: readonly Task[]): void {
    if (this.#rows.update(changed)) this.hurry();
    this.#show();
  }

  /** Shows the tasks that are held back. */
  release(): void {
    if (this.#rows.release()) this.#show();
  }

  /** Shows another page or query. */
  async #move(): Promise<void> {
    this.#rows.clear();
    await this.#guarded(() => this.#load(true));
  }

  /** @param moves whether rows may move, since the user asked for others */
  async #load(moves = false): Promise<void> {
    const request = ++this.#request;
    this.#idleUntil = Infinity;
    const began = performance.now();
    try {
      const starts = this.#pages.at(-1) as (string | null)[];
      const parts: TaskPage[] = [];
      // One after another: each part may cost the most that a page may cost.
      for (const after of starts) parts.push(await read<TaskPage>(listPath(this.#query, after)));
      if (request !== this.#request) return;
      const last = parts.at(-1) as TaskPage;
      this.#next = last.next;
      this.#reached = last.reached;
      this.#searched = parts.reduce((sum, { searched }) => sum + searched, 0);
      this.#rows.offer(unique(parts.flatMap(({ tasks }) => tasks)), moves || this.view.mayMove());
      this.view.fail(null);
      this.#show();
    } finally {
      const took = performance.now() - began;
      if (request === this.#request) this.#idleUntil = performance.now() + Math.max(PAUSE_MS, PAUSE_FACTOR * took);
    }
  }

  async #guarded(load: () => Promise<void>): Promise<void> {
    const request = this.#request + 1;
    try {
      await load();
    } catch (error) {
      if (request === this.#request) this.view.fail(error);
    }
  }

  #show(): void {
    this.view.show({
      ...{ query: this.#query, tasks: this.#rows.shown, held: this.#rows.held, page: this.#pages.length },
      ...{ more: this.#next !== null, searched: this.#searched, reached: this.#reached },
    });
  }
}

/** A task may be in two parts, if it changed its place between them. */
function unique(tasks: readonly Task[]): Task[] {
  return [...new Map(tasks.map((task) => [task.id, task])).values()];
}
