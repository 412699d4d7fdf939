import { element, setAttribute, setText } from '../parts/dom.js';
import { ENDED_STATES, LIVE_STATES, type TaskQuery, searchOf } from './query.js';
import { type Choice, type StateCounts, numberText, sumOf } from './state-counts.js';

/** States that are shown only if there are such tasks. */
const RARE: readonly Choice[] = ['waiting', 'stopping', 'skipped', 'unreadable'];
const TEXTS: Partial<Readonly<Record<Choice, string>>> = { live: 'All live', ended: 'All ended', all: 'All' };
const CHOICES: readonly Choice[] = ['live', ...LIVE_STATES, 'ended', ...ENDED_STATES, 'all'];

/** The states to choose from, with the number of tasks in each. They are links: a middle click opens another tab. */
export class StatesBar {
  readonly #links = new Map<Choice, { readonly link: HTMLAnchorElement; readonly count: HTMLElement }>();

  #query: TaskQuery;

  constructor(
    bar: HTMLElement,
    query: TaskQuery,
    private readonly choose: (query: TaskQuery) => void,
  ) {
    this.#query = query;
    for (const choice of CHOICES) {
      const count = element('span', { class: 'count' });
      const onClick = (event: Event): void => this.#onClick(choice, event as MouseEvent);
      const link = element('a', { 'data-choice': choice, click: onClick }, TEXTS[choice] ?? choice, ' ', count);
      this.#links.set(choice, { link, count });
    }
    bar.append(...[...this.#links.values()].map(({ link }) => link));
  }

  /** Shows the links for a query. A click with Ctrl, Shift or Meta adds a state to those that are chosen, or takes it away. */
  show(query: TaskQuery): void {
    this.#query = query;
    for (const [choice, { link }] of this.#links) {
      const isChosen = isIn(choice, query.states);
      link.href = `${location.pathname}${searchOf({ ...query, states: statesFor(choice) })}`;
      setAttribute(link, 'aria-current', isChosen ? 'true' : null);
      link.hidden = RARE.includes(choice) && !isChosen;
    }
  }

  #onClick(choice: Choice, event: MouseEvent): void {
    event.preventDefault();
    const isAdding = event.ctrlKey || event.metaKey || event.shiftKey;
    this.choose({ ...this.#query, states: isAdding ? toggled(choice, this.#query.states) : statesFor(choice) });
  }

  /** Shows the counts; null while they are unknown. */
  count(counts: StateCounts | null): void {
    for (const [choice, { link, count }] of this.#links) {
      const number = counts && sumOf(choice, counts);
      setText(count, number === null ? '' : numberText(number));
      setAttribute(link, 'data-empty', number?.count === 0 ? '' : null);
      if (RARE.includes(choice)) link.hidden = !link.hasAttribute('aria-current') && (number === null || number.count === 0);
    }
  }
}

function statesFor(choice: Choice): TaskQuery['states'] {
  return choice === 'live' || choice === 'ended' || choice === 'all' ? choice : [choice];
}

function isIn(choice: Choice, states: TaskQuery['states']): boolean {
  return typeof states === 'string' ? choice === states : states.some((state) => state === choice);
}

function toggled(choice: Choice, states: TaskQuery['states']): TaskQuery['states'] {
  if (choice === 'live' || choice === 'ended' || choice === 'all' || typeof states === 'string') return statesFor(choice);
  const others = states.filter((state) => state !== choice);
  return others.length === states.length ? [...states, choice] : others.length === 0 ? 'live' : others;
}
