import type { RelatedTasks, Task } from '../parts/api-types.js';
import { ROOT, read, taskPath } from '../parts/api.js';
import { element, setAttribute, setText } from '../parts/dom.js';
import { KeyedTable } from '../parts/ui/keyed-table.js';
import { setTime, timeElement } from '../parts/ui/time.js';
import { nameOf } from '../parts/wording.js';

/** The parent of a task and its children. */
export class RelatedPanel {
  readonly #table: KeyedTable<Task>;

  constructor(
    private readonly id: string,
    private readonly elements: {
      readonly table: HTMLTableElement;
      readonly parent: HTMLElement;
      readonly count: HTMLElement;
      readonly note: HTMLElement;
    },
  ) {
    this.#table = new KeyedTable<Task>(elements.table, {
      columns: [
        { label: 'State', show: showState },
        { label: 'Task', show: showLink },
        { label: 'Enqueued', show: (cell, task) => showTime(cell, task.enqueued_at) },
        { label: 'Finished', show: (cell, task) => showTime(cell, task.finished_at) },
        { label: 'Error', show: (cell, task) => setText(cell, task.error ?? '–') },
      ],
      key: ({ id: child }) => child,
      empty: 'No children. A handler enqueues them with context.enqueue.',
    });
  }

  /** @throws TaskfleetError */
  async refresh(): Promise<void> {
    const { parent, children, complete } = await read<RelatedTasks>(`${taskPath(this.id)}/related`);
    const { parent: place, count, note } = this.elements;
    place.hidden = parent === null;
    if (parent !== null) place.replaceChildren('Child of ', linkTo(parent));
    setText(count, children.length === 0 ? '' : ` ${children.length}${complete ? '' : '+'}`);
    note.hidden = complete;
    this.#table.show(children);
  }
}

function showState(cell: HTMLElement, { state }: Task): void {
  const pill = cell.firstElementChild ?? cell.appendChild(element('span', { class: 'state' }));
  setText(pill, state);
  setAttribute(pill, 'data-state', state);
}

function showLink(cell: HTMLElement, task: Task): void {
  if (!cell.firstElementChild) cell.append(linkTo(task));
}

function linkTo(task: Task): HTMLElement {
  return element('a', { href: new URL(taskPath(task.id), ROOT).href }, nameOf(task), ' ', element('span', { class: 'id' }, task.id));
}

function showTime(cell: HTMLElement, iso: string | null): void {
  const time = (cell.firstElementChild as HTMLTimeElement | null) ?? cell.appendChild(timeElement(null, 'ago'));
  setTime(time, iso);
}
