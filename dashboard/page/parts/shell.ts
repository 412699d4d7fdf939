import type { Me } from './api-types.js';
import { type LinkState, ROOT, me } from './api.js';

type Attribute = string | number | boolean | ((event: Event) => void);
type Child = Node | string | null;

/**
 * Creates an element. A function attribute becomes a listener for the event of that name; true becomes an attribute without a value,
 * and false is left out. Text is inserted as text, never as markup.
 */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, Attribute>> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  const created = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') created.addEventListener(key, value);
    else if (value !== false) created.setAttribute(key, value === true ? '' : String(value));
  }
  created.append(...children.filter((child) => child !== null));
  return created;
}

/** Returns the page's element with this id. @throws if it is missing or of another kind */
export function byId<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`The page has no ${kind.name} with the id ${id}.`);
}

/** Sets the text if it differs, to avoid repaints. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node: Element, name: string, value: string | null): void {
  if (node.getAttribute(name) === value) return;
  if (value === null) node.removeAttribute(name);
  else node.setAttribute(name, value);
}

/** Creates a `time` element in the user's locale, with the ISO 8601 time as its tooltip. */
export function moment(iso: string | null): HTMLElement {
  if (iso === null) return element('span', {}, '–');
  const date = new Date(iso);
  return element('time', { datetime: iso, title: iso }, `${date.toLocaleDateString()} ${date.toLocaleTimeString()}`);
}

/** Shows the message of an error; hides the element for null. */
export function showProblem(target: HTMLElement, error: unknown): void {
  target.hidden = error === null;
  setText(target, error === null ? '' : error instanceof Error ? error.message : 'Something went wrong.');
}

/** Registers keyboard shortcuts, inactive in form fields and dialogs. */
export function onKeys(actions: Readonly<Record<string, () => void>>): void {
  document.addEventListener('keydown', (event) => {
    const action = actions[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof Element && event.target.closest('input, select, textarea, dialog')) return;
    event.preventDefault();
    action();
  });
}

const LINKS: Readonly<Record<LinkState, string>> = { connecting: '◌ connecting …', live: '● live', lost: '○ reconnecting …', ended: '' };

/** Sets up the header: current page, user and sign-out. Returns the user. */
export async function startShell(): Promise<Me> {
  for (const link of document.querySelectorAll('header nav a')) {
    if ((link as HTMLAnchorElement).pathname === location.pathname) link.setAttribute('aria-current', 'page');
  }
  const principal = await me();
  setText(byId('who', HTMLElement), `${principal.name} · ${principal.role}`);
  byId('board-link', HTMLElement).hidden = principal.items !== null;
  if (principal.via === 'session') addSignOut(principal);
  return principal;
}

/** Shows the connection state in the header. */
export function showLink(state: LinkState): void {
  const place = byId('link', HTMLElement);
  place.dataset['state'] = state;
  setText(place, LINKS[state]);
}

/** Calls `refresh` now and at an interval while the page is visible. An error shows as a lost connection. */
export function refreshEvery(refresh: () => Promise<void>, intervalMs: number): void {
  const run = async (): Promise<void> => {
    try {
      if (!document.hidden) await refresh();
      showLink('live');
    } catch {
      showLink('lost');
    }
    window.setTimeout(() => void run(), intervalMs);
  };
  showLink('connecting');
  void run();
}

function addSignOut({ csrf_token: csrf }: Me): void {
  const form = element(
    'form',
    { method: 'post', action: new URL('sign-out', ROOT).href },
    element('input', { type: 'hidden', name: 'csrf_token', value: csrf ?? '' }),
    element('button', { type: 'submit' }, 'Sign out'),
  );
  byId('account', HTMLElement).append(form);
}
