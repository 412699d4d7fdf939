import { element, setAttribute } from '../dom.js';

/** A column of a {@link KeyedTable}. */
export interface Column<Item> {
  readonly label: string;
  /** Writes the item's value into its cell; called again for each new state of the item, so write only what changed. */
  readonly show: (cell: HTMLElement, item: Item) => void;
  /** Aligns numbers to the right. */
  readonly numeric?: boolean;
  /** Shown at the top instead of the label, such as a button that sorts. */
  readonly head?: Node;
  /** A class of the column's cells, for their width. */
  readonly kind?: string;
}

interface TableOptions<Item> {
  readonly columns: readonly Column<Item>[];
  /** Identifies an item: its row is kept while the item is shown. */
  readonly key: (item: Item) => string;
  /** Shown instead of the rows: what the absence means, and what to do next. */
  readonly empty: string | readonly (Node | string)[] | (() => readonly (Node | string)[]);
  /** Marks the row of an item, such as by a `data-` attribute. */
  readonly mark?: (row: HTMLTableRowElement, item: Item) => void;
}

/**
 * A table with one row per item, in the order of the items. Rows that stay keep their elements, and with them focus and selection. On
 * narrow screens rows become cards, each cell with its label. Until the first items arrive, it says that it is loading.
 */
export class KeyedTable<Item> {
  readonly #rows = new Map<string, { readonly row: HTMLTableRowElement; readonly cells: readonly HTMLElement[] }>();
  readonly #body = element('tbody', { role: 'rowgroup' });
  readonly #note = element('p', { class: 'empty', role: 'status' }, 'Loading …');

  /** @param table an empty table with a caption and the class `cards` */
  constructor(
    private readonly table: HTMLTableElement,
    private readonly options: TableOptions<Item>,
  ) {
    const heads = options.columns.map((column) =>
      element('th', { role: 'columnheader', scope: 'col', class: classOf(column) }, column.head ?? column.label),
    );
    table.setAttribute('role', 'table');
    table.append(element('thead', { role: 'rowgroup' }, element('tr', { role: 'row' }, ...heads)), this.#body);
    table.after(this.#note);
    table.hidden = true;
  }

  show(items: readonly Item[]): void {
    const keys = new Set(items.map(this.options.key));
    for (const [key, { row }] of this.#rows) if (!keys.has(key)) this.#remove(key, row);
    let next = this.#body.firstElementChild;
    for (const item of items) {
      const { row, cells } = this.#rowOf(this.options.key(item));
      this.options.columns.forEach(({ show }, index) => fill(cells[index] as HTMLElement, (cell) => show(cell, item)));
      this.options.mark?.(row, item);
      if (row === next) next = next.nextElementSibling;
      else this.#body.insertBefore(row, next);
    }
    this.table.hidden = items.length === 0;
    this.#note.hidden = items.length > 0;
    const { empty } = this.options;
    if (items.length > 0) return;
    this.#note.replaceChildren(...(typeof empty === 'string' ? [empty] : typeof empty === 'function' ? empty() : empty));
  }

  /** Returns the row of an item that is shown. */
  rowOf(key: string): HTMLTableRowElement | null {
    return this.#rows.get(key)?.row ?? null;
  }

  /** Moves the focus to the first link or button of the next or previous row. */
  step(by: 1 | -1): void {
    const rows = [...this.#body.rows].filter((row) => row.checkVisibility());
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const row = at === -1 ? rows[0] : rows[at + by];
    row?.querySelector<HTMLElement>('a, button')?.focus();
  }

  #rowOf(key: string): { readonly row: HTMLTableRowElement; readonly cells: readonly HTMLElement[] } {
    const known = this.#rows.get(key);
    if (known) return known;
    const cells = this.options.columns.map(() => element('div'));
    // Explicit roles: laid out as cards, tables lose theirs.
    const row = element(
      'tr',
      { role: 'row', 'data-id': key },
      ...this.options.columns.map((column, index) =>
        element('td', { role: 'cell', 'data-label': column.label, class: classOf(column) }, cells[index] as HTMLElement),
      ),
    );
    const created = { row, cells };
    this.#rows.set(key, created);
    return created;
  }

  #remove(key: string, row: HTMLTableRowElement): void {
    const hadFocus = row.contains(document.activeElement);
    const neighbour = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    this.#rows.delete(key);
    if (hadFocus) neighbour?.querySelector<HTMLElement>('a, button')?.focus();
  }
}

/** A card leaves out a cell without a value. */
function fill(cell: HTMLElement, show: (cell: HTMLElement) => void): void {
  show(cell);
  const { textContent: text } = cell;
  setAttribute(cell.parentElement as HTMLElement, 'data-empty', text === '' || text === '–' ? '' : null);
}

function classOf<Item>({ numeric = false, kind }: Column<Item>): string | false {
  return [numeric ? 'number' : '', kind ?? ''].filter(Boolean).join(' ') || false;
}
