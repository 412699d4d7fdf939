import type { InvalidPlan, Plan, TaskEvent } from '../../producer/index.js';
import { quote } from '../../shared/keys.js';
import { type BillingInitPlansOutput, type BillingPlanLine, billingPlanLine } from '../../worker/builtin/definitions.js';
import type { Io } from '../io.js';
import { oneLine, printData, say } from './output.js';
import { ProgressBar } from './progress.js';
import { renderTable } from './table.js';

const COLUMNS = [
  { header: 'ID' },
  { header: 'NAME', flexible: true },
  { header: 'PRICE' },
  { header: 'INTERVAL' },
  { header: 'ACTIVE' },
  { header: 'CODE' },
  { header: 'ENDS' },
] as const;

/** Formats an amount of minor units: `12.00 USD`, `1200 JPY`. */
export function formatMoney(amount: number, currency: string): string {
  const digits = new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits ?? 2;
  // String arithmetic, because division would lose the last digits of large amounts.
  const text = String(amount).padStart(digits + 1, '0');
  return `${digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`} ${currency}`;
}

/** Formats plans as table lines. */
export function planTable(plans: readonly Plan[], now: Date, width: number): string[] {
  const prices = plans.map(({ price, currency }) => formatMoney(price, currency));
  const widest = Math.max(...prices.map(({ length }) => length));
  const rows = plans.map(({ id, name, interval, active, promo }, index) => [
    id,
    oneLine(name),
    (prices[index] as string).padStart(widest),
    interval,
    active ? 'yes' : 'no',
    promo ? promo.code : '-',
    promo ? endText(promo.endsAt, now) : '-',
  ]);
  return renderTable(COLUMNS, rows, width);
}

function endText(endsAt: Date, now: Date): string {
  return `${endsAt.toISOString().slice(0, 10)}${now < endsAt ? '' : ' (over)'}`;
}

export function invalidPlanText({ id, problem }: InvalidPlan): string {
  return oneLine(`Skipping plan ${quote(id)}, which is invalid: ${problem}`);
}

/** Formats the outcome for one plan, in columns wide enough for the templates. */
export function planLine({ outcome, plan, name, price, currency, interval, active }: BillingPlanLine): string {
  const note = active ? '' : '  (not active)';
  const amount = formatMoney(price, currency).padStart(11);
  return `${outcome}  ${oneLine(plan).padEnd(15)}  ${amount} / ${interval.padEnd(5)}  ${oneLine(name)}${note}`;
}

export function summaryText({ created, updated, skipped, total }: BillingInitPlansOutput): string {
  return `created ${created}, updated ${updated}, skipped ${skipped}, total ${total}`;
}

/** Prints a line for each plan of a `billing.init-plans` run, with a progress bar below on a terminal. */
export class PlanOutput {
  readonly #bar: ProgressBar | null;

  constructor(
    private readonly io: Io,
    private readonly show: { readonly lines: boolean; readonly bar: boolean },
  ) {
    this.#bar = show.bar ? new ProgressBar(io.stderr) : null;
  }

  event(event: TaskEvent): void {
    if (event.type === 'progress') this.#bar?.update(event.progress);
    if (event.type !== 'chunk' || !this.show.lines) return;
    const line = billingPlanLine.safeParse(event.chunk);
    if (line.success) this.#above(() => printData(this.io, planLine(line.data)));
  }

  /** Prints a notice for the user. */
  notice(text: string): void {
    this.#above(() => say(this.io, text));
  }

  #above(print: () => void): void {
    this.#bar?.hide();
    print();
    this.#bar?.show();
  }

  /** Clears the progress bar. */
  close(): void {
    this.#bar?.hide();
  }
}
