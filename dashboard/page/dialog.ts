import { element, showProblem } from './element.js';

export interface DialogStep {
  readonly title: string;
  /** What it is about, above the form's fields. */
  readonly content: readonly Node[];
  /** The button that goes on. */
  readonly action: string;
  /** The button is red: something ends. */
  readonly dangerous: boolean;
  /** Called with the button; the dialog shows what it throws, and stays. Null: done. */
  readonly go: () => Promise<DialogStep | null>;
}

/**
 * Shows a dialog, step by step, until it is done or given up. The browser keeps the keyboard within it, ends it with
 * Escape, and gives the focus back to where it was; if that is gone, `fallback` gets it.
 */
export async function runDialog(first: DialogStep, fallback: HTMLElement): Promise<void> {
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
  const go = async (): Promise<void> => {
    button.disabled = true;
    try {
      const next = await step.go();
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
    void go();
  });
  document.body.append(dialog);
  const closed = new Promise<void>((resolve) => dialog.addEventListener('close', () => resolve(), { once: true }));
  dialog.showModal();
  show();
  await closed;
  dialog.remove();
  if (document.activeElement === document.body || document.activeElement === null) fallback.focus();
}
