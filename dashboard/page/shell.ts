import { ROOT, me } from './api.js';
import type { Me } from './api-types.js';
import { byId, element, setText } from './element.js';
import type { LinkState } from './event-stream.js';

const LINKS: Readonly<Record<LinkState, string>> = { connecting: '◌ connecting …', live: '● live', lost: '○ reconnecting …', ended: '' };

/** What all pages have around them: where one is, who one is, the way out. Resolves with who one is. */
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

/** Whether what is shown is fresh. */
export function showLink(state: LinkState): void {
  const place = byId('link', HTMLElement);
  place.dataset['state'] = state;
  setText(place, LINKS[state]);
}

/** Calls `refresh` now and every so often while the page is looked at. What it throws shows as a lost connection. */
export function keepFresh(refresh: () => Promise<void>, everyMs: number): void {
  const run = async (): Promise<void> => {
    try {
      if (!document.hidden) await refresh();
      showLink('live');
    } catch {
      showLink('lost');
    }
    window.setTimeout(() => void run(), everyMs);
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
