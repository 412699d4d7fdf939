import { TaskfleetError } from '../../client.js';
import type { Me } from '../api-types.js';
import { ROOT, me } from '../api.js';
import { byId, element, setText } from '../dom.js';
import { lost, watchConnection } from './connection.js';
import { startKeys } from './keys.js';
import { startPulse } from './pulse.js';

const RETRY_MS = 2_000;

/**
 * Sets up what all pages share: navigation, user and sign-out, connection state, banner and shortcuts. Returns the user, once the
 * server has named it.
 */
export async function startShell(): Promise<Me> {
  markCurrentPage();
  watchConnection();
  startKeys();
  const principal = await identify();
  setText(byId('who', HTMLElement), whoText(principal));
  for (const [id, shown] of [
    ['overview-link', principal.items === null],
    ['board-link', principal.items === null],
    ['audit-link', principal.role === 'admin'],
  ] as const)
    byId(id, HTMLElement).hidden = !shown;
  if (principal.via === 'session') addSignOut(principal);
  startPulse();
  return principal;
}

const MOST_PATTERNS = 3;

/** Names the user; a user with item patterns learns that the pages show these items only, and no figures of the whole fleet. */
function whoText({ name, role, items }: Me): string {
  if (items === null) return `${name} · ${role}`;
  const more = items.length > MOST_PATTERNS ? ` and ${items.length - MOST_PATTERNS} more` : '';
  return `${name} · ${role} · sees items ${items.slice(0, MOST_PATTERNS).join(', ')}${more} only`;
}

/** Without an answer the page says that it is stale, and tries again. */
async function identify(): Promise<Me> {
  for (;;) {
    try {
      return await me();
    } catch (error) {
      if (error instanceof TaskfleetError && error.status !== 0 && error.status < 500) throw error;
      lost('pulse', error);
      await new Promise((resolve) => window.setTimeout(resolve, RETRY_MS));
    }
  }
}

function markCurrentPage(): void {
  for (const link of document.querySelectorAll<HTMLAnchorElement>('header nav a')) {
    const isRoot = link.pathname === ROOT.pathname;
    if (link.pathname === location.pathname) link.setAttribute('aria-current', 'page');
    else if (!isRoot && location.pathname.startsWith(`${link.pathname}/`)) link.setAttribute('aria-current', 'true');
  }
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
