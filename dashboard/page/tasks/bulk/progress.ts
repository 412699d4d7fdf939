import { type Bulk, type BulkReceipts, isTerminal } from '../../parts/api-types.js';
import { ROOT, read, taskPath, write } from '../../parts/api.js';
import { element, setText } from '../../parts/dom.js';
import { actionButton } from '../../parts/ui/action.js';
import { announce } from '../../parts/ui/feedback.js';
import { bulkText, outcomeText } from './bulk-text.js';

const POLL_MS = 1_000;
const RETRY_MS = 3_000;
/** Receipts that are read at once. */
const RECEIPTS = 200;
const STORED = 'taskfleet.bulk';

/** The progress of a stop or retry of many tasks. It goes on without the page, which finds it again after a reload. */
export class BulkProgress {
  readonly #bar = element('progress', { max: 1, 'aria-hidden': 'true' });
  readonly #text = element('span', { class: 'bulk-text' });
  readonly #controls = element('div', { class: 'buttons' });
  readonly #receipts = element('ol', { class: 'ids' });
  readonly #details = element('details', {}, element('summary', {}, 'Receipts'), this.#receipts);
  #id: string | null = null;
  #next: string | null = null;

  /** @param ended called when the bulk has ended */
  constructor(
    private readonly section: HTMLElement,
    private readonly ended: () => void,
  ) {
    section.append(element('div', { class: 'bar actions' }, this.#bar, this.#text, this.#controls), this.#details);
    this.#details.addEventListener('toggle', () => this.#details.open && this.#receipts.childElementCount === 0 && void this.#readMore());
    const id = sessionStorage.getItem(STORED);
    if (id !== null) void this.#watch(id);
  }

  follow(bulk: Bulk): void {
    sessionStorage.setItem(STORED, bulk.id);
    this.#receipts.replaceChildren();
    this.#details.open = false;
    this.#next = null;
    this.#show(bulk);
    void this.#watch(bulk.id);
  }

  async #watch(id: string): Promise<void> {
    this.#id = id;
    for (;;) {
      const bulk = await read<Bulk>(`bulk/${encodeURIComponent(id)}`).catch((error: { status?: number }) =>
        error.status === 404 ? 'gone' : null,
      );
      if (this.#id !== id) return;
      if (bulk === 'gone') return this.#dismiss();
      if (bulk !== null) this.#show(bulk);
      if (bulk !== null && isTerminal(bulk.state)) break;
      await new Promise((resolve) => window.setTimeout(resolve, bulk === null ? RETRY_MS : POLL_MS));
    }
    announce(this.#text.textContent);
    this.ended();
  }

  #show(bulk: Bulk): void {
    const { total, done } = bulk;
    this.section.hidden = false;
    const over = isTerminal(bulk.state);
    if (total !== null && total > 0) this.#bar.value = Math.min(1, done / total);
    else if (!over) this.#bar.removeAttribute('value');
    this.#bar.hidden = over;
    setText(this.#text, bulkText(bulk));
    this.section.dataset['state'] = bulk.state;
    if (this.#controls.dataset['over'] === String(over) && this.#controls.dataset['id'] === bulk.id) return;
    this.#controls.dataset['over'] = String(over);
    this.#controls.dataset['id'] = bulk.id;
    const page = element('a', { href: new URL(taskPath(bulk.id), ROOT).href }, 'Its task');
    const end = actionButton({
      ...{ label: 'Stop this', subject: `${bulk.action} of many tasks` },
      run: async () => {
        await write(`bulk/${encodeURIComponent(bulk.id)}/stop`);
        return 'Stopping. Tasks that are done stay done.';
      },
    });
    const dismiss = element('button', { type: 'button', click: () => this.#dismiss() }, 'Dismiss');
    this.#controls.replaceChildren(page, over ? dismiss : end);
  }

  #dismiss(): void {
    sessionStorage.removeItem(STORED);
    this.#id = null;
    this.section.hidden = true;
  }

  async #readMore(): Promise<void> {
    const id = this.#id ?? this.#controls.dataset['id'] ?? '';
    const after = this.#next === null ? '' : `&after=${encodeURIComponent(this.#next)}`;
    const { receipts, next } = await read<BulkReceipts>(`bulk/${encodeURIComponent(id)}/receipts?limit=${RECEIPTS}${after}`);
    this.#next = next;
    this.#receipts.querySelector('.more')?.remove();
    this.#receipts.append(
      ...receipts.map((receipt) =>
        element(
          'li',
          {},
          element('a', { class: 'id', href: new URL(taskPath(receipt.id), ROOT).href }, receipt.id),
          ` ${outcomeText(receipt.outcome)}`,
        ),
      ),
    );
    if (next !== null)
      this.#receipts.append(
        element(
          'li',
          { class: 'more' },
          element('button', { type: 'button', class: 'link', click: () => void this.#readMore() }, 'More receipts'),
        ),
      );
  }
}
