import { byId, element, setText } from '../dom.js';

/** How long the outcome of a click stays, in ms; an error stays until the next click. */
const SHOWN_MS = 8_000;
const GAP_PX = 6;
const EDGE_PX = 8;

/** The outcome of a click: text, or text with links. */
export type Outcome = string | readonly (Node | string)[];

/** Shows the message of an error; hides the element for null. */
export function showProblem(target: HTMLElement, error: unknown): void {
  target.hidden = error === null;
  setText(target, error === null ? '' : messageOf(error));
}

/** Announces a text to screen readers. */
export function announce(text: string): void {
  byId('spoken', HTMLElement).textContent = text;
}

/**
 * Runs the action of a button, which is disabled meanwhile, and shows the outcome or the error beside the button. Without an outcome,
 * nothing is shown.
 */
export async function runWithFeedback(button: HTMLButtonElement, action: () => Promise<Outcome | null>): Promise<void> {
  const hadFocus = document.activeElement === button;
  button.disabled = true;
  button.setAttribute('aria-busy', 'true');
  closeBubble();
  try {
    const outcome = await action();
    if (outcome !== null) showBeside(button, outcome, 'done');
  } catch (error) {
    showBeside(button, messageOf(error), 'problem');
  } finally {
    button.disabled = false;
    button.removeAttribute('aria-busy');
    if (hadFocus && button.isConnected) button.focus();
  }
}

let bubble: HTMLElement | null = null;
let resizes = new AbortController();

/** Shows an outcome beside the element that was clicked, without moving the page. The next one replaces it. */
export function showBeside(anchor: Element, outcome: Outcome, kind: 'done' | 'problem'): void {
  closeBubble();
  const parts = typeof outcome === 'string' ? [outcome] : outcome;
  const shown = element('div', { class: 'bubble', 'data-kind': kind, role: 'group', 'aria-label': 'Outcome' }, ...parts);
  const close = element('button', { type: 'button', class: 'link', 'aria-label': 'Dismiss', click: closeBubble }, '✕');
  shown.append(' ', close);
  // Inside an open dialog, which covers everything else; otherwise inside a landmark.
  (anchor.closest('dialog') ?? document.querySelector('main') ?? document.body).append(shown);
  place(shown, anchor);
  window.addEventListener('resize', () => place(shown, anchor), { signal: (resizes = new AbortController()).signal });
  bubble = shown;
  announce(parts.map((part) => (typeof part === 'string' ? part : part.textContent)).join(''));
  if (kind === 'done') window.setTimeout(() => bubble === shown && !shown.matches(':hover, :focus-within') && closeBubble(), SHOWN_MS);
}

function place(shown: HTMLElement, anchor: Element): void {
  // At the edge, it would be as narrow as what is left there.
  shown.style.left = '0';
  const { left, bottom, top } = anchor.getBoundingClientRect();
  const { width, height } = shown.getBoundingClientRect();
  const below = bottom + GAP_PX + height < window.innerHeight;
  // The page, an open dialog, or the main part of a stale page, whose filter makes it the reference.
  const from = (shown.offsetParent ?? document.body).getBoundingClientRect();
  shown.style.left = `${Math.max(EDGE_PX, Math.min(left, document.documentElement.clientWidth - width - EDGE_PX)) - from.left}px`;
  shown.style.top = `${(below ? bottom + GAP_PX : top - GAP_PX - height) - from.top}px`;
}

function closeBubble(): void {
  bubble?.remove();
  bubble = null;
  resizes.abort();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'Something went wrong.';
}
