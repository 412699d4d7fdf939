import type { TaskEvent } from '../../producer/index.js';
import { billingPlanLine } from '../../worker/builtin/definitions.js';
import { printData, say } from './output.js';
import { planLine } from './plan-text.js';
import { ProgressBar } from './progress.js';

/** Prints a line for each plan of a `billing.init-plans` run, with a progress bar below on a terminal. */
export class PlanOutput {
  readonly #lines: boolean;
  readonly #bar: ProgressBar | null;

  constructor({ lines, bar }: { readonly lines: boolean; readonly bar: boolean }) {
    this.#lines = lines;
    this.#bar = bar ? new ProgressBar(process.stderr) : null;
  }

  event(event: TaskEvent): void {
    if (event.type === 'progress') this.#bar?.update(event.progress);
    if (event.type !== 'chunk' || !this.#lines) return;
    const line = billingPlanLine.safeParse(event.chunk);
    if (line.success) this.#above(() => printData(planLine(line.data)));
  }

  /** Prints a notice for the user. */
  notice(text: string): void {
    this.#above(() => say(text));
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
