import type { Task } from './api-types.js';
import { type Attention } from './attention.js';
import { ROOT, taskPath } from './api.js';
import { element, setAttribute, setText } from './element.js';
import { isTerminal } from './task-set.js';
import { attemptOf, duration, nameOf, progressOf } from './wording.js';

export interface RowActions {
  /** Null for those who may stop nothing: the row has no button then. */
  readonly stop: ((task: Task) => void) | null;
  readonly filterItem: (item: string) => void;
}

/** One task in the table. The row stays the same element for as long as the task is shown; only what differs is written. */
export class TaskRow {
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

  /** The link that the keyboard moves along. */
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

  /** Says so in words, with a sign and a thicker edge: colour alone is not for everyone. */
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

/** The role is said once more: on a narrow screen the rows are cards, and a table that is none loses its roles. */
function cell(label: string, ...children: Node[]): HTMLTableCellElement {
  return element('td', { role: 'cell', 'data-label': label }, element('div', {}, ...children));
}
