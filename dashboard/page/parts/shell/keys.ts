import { ROOT } from '../api.js';
import { element } from '../dom.js';

interface Key {
  /** What the key does, for the help dialog: `Search`. */
  readonly does: string;
  readonly run: () => void;
}

const GO: Readonly<Record<string, readonly [path: string, title: string]>> = {
  ...{ o: ['', 'Overview'], t: ['tasks', 'Tasks'], q: ['queues', 'Queues'], w: ['workers', 'Workers'] },
  ...{ s: ['schedules', 'Schedules'], l: ['limits', 'Limits'], a: ['audit', 'Audit'] },
};
/** How long `g` waits for its second key, in ms. */
const GO_MS = 1_500;

const keys = new Map<string, Key>();
let going = 0;

/** Registers keyboard shortcuts of the page, inactive in form fields and dialogs. `?` lists them. */
export function useKeys(map: Readonly<Record<string, Key>>): void {
  for (const [key, value] of Object.entries(map)) keys.set(key, value);
}

/** Elements that use the keys themselves; boxes and radio buttons use the arrows and the space bar only. */
const TYPED_INTO = 'input:not([type="checkbox"], [type="radio"]), select, textarea, dialog';

/** Starts to listen for shortcuts: those of the page, `g` with a letter for another page, and `?`. */
export function startKeys(): void {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof Element && event.target.closest(TYPED_INTO)) return;
    const action = actionOf(event.key);
    if (action === null) return;
    event.preventDefault();
    action();
  });
}

function actionOf(key: string): (() => void) | null {
  const wasGoing = Date.now() < going;
  going = 0;
  if (key === '?') return showHelp;
  const target = wasGoing ? GO[key] : undefined;
  if (target) return () => location.assign(new URL(target[0], ROOT));
  if (key === 'g') return () => (going = Date.now() + GO_MS);
  return keys.get(key)?.run ?? null;
}

function showHelp(): void {
  const line = (shown: readonly string[], does: string): HTMLElement =>
    element('div', {}, element('dt', {}, ...shown.flatMap((key) => [element('kbd', {}, key), ' '])), element('dd', {}, does));
  const pages = Object.entries(GO).map(([key, [, title]]) => line(['g', key], title));
  const close = element('button', { type: 'button', click: () => dialog.close() }, 'Close');
  const dialog: HTMLDialogElement = element(
    'dialog',
    { 'aria-labelledby': 'keys-title', class: 'keys-help' },
    element('h2', { id: 'keys-title' }, 'Keyboard shortcuts'),
    element('dl', {}, ...[...keys].map(([key, { does }]) => line([key], does)), line(['?'], 'These shortcuts')),
    element('h3', {}, 'Go to'),
    element('dl', {}, ...pages),
    element('div', { class: 'buttons' }, close),
  );
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  close.focus();
}
