import type { Bulk, Me, Task } from '../../parts/api-types.js';
import { byId, element, setText } from '../../parts/dom.js';
import { announce, runWithFeedback } from '../../parts/ui/feedback.js';
import type { Column } from '../../parts/ui/keyed-table.js';
import { count } from '../../parts/wording.js';
import type { TaskQuery } from '../query.js';
import { askBulk } from './dialog.js';
import { type BulkAction, type DryRun, MAX_CHOSEN, bulkActions, bulkBody } from './request.js';
import { Selection } from './selection.js';

/** Tasks that are shown before a bulk begins. */
const FIRST = 10;

interface SelectionBarOptions {
  readonly principal: Me;
  readonly query: () => TaskQuery;
  /** The tasks on the page, in their order. */
  readonly tasks: () => readonly Task[];
  /** The number of tasks that match in words, if it is known: `5,000`. */
  readonly matching: () => string | null;
  readonly started: (bulk: Bulk) => void;
}

/** The check boxes of the rows, and what may be done with the chosen tasks. */
export class SelectionBar {
  readonly selection = new Selection(() => this.show());
  readonly #bar = byId('selection', HTMLElement);
  readonly #text = element('strong');
  readonly #every = element('button', { type: 'button', class: 'link', click: () => this.selection.chooseAll() });
  readonly #buttons: Readonly<Record<BulkAction, HTMLButtonElement>>;
  readonly #head = element('input', { type: 'checkbox', 'aria-label': 'Select every task of the page' });
  readonly #boxes = new Map<string, HTMLInputElement>();
  #last: string | null = null;

  constructor(private readonly options: SelectionBarOptions) {
    const button = (action: BulkAction): HTMLButtonElement =>
      element('button', {
        ...{ type: 'button', 'data-writes': true, ...(action === 'stop' && { class: 'danger' }) },
        click: () => this.run(action),
      });
    this.#buttons = { stop: button('stop'), retry: button('retry') };
    const clear = element('button', { type: 'button', class: 'link', click: () => this.selection.clear() }, 'Clear selection');
    this.#bar.append(this.#text, this.#buttons.stop, this.#buttons.retry, this.#every, clear);
    this.#head.addEventListener('click', () => this.selection.togglePage(this.#page()));
  }

  /** Whether the caller may do anything with several tasks of the list. */
  get offered(): boolean {
    return bulkActions(this.options.query(), this.options.principal).length > 0;
  }

  /** The column of check boxes. A click with Shift chooses all rows since the last click. */
  column(): Column<Task> {
    return {
      ...{ label: 'Select', kind: 'col-select', head: this.#head },
      show: (cell, { id, name }) => {
        if (cell.firstElementChild) return;
        const box = element('input', { type: 'checkbox', 'aria-label': `Select ${name ?? 'task'} ${id}` });
        box.addEventListener('click', (event) => this.#choose(id, event.shiftKey));
        cell.append(box);
        this.#boxes.set(id, box);
        box.checked = this.selection.has(id);
      },
    };
  }

  /** Shows what is chosen, after a change of it or of the list. */
  show(): void {
    const { selection } = this;
    const { query, principal, matching } = this.options;
    const ids = this.#page();
    const onPage = new Set(ids);
    for (const [id, box] of this.#boxes) {
      if (onPage.has(id)) box.checked = selection.has(id);
      else this.#boxes.delete(id);
    }
    this.#head.checked = ids.length > 0 && ids.every((id) => selection.has(id));
    this.#head.indeterminate = !this.#head.checked && !selection.empty;
    this.#bar.hidden = selection.empty;
    const number = matching();
    setText(
      this.#text,
      selection.all
        ? `All ${number ?? ''} tasks that match are selected`.replace('  ', ' ')
        : `${count(selection.ids.length, 'task')} selected`,
    );
    this.#every.hidden = selection.all;
    setText(this.#every, `Select all${number === null ? '' : ` ${number}`} that match`);
    const offered = bulkActions(query(), principal);
    for (const [action, button] of Object.entries(this.#buttons) as [BulkAction, HTMLButtonElement][]) {
      button.hidden = !offered.includes(action);
      setText(button, action === 'stop' ? 'Stop …' : 'Retry …');
    }
  }

  /** Asks about a stop or retry of the chosen tasks. Returns false if none are chosen. */
  run(action: BulkAction): boolean {
    const { selection } = this;
    const button = this.#buttons[action];
    if (selection.empty) return false;
    void runWithFeedback(button, async () => {
      if (!selection.all && selection.ids.length > MAX_CHOSEN)
        throw new Error(`At most ${MAX_CHOSEN.toLocaleString('en')} tasks can be selected one by one. Select all that match, or fewer.`);
      const body = bulkBody(action, selection, this.options.query());
      const bulk = await askBulk(action, body, selection.all ? null : this.#chosen(), byId('title', HTMLElement));
      if (bulk === null) return null;
      selection.clear();
      this.options.started(bulk);
      return null;
    });
    return true;
  }

  toggle(id: string): void {
    this.#choose(id, false);
    announce(this.selection.has(id) ? 'Selected.' : 'Not selected.');
  }

  #choose(id: string, range: boolean): void {
    const page = this.#page();
    if (range && this.#last !== null && !this.selection.all) this.selection.addRange(this.#last, id, page);
    else this.selection.toggle(id, page);
    this.#last = id;
  }

  #page(): string[] {
    return this.options.tasks().map(({ id }) => id);
  }

  /** Returns the chosen tasks as a dry run does: the first ones of those that are on the page. */
  #chosen(): DryRun {
    const { ids } = this.selection;
    const onPage = this.options.tasks().filter(({ id }) => this.selection.has(id));
    return { matched: ids.length, complete: true, first: onPage.slice(0, FIRST) };
  }
}
