import { TaskfleetError } from '../client.js';
import { ROOT, read, taskPath } from '../parts/api.js';
import { byId, element } from '../parts/dom.js';
import { LIMITS, TEXTS, type TaskQuery, type TextField, conditionsOf, hasConditions } from './query.js';

/** How long the search waits for the next key, in ms. */
const TYPING_MS = 350;
/** Fields that are always visible; the others are below 'More filters'. */
const VISIBLE: readonly TextField[] = ['q', 'name', 'item', 'queue'];

interface Definitions {
  readonly definitions: readonly { readonly name: string; readonly queue: string }[];
}

/** The conditions of the list besides the states: the search box, a field for each, and a chip for each that is set. */
export class FilterForm {
  readonly #form = byId('filters', HTMLFormElement);
  readonly #search = this.#field('q');
  /** Adds a tag: those that are set have chips. */
  readonly #tag = byId('filter-tag', HTMLInputElement);
  readonly #limit = byId('filter-limit', HTMLSelectElement);
  readonly #chips = byId('conditions', HTMLElement);
  #query: TaskQuery;
  #typing = 0;

  constructor(
    query: TaskQuery,
    private readonly change: (query: TaskQuery) => void,
  ) {
    this.#query = query;
    this.#limit.append(...LIMITS.map((limit) => element('option', { value: limit }, `${limit} rows`)));
    this.#form.addEventListener('change', () => this.#apply());
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#open();
    });
    this.#search.addEventListener('input', () => {
      window.clearTimeout(this.#typing);
      this.#typing = window.setTimeout(() => this.#apply(), TYPING_MS);
    });
    this.show(query);
    void suggestNames();
  }

  show(query: TaskQuery): void {
    this.#query = query;
    for (const name of TEXTS) {
      const field = this.#field(name);
      if (field !== document.activeElement || query.texts[name] === undefined) field.value = query.texts[name] ?? '';
    }
    this.#tag.value = '';
    this.#limit.value = String(query.limit);
    const rest = TEXTS.some((name) => !VISIBLE.includes(name) && query.texts[name] !== undefined);
    if (rest) byId('more', HTMLDetailsElement).open = true;
    this.#showChips();
  }

  focus(): void {
    this.#search.focus();
    this.#search.select();
  }

  #showChips(): void {
    const chips = conditionsOf(this.#query).map(({ text, without }) =>
      element('button', { type: 'button', class: 'chip', title: 'Remove this condition', click: () => this.change(without) }, `${text} ✕`),
    );
    const clear = element(
      'button',
      { type: 'button', class: 'link', click: () => this.change({ ...this.#query, texts: {}, tags: [] }) },
      'Clear',
    );
    this.#chips.hidden = !hasConditions(this.#query);
    this.#chips.replaceChildren(...chips, clear);
  }

  #field(name: TextField): HTMLInputElement {
    return byId(`filter-${name}`, HTMLInputElement);
  }

  #apply(): void {
    window.clearTimeout(this.#typing);
    const texts = TEXTS.flatMap((name): [string, string][] => {
      const text = this.#field(name).value.trim();
      return text === '' ? [] : [[name, text]];
    });
    const tag = this.#tag.value.trim();
    const tags = tag === '' ? this.#query.tags : [...new Set([...this.#query.tags, tag])];
    const next = { ...this.#query, texts: Object.fromEntries(texts), tags, limit: Number(this.#limit.value) };
    if (JSON.stringify(next) !== JSON.stringify(this.#query)) this.change(next);
  }

  /** Opens the task whose id is in the search box; without one, the list stays filtered. */
  async #open(): Promise<void> {
    this.#apply();
    const id = this.#search.value.trim();
    if (id === '' || document.activeElement !== this.#search) return;
    try {
      await read(taskPath(id));
      location.assign(new URL(taskPath(id), ROOT));
    } catch (error) {
      if (!(error instanceof TaskfleetError)) throw error;
    }
  }
}

async function suggestNames(): Promise<void> {
  const { definitions } = await read<Definitions>('definitions').catch(() => ({ definitions: [] }));
  const options = (values: readonly string[]): HTMLElement[] => [...new Set(values)].map((value) => element('option', { value }));
  byId('names', HTMLDataListElement).append(...options(definitions.map(({ name }) => name)));
  byId('queues', HTMLDataListElement).append(...options(definitions.map(({ queue }) => queue)));
}
