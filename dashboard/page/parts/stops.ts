import type { Receipt, Task } from './api-types.js';
import { ApiError, read, taskPath, write } from './api.js';
import { element, setText } from './shell.js';
import { type ItemAnswer, itemPath } from './stop-dialogs.js';
import { isTerminal } from './task-set.js';
import { count, receiptOf, receiptText } from './wording.js';

/** A stop requested on this page, for one or more tasks. */
interface StopRequest {
  readonly subject: string;
  readonly line: HTMLLIElement;
  readonly text: HTMLElement;
  readonly receipts: Map<string, Receipt>;
}

const WAIT_MS = 1_000;
const POLL_MS = 2_000;
/** Unsettled tasks to fetch per poll. */
const POLL_BATCH = 10;
const SHOWN = 20;

/** Stops tasks and shows each receipt until it is settled; the outcome is announced to screen readers. */
export class Stops {
  readonly #section: HTMLElement;
  readonly #list: HTMLOListElement;
  readonly #spoken: HTMLElement;
  readonly #requests: StopRequest[] = [];
  #polling = false;

  constructor(section: HTMLElement, spoken: HTMLElement) {
    this.#section = section;
    this.#spoken = spoken;
    this.#list = element('ol', { class: 'receipts' });
    section.append(element('h2', {}, 'Your stop requests'), this.#list);
  }

  stopTask({ id }: Task, reason: string): void {
    const request = this.#add(id);
    void this.#send(request, async () => [await write<Receipt>(`${taskPath(id)}/stop?wait_ms=${WAIT_MS}`, bodyOf(reason))]);
  }

  stopItem(item: string, reason: string): void {
    const request = this.#add(`All tasks of ${item}`);
    void this.#send(request, async () => (await write<ItemAnswer>(`${itemPath(item)}?wait_ms=${WAIT_MS}`, bodyOf(reason))).receipts);
  }

  /** Settles this page's stop request for the task, if the task has finished. */
  note(task: Task): void {
    if (!isTerminal(task.state)) return;
    for (const request of this.#requests) {
      if (request.receipts.get(task.id)?.outcome === 'requested') this.#settle(request, [receiptOf(task)]);
    }
  }

  #add(subject: string): StopRequest {
    const text = element('span', {}, 'requesting the stop …');
    const line = element('li', {}, element('strong', { class: 'id' }, subject), ' ', text);
    const request: StopRequest = { subject, line, text, receipts: new Map() };
    this.#requests.unshift(request);
    this.#list.prepend(line);
    for (const old of this.#requests.splice(SHOWN)) old.line.remove();
    this.#section.hidden = false;
    return request;
  }

  async #send(request: StopRequest, send: () => Promise<readonly Receipt[]>): Promise<void> {
    try {
      this.#settle(request, await send());
    } catch (error) {
      if (error instanceof ApiError && error.receipt) return this.#settle(request, [error.receipt]);
      this.#report(request, error instanceof Error ? error.message : 'Something went wrong.', 'problem');
    }
  }

  #settle(request: StopRequest, receipts: readonly Receipt[]): void {
    for (const receipt of receipts) request.receipts.set(receipt.id, receipt);
    const all = [...request.receipts.values()];
    const unsettled = all.filter(({ outcome }) => outcome === 'requested').length;
    const [only] = all;
    this.#report(request, all.length === 1 && only ? sentence(only) : summary(all), unsettled > 0 ? 'open' : 'settled');
    if (unsettled > 0) void this.#poll();
  }

  #report({ subject, line, text }: StopRequest, message: string, state: 'open' | 'settled' | 'problem'): void {
    line.dataset['state'] = state;
    if (text.textContent === message) return;
    setText(text, message);
    this.#spoken.textContent = `${subject}: ${message}`;
  }

  /** Polls unsettled tasks: the live list misses those on other pages, and all of them while disconnected. */
  async #poll(): Promise<void> {
    if (this.#polling) return;
    this.#polling = true;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      const ids = this.#requests.flatMap(({ receipts }) =>
        [...receipts.values()].filter(({ outcome }) => outcome === 'requested').map(({ id }) => id),
      );
      if (ids.length === 0) break;
      const tasks = await Promise.all([...new Set(ids)].slice(0, POLL_BATCH).map((id) => read<Task>(taskPath(id)).catch(() => null)));
      for (const task of tasks) if (task) this.note(task);
    }
    this.#polling = false;
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
      : [`${number} ${{ cancelled: 'cancelled', requested: 'not settled yet', finished: 'already finished' }[outcome]}`];
  });
  return `${count(receipts.length, 'task')}: ${parts.join(', ') || 'nothing to stop'}`;
}
