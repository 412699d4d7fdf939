import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Request, Response } from 'express';
import { basePathOf, linkRootOf, publicUrlOf } from './base-path.js';
import { fillIn, readHtml, sendHtml } from './html.js';

/** What a browser shows for a status: a title, and what to do. */
interface Advice {
  readonly title: string;
  readonly hint: string;
}

interface ShownProblem {
  readonly status: number;
  readonly detail: string;
  readonly request_id: string | null;
}

const ADVICE: Readonly<Record<number, Advice>> = {
  401: { title: 'Sign in', hint: 'Sign in where this dashboard is embedded, then come back.' },
  403: { title: 'No access', hint: 'Ask an administrator of the fleet, or sign in with another token.' },
  404: { title: 'Not found', hint: 'The address may be mistyped, or it belongs to a part of the dashboard that this fleet does not have.' },
  429: { title: 'Too many requests', hint: 'The limit is per caller and minute.' },
  503: { title: 'The fleet is unavailable', hint: 'Tasks that run go on, and nothing that was accepted is lost.' },
};
const FALLBACK_HINT = 'The log of the dashboard has the details.';
/** How often the page tries the address again, in ms. */
const RETRY_MS = { unavailable: 2_000, other: 10_000 } as const;

/** Returns whether a browser asks for a page, not a program for data. */
export function wantsPage(req: IncomingMessage, res: Pick<Response, 'locals'>): boolean {
  const { method, headers } = req;
  if ((method !== 'GET' && method !== 'HEAD') || !(headers.accept ?? '').includes('text/html')) return false;
  return !/^\/(?:board\/)?api(?:\/|$)/.test(pathBelow(req, res));
}

/**
 * Sends a problem as a page that tries the address again and goes on to it once it answers otherwise: a 503 every two seconds, other
 * problems every ten.
 */
export async function sendProblemPage(req: Request, res: Response, { status, detail, request_id: requestId }: ShownProblem): Promise<void> {
  const { title, hint } = ADVICE[status] ?? { title: STATUS_CODES[status] ?? 'Error', hint: FALLBACK_HINT };
  const retryMs = status === 503 ? RETRY_MS.unavailable : RETRY_MS.other;
  const root = rootOf(req, res);
  const html = fillIn(await readHtml('problem'), {
    ...{ root, title, hint, status: String(status), detail: escapeHtml(detail), requestId: escapeHtml(requestId ?? '–') },
    ...{ retryMs: String(retryMs), retryS: String(retryMs / 1_000) },
    signIn: signInLink(req, res, status, root),
  });
  sendHtml(res, status, html, status === 503 ? { 'Retry-After': String(RETRY_MS.unavailable / 1_000) } : {});
}

/** Offers another sign-in to the user of a session. */
function signInLink(req: Request, res: Response, status: number, root: string): string {
  const { principal } = res.locals as { principal?: { via?: string } };
  if (status !== 403 || principal?.via !== 'session') return '';
  return `<a href="${root}sign-in?next=${encodeURIComponent(publicUrlOf(req, res))}">Sign in with another token</a>`;
}

/** Returns the path from the requested page to the dashboard. */
function rootOf(req: Request, res: Response): string {
  return linkRootOf(res, '../'.repeat(Math.max(0, pathBelow(req, res).split('/').length - 2)) || './');
}

/** Returns the path of the request below the dashboard's. */
function pathBelow(req: IncomingMessage, res: Pick<Response, 'locals'>): string {
  const path = publicUrlOf(req, res).replace(/[?#].*$/s, '');
  const base = basePathOf(res);
  return path.startsWith(base) ? path.slice(base.length) : path;
}

export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
