import type { ServerResponse } from 'node:http';
import { type ErrorRequestHandler, type Request, type RequestHandler, Router } from 'express';
import { FleetError, isFleetError } from '../../shared/errors.js';
import { audit, auditRefusals } from './audit.js';
import { identify } from './authenticate.js';
import type { Authority } from './authority.js';
import { isCrossSite, isCsrfTokenOf } from './cross-site.js';
import type { Limits } from './limits.js';
import { nextPage } from './next-page.js';
import { formOf, readForm } from './read-form.js';
import type { Sessions } from './sessions.js';
import { SIGN_IN_STYLE, signInPage } from './sign-in-page.js';

export interface SignInOptions {
  readonly authority: Authority;
  readonly sessions: Sessions;
  readonly limits: Limits;
}

/**
 * The sign-in routes for browsers.
 * - `GET /sign-in?next=`: the sign-in form.
 * - `POST /sign-in` with `token` and `next`: 303 to the requested page, with the cookie of a new session.
 * - `POST /sign-out`, with `csrf_token` or `X-CSRF-Token`: ends the session, 303 to the form.
 */
export function signInRoutes({ authority, sessions, limits }: SignInOptions): Router {
  const router = Router({ caseSensitive: true });
  router.get('/sign-in', (req, res) =>
    sendPage(req, res, 200, { requested: new URL(req.url, 'http://here.invalid').searchParams.get('next'), problem: null }),
  );
  router.get('/sign-in.css', (_req, res) => send(res, 200, 'text/css; charset=utf-8', SIGN_IN_STYLE, 'public, max-age=3600'));
  router.post('/sign-in', ownPageOnly(), limits.signIns, readForm(), signIn(authority, sessions), auditRefusals('sign-in'), showProblem());
  router.post('/sign-out', readForm(), signOut(sessions), auditRefusals('sign-out'));
  return router;
}

function signIn(authority: Authority, sessions: Sessions): RequestHandler {
  return async (req, res) => {
    const { token, next } = formOf(req) as { token?: string; next?: string };
    const identity = token === undefined ? null : await identify(authority, token.trim(), res);
    if (identity === null) throw new FleetError('UNAUTHENTICATED', 'Invalid or expired token.');
    const { principal } = await sessions.begin(req, res, req.baseUrl, identity);
    Object.assign(res.locals, { principal });
    await audit(res, { action: 'sign-in', outcome: { allowed: 'signed in' } });
    redirect(res, nextPage(next, req.baseUrl));
  };
}

function signOut(sessions: Sessions): RequestHandler {
  return async (req, res) => {
    const session = await sessions.find(req);
    const given = req.headers['x-csrf-token'] ?? formOf(req)['csrf_token'];
    if (session) Object.assign(res.locals, { principal: session.principal });
    if (session && (isCrossSite(req) || !isCsrfTokenOf(session.id, given))) {
      throw new FleetError('FORBIDDEN', 'The sign-out did not come from a page of this dashboard.');
    }
    if (session) {
      await sessions.end(req, res, req.baseUrl);
      await audit(res, { action: 'sign-out', outcome: { allowed: 'signed out' } });
    }
    redirect(res, `${req.baseUrl}/sign-in`);
  };
}

/** Refuses cross-site sign-ins, which would sign a user in under another name unnoticed. @throws FleetError `FORBIDDEN` */
function ownPageOnly(): RequestHandler {
  return (req, _res, next) => {
    next(isCrossSite(req) ? new FleetError('FORBIDDEN', 'The sign-in did not come from a page of this dashboard.') : undefined);
  };
}

/** Answers browsers with the form and its error, other clients with a problem. */
function showProblem(): ErrorRequestHandler {
  return (error: unknown, req, res, next) => {
    if (!(req.headers.accept ?? '').includes('text/html')) return next(error);
    const show = (status: number, problem: string): void => sendPage(req, res, status, { requested: formOf(req)['next'], problem });
    if (isFleetError(error, 'UNAUTHENTICATED')) show(401, 'Invalid or expired token.');
    else if (isFleetError(error, 'FORBIDDEN')) show(403, error.message);
    else if (isFleetError(error, 'TOO_MANY_REQUESTS')) show(429, 'Too many failed sign-ins. Try again in a few minutes.');
    else if (isFleetError(error, 'REDIS_UNAVAILABLE', 'KEYS_UNAVAILABLE', 'CLOSED'))
      show(503, 'The fleet is unavailable. Try again in a few seconds.');
    else next(error);
  };
}

function sendPage(
  req: Request,
  res: ServerResponse,
  status: number,
  { requested, problem }: { readonly requested: unknown; readonly problem: string | null },
): void {
  const { baseUrl: basePath } = req;
  send(res, status, 'text/html; charset=utf-8', signInPage({ basePath, next: nextPage(requested, basePath), problem }), 'no-store');
}

function send(res: ServerResponse, status: number, type: string, text: string, caching: string): void {
  res.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text), 'Cache-Control': caching }).end(text);
}

function redirect(res: ServerResponse, location: string): void {
  res.writeHead(303, { Location: location, 'Content-Length': 0, 'Cache-Control': 'no-store' }).end();
}
