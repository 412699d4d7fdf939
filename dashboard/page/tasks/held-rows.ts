import type { Task } from '../parts/api-types.js';

/**
 * The tasks of the list as they are shown. A newer version of the list replaces them at once, unless rows must not move, because the
 * pointer or the focus is on one of them: then the shown tasks are updated in their places, and the newer version is held back.
 */
export class HeldRows {
  #shown: readonly Task[] = [];
  #held: readonly Task[] | null = null;

  get shown(): readonly Task[] {
    return this.#shown;
  }

  /** The number of tasks that are held back. */
  get held(): number {
    if (this.#held === null) return 0;
    const shown = new Set(this.#shown.map(({ id }) => id));
    return this.#held.filter(({ id }) => !shown.has(id)).length;
  }

  /** Takes a newer version of the list. */
  offer(tasks: readonly Task[], mayMove: boolean): void {
    if (mayMove || this.#shown.length === 0) {
      this.#shown = tasks;
      this.#held = null;
      return;
    }
    this.#held = tasks;
    this.update(tasks);
  }

  /** Updates tasks in their places. Returns whether other tasks are among them. */
  update(changed: readonly Task[]): boolean {
    const byId = new Map(changed.map((task) => [task.id, task]));
    this.#shown = this.#shown.map((task) => byId.get(task.id) ?? task);
    const known = new Set(this.#shown.map(({ id }) => id));
    return changed.some(({ id }) => !known.has(id));
  }

  /** Shows what is held back. Returns whether there was anything. */
  release(): boolean {
    if (this.#held === null) return false;
    this.#shown = this.#held;
    this.#held = null;
    return true;
  }

  /** Forgets everything, for another query. */
  clear(): void {
    this.#shown = [];
    this.#held = null;
  }
}
