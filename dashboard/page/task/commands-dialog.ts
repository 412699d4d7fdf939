import type { Task } from '../parts/api-types.js';
import { ROOT } from '../parts/api.js';
import { element } from '../parts/dom.js';
import { showBeside } from '../parts/ui/feedback.js';
import { type PastedInput, commandsOf } from './commands.js';

/** Shows the commands about a task, each with a button that copies it. */
export function showCommands(task: Task, input: PastedInput): void {
  const line = (label: string, command: string): HTMLElement =>
    element(
      'div',
      { class: 'command' },
      element('dt', {}, label, ' ', copyButton(command, `the ${label} command`)),
      element('dd', {}, element('code', {}, command)),
    );
  const close = element('button', { type: 'button', click: () => dialog.close() }, 'Close');
  const hidden = input === null && task.name !== null;
  const dialog: HTMLDialogElement = element(
    'dialog',
    { 'aria-labelledby': 'commands-title', class: 'commands' },
    element('h2', { id: 'commands-title' }, 'Commands'),
    element('p', { class: 'soft' }, 'They read your token from the variable TASKFLEET_TOKEN.'),
    ...commandsOf(task, ROOT.href, input).flatMap(({ title, cli, curl }) => [
      element('h3', {}, title),
      element('dl', {}, line('CLI', cli), line('curl', curl)),
    ]),
    hidden
      ? element('p', { class: 'soft' }, 'The input is not shown here in full: put it into the file that the last command names.')
      : null,
    element('div', { class: 'buttons' }, close),
  );
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  close.focus();
}

/** Creates a button that copies a text. */
export function copyButton(text: string, subject: string): HTMLButtonElement {
  const button: HTMLButtonElement = element(
    'button',
    { type: 'button', class: 'copy', click: () => void copy(text, button) },
    'Copy',
    element('span', { class: 'sr-only' }, ` ${subject}`),
  );
  return button;
}

/** The clipboard is missing outside a secure context. */
async function copy(text: string, button: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    showBeside(button, 'Copied.', 'done');
  } catch {
    showBeside(button, 'The browser refused to copy. Select the text instead.', 'problem');
  }
}
