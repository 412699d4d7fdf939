import { element } from '../dom.js';
import { showProblem } from './feedback.js';

export interface DialogStep {
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
export async function runDialog(first: DialogStep, fallback: HTMLElement): Promise<void> {
  const heading = element('h2', { id: 'dialog-title' });
  const content = element('div', { class: 'dialog-content' });
  const problem = element('p', { class: 'problem', role: 'alert', hidden: true });
  const button = element('button', { type: 'submit', 'data-writes': true });
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

interface Confirmation {
  readonly title: string;
  readonly content?: readonly (Node | string)[];
  readonly action: string;
  readonly dangerous?: boolean;
  /** The label of the field for a reason; without it, no reason is asked for. */
  readonly reason?: string;
}

/** Asks for confirmation, and for a reason. Returns null if cancelled; the reason is `''` if none was given. */
export async function confirmed(
  { title, content = [], action, dangerous = false, reason }: Confirmation,
  fallback: HTMLElement,
): Promise<{ readonly reason: string } | null> {
  const field = reasonField(reason);
  let answer: { readonly reason: string } | null = null;
  const step: DialogStep = {
    ...{ title, action, dangerous },
    content: [
      ...content.map((part) => (typeof part === 'string' ? element('p', {}, part) : part)),
      ...(reason === undefined ? [] : [field.field]),
    ],
    submit: () => {
      answer = { reason: field.value() };
      return Promise.resolve(null);
    },
  };
  await runDialog(step, fallback);
  return answer;
}

const MAX_REASON = 500;

/** Creates the field for a reason. */
export function reasonField(label = 'Reason (optional)'): { readonly field: HTMLElement; readonly value: () => string } {
  const input = element('input', { type: 'text', id: 'dialog-reason', maxlength: MAX_REASON, autocomplete: 'off' });
  return { field: labelled(label, input), value: () => input.value.trim() };
}

/** Wraps an input, which has an id, with its label. */
export function labelled(label: string, input: HTMLElement): HTMLElement {
  return element('div', { class: 'field' }, element('label', { for: input.id }, label), input);
}

/** Creates a list of terms with their values. */
export function termList(pairs: readonly (readonly [string, string])[]): HTMLElement {
  return element('dl', {}, ...pairs.map(([term, text]) => element('div', {}, element('dt', {}, term), element('dd', {}, text))));
}
