import { type Task, isTerminal } from '../parts/api-types.js';
import { ROOT, taskPath } from '../parts/api.js';
import { element, setAttribute, setText } from '../parts/dom.js';
import { setTime, timeElement } from '../parts/ui/time.js';
import { rowText } from '../parts/waiting-text.js';
import { attemptOf, nameOf, progressOf, span } from '../parts/wording.js';

/** Sets a condition of the filter, for a click on a value. */
export type FilterBy = (field: 'item' | 'tag' | 'worker' | 'queue', value: string) => void;
type Show = (cell: HTMLElement, task: Task) => void;

const parts = new WeakMap<HTMLElement, unknown>();

/** Returns the parts of a cell, which are made once. */
function partsOf<Parts extends Readonly<Record<string, Node>>>(cell: HTMLElement, make: () => Parts): Parts {
  const known = parts.get(cell) as Parts | undefined;
  if (known) return known;
  const made = make();
  parts.set(cell, made);
  cell.append(...Object.values(made));
  return made;
}

/** Writes a text that the cell may cut; its tooltip is the whole text. */
function showText(cell: HTMLElement, text: string | null): void {
  setText(cell, text === null || text === '' ? '–' : oneLine(text));
  setAttribute(cell, 'title', text === '' ? null : text);
}

/** The state, and when a delayed task is due. */
export const showState: Show = (cell, { state, next_attempt_at: nextAt }) => {
  const { pill, due } = partsOf(cell, () => ({
    pill: element('span', { class: 'state' }),
    due: timeElement(null, 'due'),
    mark: element('span', { class: 'mark', hidden: true }),
  }));
  setText(pill, state);
  setAttribute(pill, 'data-state', state);
  due.hidden = nextAt === null;
  setTime(due, nextAt);
};

/** The name with the id, which together link the task's page. */
export const showTask: Show = (cell, task) => {
  const { link } = partsOf(cell, () => ({
    link: element(
      'a',
      { class: 'task', href: new URL(taskPath(task.id), ROOT).href, title: task.id },
      element('span', { class: 'name' }),
      ' ',
    ),
  }));
  if (link.childElementCount === 1) link.append(element('span', { class: 'id' }, shortId(task.id)));
  setText(link.firstElementChild as HTMLElement, nameOf(task));
};

/** The item and the tags, each of which filters the list. */
export function showItem(filterBy: FilterBy): Show {
  return (cell, { item, tags }) => {
    const key = JSON.stringify([item, tags]);
    if (cell.dataset['key'] === key) return;
    cell.dataset['key'] = key;
    const choose = (field: 'item' | 'tag', value: string, style: string): HTMLElement =>
      element('button', { type: 'button', class: style, title: `Only ${field} ${value}`, click: () => filterBy(field, value) }, value);
    cell.replaceChildren(
      ...(item === null ? [] : [choose('item', item, 'link')]),
      ...tags.map((tag) => choose('tag', tag, 'chip')),
      ...(item === null && tags.length === 0 ? ['–'] : []),
    );
  };
}

/** A worker or queue, which filters the list. */
export function showChoice(field: 'worker' | 'queue', filterBy: FilterBy): Show {
  return (cell, task) => {
    const { button } = partsOf(cell, () => ({
      button: element('button', { type: 'button', class: 'link plain', click: () => button.value !== '' && filterBy(field, button.value) }),
    })) as { readonly button: HTMLButtonElement };
    const value = task[field];
    button.value = value ?? '';
    button.disabled = value === null;
    setText(button, value ?? '–');
    setAttribute(button, 'title', value === null ? null : `Only ${field} ${value}`);
  };
}

/** Progress of a running task; what a queued one waits for; else the error. */
export const showProgress: Show = (cell, task) => {
  const { bar, text } = partsOf(cell, () => ({ bar: element('progress', { max: 1, 'aria-hidden': 'true' }), text: element('span') }));
  const progress = isTerminal(task.state) && task.error !== null ? null : progressOf(task.progress);
  bar.hidden = progress?.fraction == null;
  if (progress?.fraction != null && bar.value !== progress.fraction) bar.value = progress.fraction;
  const waiting = rowText(task);
  const shown = waiting ?? progress?.text ?? outcomeText(task);
  setText(text, shown === null ? '–' : oneLine(shown));
  setAttribute(text, 'title', shown);
  setAttribute(text, 'class', shown !== null && shown === task.error ? 'error-line' : null);
};

export const showError: Show = (cell, { error }) => {
  const { text } = partsOf(cell, () => ({ text: element('span', { class: 'error-line' }) }));
  showText(text, error);
};

export const showWaiting: Show = (cell, task) => showText(cell, rowText(task) ?? (task.state === 'queued' ? 'a free slot' : null));

/** Why and by whom a task was stopped. */
export const showReason: Show = (cell, { stop }) =>
  showText(cell, stop === null ? null : [stop.reason ?? 'no reason', stop.by === null ? '' : `by ${stop.by}`].filter(Boolean).join(', '));

export const showOverlapped: Show = (cell, { skipped_for: other }) => showText(cell, other);
export const showAttempt: Show = (cell, task) => setText(cell, attemptOf(task));

export function showTime(of: (task: Task) => string | null, form: 'ago' | 'due'): Show {
  return (cell, task) => setTime(partsOf(cell, () => ({ time: timeElement(null, form) })).time, of(task));
}

/** How long a task has run, or ran from its last start to its end. */
export const showRun: Show = (cell, { state, started_at: startedAt, finished_at: finishedAt }) => {
  const { time } = partsOf(cell, () => ({ time: timeElement(null, 'for') }));
  if (finishedAt === null) {
    time.dataset['form'] = 'for';
    return setTime(time, state === 'running' || state === 'stopping' ? startedAt : null);
  }
  for (const name of ['datetime', 'data-form', 'title']) time.removeAttribute(name);
  setText(time, startedAt === null ? '–' : span(Math.max(0, Date.parse(finishedAt) - Date.parse(startedAt))));
};

function outcomeText({ state, error, stop, skipped_for: other }: Task): string | null {
  if (state === 'cancelled' && stop !== null) return stop.reason ?? error;
  return state === 'skipped' && other !== null ? `overlapped ${other}` : error;
}

/** Shortens a UUID to its end: its beginning is the time, which neighbours share. */
export function shortId(id: string): string {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(id) ? `…${id.slice(-8)}` : id;
}

/** Returns the first line of a text. */
function oneLine(text: string): string {
  return text.trimStart().split('\n', 1)[0] ?? '';
}
