import type { Task } from './api-types.js';
import { type Attention, type Surroundings, attentionOf, typicalRuns } from './attention.js';
import { type RowActions, TaskRow } from './task-row.js';

/** The body of the table: one row for each task, kept by its id. A row that stays is not taken out and put back. */
export class TaskTable {
  readonly #body: HTMLTableSectionElement;
  readonly #actions: RowActions;
  readonly #rows = new Map<string, TaskRow>();

  constructor(body: HTMLTableSectionElement, actions: RowActions) {
    this.#body = body;
    this.#actions = actions;
  }

  /** Shows these tasks in this order. */
  show(tasks: readonly Task[], now: number): void {
    const shown = new Set(tasks.map(({ id }) => id));
    for (const [id, row] of this.#rows) if (!shown.has(id)) this.#remove(id, row);
    let next = this.#body.firstElementChild;
    for (const task of tasks) {
      const row = this.#rowOf(task);
      row.show(task, now);
      if (row.element === next) next = next.nextElementSibling;
      else this.#body.insertBefore(row.element, next);
    }
  }

  /** What changes by itself: ages, and what has run for too long by now. Returns how many tasks stand out. */
  tick(now: number, silent: ReadonlySet<string>): number {
    const around: Surroundings = {
      now,
      silent,
      typical: typicalRuns(
        [...this.#rows.values()].map(({ task }) => task),
        now,
      ),
    };
    let standOut = 0;
    for (const row of this.#rows.values()) {
      row.tick(now);
      const attention: Attention | null = attentionOf(row.task, around);
      row.mark(attention);
      if (attention) standOut += 1;
    }
    return standOut;
  }

  /** Whether somebody is at this row now: it must not go from under them. */
  isInUse(id: string): boolean {
    const row = this.#rows.get(id)?.element;
    return row !== undefined && (row.contains(document.activeElement) || row.matches(':hover'));
  }

  /** Moves the keyboard to the row below or above the one that it is in; to the first one from elsewhere. */
  step(by: 1 | -1): void {
    const rows = [...this.#body.rows].filter((row) => row.checkVisibility());
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const row = at === -1 ? rows[0] : rows[at + by];
    row?.querySelector('a')?.focus();
  }

  #rowOf(task: Task): TaskRow {
    const known = this.#rows.get(task.id);
    if (known) return known;
    const row = new TaskRow(task, this.#actions);
    this.#rows.set(task.id, row);
    return row;
  }

  #remove(id: string, { element }: TaskRow): void {
    const hadFocus = element.contains(document.activeElement);
    const neighbour = element.nextElementSibling ?? element.previousElementSibling;
    element.remove();
    this.#rows.delete(id);
    if (hadFocus) neighbour?.querySelector('a')?.focus();
  }
}
