import type { Task } from './api-types.js';
import { ROOT, taskPath } from './api.js';
import { type Attention, type AttentionContext, attentionOf, typicalRuns } from './attention.js';
import { element, setAttribute, setText } from './shell.js';
import { isTerminal } from './task-set.js';
import { attemptOf, duration, nameOf, progressOf } from './wording.js';

interface RowActions {
  /** Null hides the Stop button, for callers that may not stop tasks. */
  readonly stop: ((task: Task) => void) | null;
  readonly filterItem: (item: string) => void;
}

/** A task's row in the table. The element is kept while the task is shown; only changed values are written. */
class TaskTableRow {
  readonly element: HTMLTableRowElement;
  readonly #state = element('span', { class: 'state' });
  readonly #note = element('span', { class: 'note', hidden: true });
  readonly #name = element('span', { class: 'name' });
  readonly #item: HTMLButtonElement;
  readonly #bar = element('progress', { max: 1, 'aria-hidden': 'true' });
  readonly #progress = element('span');
  readonly #age = element('span');
  readonly #worker = element('span', { class: 'worker' });
  readonly #attempt = element('span');
  readonly #stop: HTMLButtonElement | null;
  #task: Task;

  constructor(task: Task, { stop, filterItem }: RowActions) {
    this.#task = task;
    this.#item = element('button', {
      type: 'button',
      class: 'link',
      title: 'Show only this item',
      click: () => this.#task.item !== null && filterItem(this.#task.item),
    });
    this.#stop =
      stop &&
      element(
        'button',
        { type: 'button', class: 'danger', click: () => stop(this.#task) },
        'Stop',
        element('span', { class: 'sr-only' }, ` ${task.id}`),
      );
    const id = element('a', { href: new URL(taskPath(task.id), ROOT).href, class: 'id' }, task.id);
    this.element = element(
      'tr',
      { role: 'row', 'data-id': task.id },
      cell('State', this.#state, this.#note),
      cell('Task', this.#name, id),
      cell('Item', this.#item),
      cell('Progress', this.#bar, this.#progress),
      cell('Age', this.#age),
      cell('Worker', this.#worker),
      cell('Attempt', this.#attempt),
      ...(this.#stop ? [cell('Action', this.#stop)] : []),
    );
  }

  get task(): Task {
    return this.#task;
  }

  /** The focus target for keyboard navigation. */
  get link(): HTMLAnchorElement {
    return this.element.querySelector('a') as HTMLAnchorElement;
  }

  show(task: Task, now: number): void {
    this.#task = task;
    const { item, state, worker } = task;
    setText(this.#state, state);
    setAttribute(this.#state, 'data-state', state);
    setText(this.#name, nameOf(task));
    setText(this.#item, item ?? '');
    this.#item.hidden = item === null;
    this.#showProgress();
    setText(this.#worker, worker ?? '–');
    setAttribute(this.#worker, 'title', worker);
    setText(this.#attempt, attemptOf(task));
    if (this.#stop) this.#stop.disabled = state === 'stopping' || isTerminal(state);
    this.element.classList.toggle('over', isTerminal(state));
    this.tick(now);
  }

  tick(now: number): void {
    const { enqueued_at: enqueuedAt, finished_at: finishedAt } = this.#task;
    const end = finishedAt === null ? now : Date.parse(finishedAt);
    setText(this.#age, enqueuedAt === null ? '–' : duration(end - Date.parse(enqueuedAt)));
  }

  /** Marks the row with text, a symbol and a border, not by colour alone. */
  mark(attention: Attention | null): void {
    setAttribute(this.element, 'data-attention', attention?.kind ?? null);
    this.#note.hidden = attention === null;
    setText(this.#note, attention === null ? '' : `⚠ ${attention.text}`);
  }

  #showProgress(): void {
    const progress = progressOf(this.#task.progress);
    this.#bar.hidden = progress?.fraction == null;
    if (progress?.fraction != null && this.#bar.value !== progress.fraction) this.#bar.value = progress.fraction;
    setText(this.#progress, progress?.text ?? '–');
  }
}

/** Creates a cell with an explicit role: on narrow screens rows are laid out as cards, which drops the table roles. */
function cell(label: string, ...children: Node[]): HTMLTableCellElement {
  return element('td', { role: 'cell', 'data-label': label }, element('div', {}, ...children));
}

/** The table body, with one row per task id. Rows that stay are not removed and reinserted. */
export class TaskTable {
  readonly #rows = new Map<string, TaskTableRow>();

  constructor(
    private readonly body: HTMLTableSectionElement,
    private readonly actions: RowActions,
  ) {}

  /** Renders the tasks in this order. */
  show(tasks: readonly Task[], now: number): void {
    const shown = new Set(tasks.map(({ id }) => id));
    for (const [id, row] of this.#rows) if (!shown.has(id)) this.#remove(id, row);
    let next = this.body.firstElementChild;
    for (const task of tasks) {
      const row = this.#rowOf(task);
      row.show(task, now);
      if (row.element === next) next = next.nextElementSibling;
      else this.body.insertBefore(row.element, next);
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
    const rows = [...this.body.rows].filter((row) => row.checkVisibility());
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const row = at === -1 ? rows[0] : rows[at + by];
    row?.querySelector('a')?.focus();
  }

  #rowOf(task: Task): TaskTableRow {
    const known = this.#rows.get(task.id);
    if (known) return known;
    const row = new TaskTableRow(task, this.actions);
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
