import { ApiError, read, taskPath, write } from './api.js';
import type { Receipt, Task } from './api-types.js';
import { element, setText } from './element.js';
import { type ItemAnswer, itemPath } from './stop-dialogs.js';
import { isTerminal } from './task-set.js';
import { count, receiptOf, receiptText } from './wording.js';

/** A stop that was asked for on this page, of one task or of many. */
interface Asked {
  readonly what: string;
  readonly line: HTMLLIElement;
  readonly text: HTMLElement;
  readonly receipts: Map<string, Receipt>;
}

const WAIT_MS = 1_000;
const LOOK_MS = 2_000;
/** Asked for at once, of the stops that are not settled. */
const LOOKED_AT = 10;
const SHOWN = 20;

/** Stops tasks and shows the receipts, until each is settled; a screen reader hears how each ended. */
export class Stops {
  readonly #section: HTMLElement;
  readonly #list: HTMLOListElement;
  readonly #spoken: HTMLElement;
  readonly #asked: Asked[] = [];
  #looking = false;

  constructor(section: HTMLElement, spoken: HTMLElement) {
    this.#section = section;
    this.#spoken = spoken;
    this.#list = element('ol', { class: 'receipts' });
    section.append(element('h2', {}, 'Your stops'), this.#list);
  }

  stopTask({ id }: Task, reason: string): void {
    const asked = this.#add(id);
    void this.#ask(asked, async () => [await write<Receipt>(`${taskPath(id)}/stop?wait_ms=${WAIT_MS}`, bodyOf(reason))]);
  }

  stopItem(item: string, reason: string): void {
    const asked = this.#add(`All of ${item}`);
    void this.#ask(asked, async () => (await write<ItemAnswer>(`${itemPath(item)}?wait_ms=${WAIT_MS}`, bodyOf(reason))).receipts);
  }

  /** Somebody has seen this task: if its stop was asked for here, it may be settled now. */
  note(task: Task): void {
    if (!isTerminal(task.state)) return;
    for (const asked of this.#asked) {
      if (asked.receipts.get(task.id)?.outcome === 'requested') this.#settle(asked, [receiptOf(task)]);
    }
  }

  #add(what: string): Asked {
    const text = element('span', {}, 'asking for the stop …');
    const line = element('li', {}, element('strong', { class: 'id' }, what), ' ', text);
    const asked: Asked = { what, line, text, receipts: new Map() };
    this.#asked.unshift(asked);
    this.#list.prepend(line);
    for (const old of this.#asked.splice(SHOWN)) old.line.remove();
    this.#section.hidden = false;
    return asked;
  }

  async #ask(asked: Asked, send: () => Promise<readonly Receipt[]>): Promise<void> {
    try {
      this.#settle(asked, await send());
    } catch (error) {
      if (error instanceof ApiError && error.receipt) return this.#settle(asked, [error.receipt]);
      this.#say(asked, error instanceof Error ? error.message : 'Something went wrong.', 'problem');
    }
  }

  #settle(asked: Asked, receipts: readonly Receipt[]): void {
    for (const receipt of receipts) asked.receipts.set(receipt.id, receipt);
    const all = [...asked.receipts.values()];
    const open = all.filter(({ outcome }) => outcome === 'requested').length;
    const [only] = all;
    this.#say(asked, all.length === 1 && only ? sentence(only) : summary(all), open > 0 ? 'open' : 'settled');
    if (open > 0) void this.#look();
  }

  #say({ what, line, text }: Asked, words: string, state: 'open' | 'settled' | 'problem'): void {
    line.dataset['state'] = state;
    if (text.textContent === words) return;
    setText(text, words);
    this.#spoken.textContent = `${what}: ${words}`;
  }

  /** Until all is settled: what the live list does not tell of, because it is on another page or the connection is lost. */
  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      const ids = this.#asked.flatMap(({ receipts }) =>
        [...receipts.values()].filter(({ outcome }) => outcome === 'requested').map(({ id }) => id),
      );
      if (ids.length === 0) break;
      const tasks = await Promise.all([...new Set(ids)].slice(0, LOOKED_AT).map((id) => read<Task>(taskPath(id)).catch(() => null)));
      for (const task of tasks) if (task) this.note(task);
    }
    this.#looking = false;
  }
}

function bodyOf(reason: string): { reason?: string } {
  return reason === '' ? {} : { reason };
}

function sentence(receipt: Receipt): string {
  return `${receiptText(receipt)}${receipt.reason === null ? '' : `: ${receipt.reason}`}`;
}

function summary(receipts: readonly Receipt[]): string {
  const parts = (['cancelled', 'requested', 'finished'] as const).flatMap((outcome) => {
    const number = receipts.filter((receipt) => receipt.outcome === outcome).length;
    return number === 0
      ? []
      : [`${number} ${{ cancelled: 'cancelled', requested: 'not settled yet', finished: 'had ended before' }[outcome]}`];
  });
  return `${count(receipts.length, 'task')}: ${parts.join(', ') || 'nothing to stop'}`;
}
