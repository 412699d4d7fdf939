import type { Receipt, Task } from './api-types.js';
import { write } from './api.js';
import { element, showProblem } from './shell.js';
import { count, nameOf } from './wording.js';

interface DialogStep {
  readonly title: string;
  /** The body, above the buttons. */
  readonly content: readonly Node[];
  /** The label of the submit button. */
  readonly action: string;
  /** Shows the submit button in red, for a destructive action. */
  readonly dangerous: boolean;
  /** Runs on submit. Returns the next step, or null to close; an error is shown and keeps the dialog open. */
  readonly submit: () => Promise<DialogStep | null>;
}

/**
 * Shows a dialog step by step until it is completed or cancelled. The browser traps the focus, closes the dialog on Escape and restores
 * the focus; if the focused element is gone, `fallback` is focused.
 */
async function runDialog(first: DialogStep, fallback: HTMLElement): Promise<void> {
  const heading = element('h2', { id: 'dialog-title' });
  const content = element('div', { class: 'dialog-content' });
  const problem = element('p', { class: 'problem', role: 'alert', hidden: true });
  const button = element('button', { type: 'submit' });
  const cancel = element('button', { type: 'button', click: () => dialog.close() }, 'Cancel');
  const form = element('form', { method: 'dialog' }, heading, content, problem, element('div', { class: 'buttons' }, cancel, button));
  const dialog = element('dialog', { 'aria-labelledby': 'dialog-title' }, form);
  let step = first;

  const show = (): void => {
    heading.textContent = step.title;
    content.replaceChildren(...step.content);
    button.textContent = step.action;
    button.classList.toggle('danger', step.dangerous);
    showProblem(problem, null);
    const field = content.querySelector<HTMLElement>('input, textarea');
    (field ?? button).focus();
  };
  const submit = async (): Promise<void> => {
    button.disabled = true;
    try {
      const next = await step.submit();
      if (next === null) return dialog.close();
      step = next;
      show();
    } catch (error) {
      showProblem(problem, error);
    } finally {
      button.disabled = false;
    }
  };

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void submit();
  });
  document.body.append(dialog);
  const closed = new Promise<void>((resolve) => dialog.addEventListener('close', () => resolve(), { once: true }));
  dialog.showModal();
  show();
  await closed;
  dialog.remove();
  if (document.activeElement === document.body || document.activeElement === null) fallback.focus();
}

/** The API's response to the stop of an item. */
export interface ItemAnswer {
  readonly dry_run: boolean;
  readonly receipts: readonly Receipt[];
}

const MAX_REASON = 500;
const SHOWN_IDS = 8;

/** Asks for confirmation and a reason, then calls `stop`, which need not wait for the stop to settle. */
export function askToStop(task: Task, fallback: HTMLElement, stop: (reason: string) => void): Promise<void> {
  const reason = reasonField();
  const step: DialogStep = {
    title: 'Stop this task?',
    content: [
      facts([
        ['Task', `${nameOf(task)} ${task.id}`],
        ['Item', task.item ?? '–'],
      ]),
      element('p', {}, 'The task is cancelled and will not run again unless it is retried.'),
      reason.field,
    ],
    action: 'Stop',
    dangerous: true,
    submit: () => {
      stop(reason.value());
      return Promise.resolve(null);
    },
  };
  return runDialog(step, fallback);
}

/** Asks for an item, lists its live tasks for confirmation, then calls `stop`. */
export function askToStopItem(item: string, fallback: HTMLElement, stop: (item: string, reason: string) => void): Promise<void> {
  const input = element('input', {
    type: 'text',
    id: 'dialog-item',
    required: true,
    maxlength: 256,
    autocomplete: 'off',
    spellcheck: 'false',
    value: item,
  });
  const step: DialogStep = {
    title: 'Stop all tasks of an item',
    content: [labelled('Item', input)],
    action: 'Find tasks',
    dangerous: false,
    submit: async () => confirmItem(input.value, await write<ItemAnswer>(itemPath(input.value), { dry_run: true }), stop),
  };
  return runDialog(step, fallback);
}

export function itemPath(item: string): string {
  return `items/${encodeURIComponent(item)}/stop`;
}

function confirmItem(item: string, { receipts }: ItemAnswer, stop: (item: string, reason: string) => void): DialogStep {
  const ids = receipts.map(({ id }) => id);
  if (ids.length === 0) {
    const text = element('p', {}, `${item} has no live tasks visible to you.`);
    return { title: 'Nothing to stop', content: [text], action: 'Close', dangerous: false, submit: () => Promise.resolve(null) };
  }
  const reason = reasonField();
  const more = ids.length > SHOWN_IDS ? [element('li', {}, `and ${ids.length - SHOWN_IDS} more`)] : [];
  return {
    title: `Stop ${count(ids.length, 'task')}?`,
    content: [
      element('p', {}, `Live tasks of ${item}:`),
      element('ul', { class: 'ids' }, ...ids.slice(0, SHOWN_IDS).map((id) => element('li', {}, id)), ...more),
      reason.field,
    ],
    action: `Stop ${count(ids.length, 'task')}`,
    dangerous: true,
    submit: () => {
      stop(item, reason.value());
      return Promise.resolve(null);
    },
  };
}

function reasonField(): { readonly field: HTMLElement; readonly value: () => string } {
  const input = element('input', { type: 'text', id: 'dialog-reason', maxlength: MAX_REASON, autocomplete: 'off' });
  return { field: labelled('Reason (optional, stored with the task)', input), value: () => input.value.trim() };
}

function labelled(label: string, input: HTMLInputElement): HTMLElement {
  return element('div', { class: 'field' }, element('label', { for: input.id }, label), input);
}

function facts(pairs: readonly (readonly [string, string])[]): HTMLElement {
  return element('dl', {}, ...pairs.map(([term, text]) => element('div', {}, element('dt', {}, term), element('dd', {}, text))));
}
