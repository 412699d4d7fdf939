import type { TaskEvent } from '../producer/index.js';
import { billingPlanLine } from '../shared/task/builtin/index.js';
import { printData, say } from './output.js';
import { planLine } from './plan-text.js';
import { ProgressBar } from './progress.js';

/** Shows what a run of `billing.init-plans` does: a line for each plan, and on a terminal a bar below them. */
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

  /** For the person at the keyboard. */
  notice(text: string): void {
    this.#above(() => say(text));
  }

  #above(print: () => void): void {
    this.#bar?.hide();
    print();
    this.#bar?.show();
  }

  /** Leaves the terminal in order. */
  close(): void {
    this.#bar?.hide();
  }
}
