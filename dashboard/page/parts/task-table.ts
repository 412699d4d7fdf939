import type { Task } from './api-types.js';
import { type Attention, type AttentionContext, attentionOf, typicalRuns } from './attention.js';
import { type RowActions, TaskTableRow } from './task-row.js';

/** The table body, with one row per task id. Rows that stay are not removed and reinserted. */
export class TaskTable {
  readonly #body: HTMLTableSectionElement;
  readonly #actions: RowActions;
  readonly #rows = new Map<string, TaskTableRow>();

  constructor(body: HTMLTableSectionElement, actions: RowActions) {
    this.#body = body;
    this.#actions = actions;
  }

  /** Renders the tasks in this order. */
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

  /** Updates ages and attention marks. Returns how many tasks need attention. */
  tick(now: number, silent: ReadonlySet<string>): number {
    const context: AttentionContext = {
      now,
      silent,
      typical: typicalRuns(
        [...this.#rows.values()].map(({ task }) => task),
        now,
      ),
    };
    let flagged = 0;
    for (const row of this.#rows.values()) {
      row.tick(now);
      const attention: Attention | null = attentionOf(row.task, context);
      row.mark(attention);
      if (attention) flagged += 1;
    }
    return flagged;
  }

  /** Whether the row has focus or is hovered, and so must not disappear. */
  isInUse(id: string): boolean {
    const row = this.#rows.get(id)?.element;
    return row !== undefined && (row.contains(document.activeElement) || row.matches(':hover'));
  }

  /** Moves the focus to the next or previous row; to the first row from elsewhere. */
  step(by: 1 | -1): void {
    const rows = [...this.#body.rows].filter((row) => row.checkVisibility());
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const row = at === -1 ? rows[0] : rows[at + by];
    row?.querySelector('a')?.focus();
  }

  #rowOf(task: Task): TaskTableRow {
    const known = this.#rows.get(task.id);
    if (known) return known;
    const row = new TaskTableRow(task, this.#actions);
    this.#rows.set(task.id, row);
    return row;
  }

  #remove(id: string, { element: row }: TaskTableRow): void {
    const hadFocus = row.contains(document.activeElement);
    const neighbour = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    this.#rows.delete(id);
    if (hadFocus) neighbour?.querySelector('a')?.focus();
  }
}
