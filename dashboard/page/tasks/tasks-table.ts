import { type Me, type Task, isTerminal } from '../parts/api-types.js';
import { ROOT } from '../parts/api.js';
import { type Attention, type AttentionContext, attentionOf, typicalRuns } from '../parts/attention.js';
import { byId, element, setAttribute } from '../parts/dom.js';
import { KeyedTable } from '../parts/ui/keyed-table.js';
import { actionColumn } from './action-column.js';
import type { SelectionBar } from './bulk/selection-bar.js';
import type { FilterBy } from './cells.js';
import { columnNames } from './column-names.js';
import { columnsFor } from './columns.js';
import { emptyNote } from './notes.js';
import { type TaskQuery, searchOf, statesOf } from './query.js';

interface TasksTableOptions {
  readonly principal: Me;
  readonly selection: SelectionBar;
  readonly filterBy: FilterBy;
  readonly sort: () => void;
  /** Shows another query. */
  readonly go: (query: TaskQuery) => void;
  readonly changed: (task: Task) => void;
}

/** The table of the tasks, with the columns that suit the states of the query. */
export class TasksTable {
  readonly #place = byId('list', HTMLElement);
  #shape = '';
  #query: TaskQuery | null = null;
  #table: KeyedTable<Task> | null = null;
  #tasks: readonly Task[] = [];

  constructor(private readonly options: TasksTableOptions) {}

  /** Makes an empty table for a query; keeps the present one if it has the same columns. */
  prepare(query: TaskQuery): void {
    this.#query = query;
    const shape = `${columnNames(query).join()} ${query.order} ${classOf(query, this.options.selection.offered)}`;
    if (shape === this.#shape) return;
    this.#shape = shape;
    const { selection, principal, filterBy, sort, changed } = this.options;
    const table = element(
      'table',
      { id: 'rows', class: classOf(query, selection.offered) },
      element('caption', { class: 'sr-only' }, `Tasks, ${query.order} first`),
    );
    this.#place.replaceChildren(table);
    this.#table = new KeyedTable<Task>(table, {
      columns: [
        ...(selection.offered ? [selection.column()] : []),
        ...columnsFor(query, { filterBy, sort }),
        ...(selection.offered ? [actionColumn({ principal, fallback: byId('title', HTMLElement), changed })] : []),
      ],
      key: ({ id }) => id,
      empty: () => this.#emptyNote(),
      mark: (row, { state }) => row.classList.toggle('over', this.#query !== null && !statesOf(this.#query).includes(state)),
    });
  }

  show(tasks: readonly Task[]): void {
    this.#tasks = tasks;
    this.#table?.show(tasks);
  }

  /** Marks the tasks that need attention by text, symbol and border. Returns their number. */
  tick(now: number, silent: ReadonlySet<string>): number {
    const live = this.#tasks.filter(({ state }) => !isTerminal(state));
    const context: AttentionContext = { now, silent, typical: typicalRuns(live, now) };
    let number = 0;
    for (const task of this.#tasks) {
      const attention = attentionOf(task, context);
      if (attention) number += 1;
      const row = this.#table?.rowOf(task.id);
      if (row) mark(row, attention);
    }
    return number;
  }

  /** Whether the pointer or the focus is on a row, so that rows must not move. */
  get inUse(): boolean {
    const body = this.#place.querySelector('tbody');
    return body !== null && (body.matches(':hover') || body.contains(document.activeElement));
  }

  /** The task whose row has the focus; null if none has. */
  get focused(): Task | null {
    const id = document.activeElement?.closest<HTMLElement>('#list tr')?.dataset['id'];
    return this.#tasks.find((task) => task.id === id) ?? null;
  }

  step(by: 1 | -1): void {
    this.#table?.step(by);
    document.activeElement?.scrollIntoView({ block: 'nearest' });
  }

  /** Clicks the button of a row. Returns false if it has none with this label. */
  act(task: Task, label: 'Stop' | 'Retry'): boolean {
    const button = this.#table?.rowOf(task.id)?.querySelector<HTMLButtonElement>('.col-action button');
    if (!button?.textContent.startsWith(label)) return false;
    button.click();
    return true;
  }

  #emptyNote(): (Node | string)[] {
    if (this.#query === null) return [];
    const { text, offers, enqueue } = emptyNote(this.#query);
    const links = offers.flatMap(({ text: label, query }) => [
      ' ',
      element(
        'a',
        {
          href: `${location.pathname}${searchOf(query)}`,
          click: (event) => {
            event.preventDefault();
            this.options.go(query);
          },
        },
        label,
      ),
    ]);
    const help = enqueue
      ? [
          ' Enqueue one with ',
          element('code', {}, 'npx taskfleet task enqueue'),
          ' or ',
          element('a', { href: new URL('docs', ROOT).href }, 'the API'),
          '.',
        ]
      : [];
    return [text, ...links, ...help];
  }
}

function classOf(query: TaskQuery, selectable: boolean): string {
  return ['cards tasks', statesOf(query).length === 1 ? 'one-state' : '', selectable ? 'selectable' : ''].filter(Boolean).join(' ');
}

function mark(row: HTMLTableRowElement, attention: Attention | null): void {
  setAttribute(row, 'data-attention', attention?.kind ?? null);
  const sign = row.querySelector<HTMLElement>('.mark');
  if (sign === null) return;
  sign.hidden = attention === null;
  const text = attention === null ? '' : `⚠ ${attention.text}`;
  if (sign.textContent !== text) sign.textContent = text;
  setAttribute(sign, 'title', attention?.text ?? null);
}
