import type { StateChange } from '../../parts/api-types.js';
import { element } from '../../parts/dom.js';
import { exactMoment } from '../../parts/ui/time.js';
import { changeText } from './attempt-text.js';

const SHOWN_CHANGES = 200;

/** The state changes of a task, the oldest first. */
export class History {
  /** By time and text: a new connection may begin with changes that are shown already. */
  readonly #seen = new Set<string>();

  constructor(
    private readonly list: HTMLElement,
    private readonly empty: HTMLElement,
  ) {}

  add(change: StateChange): void {
    const text = changeText(change);
    const key = `${change.at} ${text}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    this.empty.hidden = true;
    this.list.append(element('li', { 'data-state': change.state }, exactMoment(change.at), ` ${text}`));
    if (this.list.childElementCount > SHOWN_CHANGES) this.list.firstElementChild?.remove();
  }
}
