import type { Task } from '../parts/api-types.js';
import { element } from '../parts/dom.js';
import { copyButton } from './commands-dialog.js';
import { valueTree } from './value-tree.js';

/** The result of a task, as a tree. Made again only if it has changed, so that opened branches stay open. */
export class ResultPanel {
  #shown = '';

  constructor(
    private readonly place: HTMLElement,
    private readonly empty: HTMLElement,
  ) {}

  show({ state, result }: Pick<Task, 'state' | 'result'>): void {
    this.empty.hidden = result !== null;
    this.empty.textContent = state === 'completed' ? 'The handler returned nothing.' : 'The task has not completed.';
    const json = result === null ? '' : JSON.stringify(result, null, 2);
    if (json === this.#shown) return;
    this.#shown = json;
    const size = `${json.length.toLocaleString('en')} characters`;
    const head = element('p', { class: 'soft' }, size, ' ', copyButton(json, 'the result'));
    this.place.replaceChildren(...(result === null ? [] : [head, valueTree(result)]));
  }
}
