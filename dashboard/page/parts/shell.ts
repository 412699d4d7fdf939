import { ROOT, me } from './api.js';
import type { Me } from './api-types.js';
import { byId, element, setText } from './element.js';
import type { LinkState } from './event-stream.js';

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
