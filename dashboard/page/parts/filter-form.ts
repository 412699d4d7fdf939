import type { Task, TaskState } from './api-types.js';
import { ApiError, ROOT, read, taskPath } from './api.js';
import { byId, element, showProblem } from './shell.js';
import { LIMITS, type ListQuery, STATES, listSearch } from './task-set.js';

interface Definitions {
  readonly definitions: readonly { readonly name: string }[];
}

/** The list filters and the search by task ID. */
export class FilterForm {
  readonly #item = byId('filter-item', HTMLInputElement);
  readonly #state = byId('filter-state', HTMLSelectElement);
  readonly #name = byId('filter-name', HTMLInputElement);
  readonly #limit = byId('filter-limit', HTMLSelectElement);
  readonly #id = byId('find-id', HTMLInputElement);

  constructor(query: ListQuery, onChange: (query: ListQuery) => void) {
    this.#state.append(...STATES.map((state) => element('option', { value: state }, state)));
    this.#limit.append(...LIMITS.map((limit) => element('option', { value: limit }, String(limit))));
    this.show(query);
    const form = byId('filters', HTMLFormElement);
    const applyFilters = (): void => {
      const current = this.#read();
      history.replaceState(null, '', `${location.pathname}${listSearch(current)}`);
      onChange(current);
    };
    form.addEventListener('change', applyFilters);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      applyFilters();
    });
    form.addEventListener('reset', () => window.setTimeout(applyFilters));
    byId('find', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#find(this.#id.value.trim());
    });
    void suggestNames();
  }

  show({ item, state, name, limit }: ListQuery): void {
    this.#item.value = item ?? '';
    this.#state.value = state ?? '';
    this.#name.value = name ?? '';
    this.#limit.value = String(limit);
  }

  /** Filters the list by an item. */
  useItem(item: string): void {
    this.#item.value = item;
    this.#item.dispatchEvent(new Event('change', { bubbles: true }));
    this.#item.focus();
  }

  focusSearch(): void {
    this.#id.focus();
    this.#id.select();
  }

  #read(): ListQuery {
    return {
      item: this.#item.value.trim() || null,
      state: (this.#state.value || null) as TaskState | null,
      name: this.#name.value.trim() || null,
      limit: Number(this.#limit.value),
    };
  }

  async #find(id: string): Promise<void> {
    const problem = byId('find-problem', HTMLElement);
    if (id === '') return;
    try {
      await read<Task>(taskPath(id));
      location.assign(new URL(taskPath(id), ROOT));
    } catch (error) {
      showProblem(
        problem,
        error instanceof ApiError && error.status === 404
          ? new Error(`Task ${id} not found: it never existed or its retention has expired.`)
          : error,
      );
      this.#id.focus();
    }
  }
}

async function suggestNames(): Promise<void> {
  const { definitions } = await read<Definitions>('definitions').catch(() => ({ definitions: [] }));
  byId('names', HTMLDataListElement).append(...definitions.map(({ name }) => element('option', { value: name })));
}
