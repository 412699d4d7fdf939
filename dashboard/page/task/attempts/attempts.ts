import type { Attempt, Failure, Task } from '../../parts/api-types.js';
import { element } from '../../parts/dom.js';
import { exactMoment, timeElement } from '../../parts/ui/time.js';
import { span } from '../../parts/wording.js';
import { explanationOf, failureTitle, outcomeOf, retryDelayOf, runTimeOf, workerOf } from './attempt-text.js';

type Shown = Pick<Task, 'attempts' | 'max_attempts' | 'enqueued_at' | 'next_attempt_at'>;

/**
 * The timeline of a task, the newest first: when the next attempt is due, the attempts, and the enqueue. Rewritten only if it changed, so
 * that opened stack traces stay open.
 */
export class AttemptList {
  #shown = '';
  #running: { readonly attempt: Attempt; readonly time: HTMLElement } | null = null;

  constructor(private readonly list: HTMLElement) {}

  show({ attempts, max_attempts: most, enqueued_at: enqueuedAt, next_attempt_at: nextAt }: Shown, now: number): void {
    const text = JSON.stringify([attempts, most, enqueuedAt, nextAt]);
    if (text === this.#shown) return;
    this.#shown = text;
    this.#running = null;
    const all = attempts ?? [];
    this.list.replaceChildren(
      ...(nextAt === null ? [] : [milestone('next', 'Next attempt', timeElement(nextAt, 'due'))]),
      ...all.toReversed().map((attempt) => this.#entry(attempt, most, now)),
      ...(enqueuedAt === null ? [] : [milestone('enqueued', 'Enqueued', exactMoment(enqueuedAt), waitText(enqueuedAt, all))]),
    );
  }

  /** Updates the run time of the running attempt. */
  tick(now: number): void {
    if (this.#running) this.#running.time.textContent = runTimeOf(this.#running.attempt, now);
  }

  #entry(attempt: Attempt, most: number | null, now: number): HTMLElement {
    const { number, worker, outcome, error } = attempt;
    const explanation = explanationOf(attempt);
    const retried = retryDelayOf(attempt);
    const time = element('span', {}, runTimeOf(attempt, now));
    if (outcome === null) this.#running = { attempt, time };
    const title = number === 0 ? 'Attempt' : `Attempt ${number}${most === null ? '' : ` of ${most}`}`;
    return element(
      'li',
      { 'data-outcome': outcome ?? 'running' },
      element(
        'p',
        { class: 'attempt-line' },
        element('strong', {}, title),
        element('span', { class: 'outcome' }, outcomeOf(attempt)),
        time,
        element('span', { class: 'soft' }, exactMoment(attempt.started_at)),
        element('span', { class: 'worker', title: worker?.id ?? '' }, workerOf(attempt)),
        retried === null ? null : element('span', { class: 'soft' }, `retry ${retried}`),
      ),
      explanation === null ? null : element('p', { class: 'soft' }, explanation),
      error === null ? null : failureBlock(error),
    );
  }
}

function milestone(kind: 'next' | 'enqueued', title: string, time: HTMLElement, note = ''): HTMLElement {
  const soft = element('span', { class: 'soft' }, note);
  return element('li', { 'data-outcome': kind }, element('p', { class: 'attempt-line' }, element('strong', {}, title), time, soft));
}

/** Says how long a task waited for its first attempt; `''` if that is unknown. */
function waitText(enqueuedAt: string, [first]: readonly Attempt[]): string {
  if (first?.number !== 1 || first.started_at === null) return '';
  return `waited ${span(Math.max(0, Date.parse(first.started_at) - Date.parse(enqueuedAt)))}`;
}

/** Creates the block of a failure: its line, its stack behind a disclosure, then its cause and members. */
function failureBlock(failure: Failure, role: string | null = null): HTMLElement {
  const { stack, cause, errors } = failure;
  return element(
    'div',
    { class: 'failure' },
    element('p', {}, role === null ? null : element('span', { class: 'soft' }, `${role} `), failureTitle(failure)),
    stack === null ? null : element('details', {}, element('summary', {}, 'Stack'), element('pre', { tabindex: 0 }, stack)),
    ...errors.map((member, index) => failureBlock(member, `error ${index + 1} of ${errors.length}:`)),
    cause === null ? null : failureBlock(cause, 'caused by'),
  );
}
