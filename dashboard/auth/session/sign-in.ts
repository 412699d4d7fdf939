import type { ServerResponse } from 'node:http';
import { type ErrorRequestHandler, type Request, type RequestHandler, Router, urlencoded } from 'express';
import { FleetError, isFleetError, messageOf } from '../../../shared/errors.js';
import { escapeHtml } from '../../http/problem-page.js';
import { audit, auditRefusals } from '../audit.js';
import { identify } from '../authenticate.js';
import type { Authority } from '../authority.js';
import type { Limits } from '../limits.js';
import { isCrossSite, isCsrfTokenOf } from './cookies.js';
import type { Sessions } from './sessions.js';

interface SignInOptions {
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

const MAX_FORM_BYTES = 32_768;
const parse = urlencoded({ extended: false, inflate: false, limit: MAX_FORM_BYTES, parameterLimit: 20 });

/** Reads a form body, unless the surrounding app has parsed it already. @throws FleetError `BODY_TOO_LARGE`, `BAD_REQUEST` */
function readForm(): RequestHandler {
  return (req, res, next) => {
    parse(req, res, (error?: unknown) => next(error === undefined ? undefined : explain(error)));
  };
}

function explain(error: unknown): FleetError {
  const tooLarge = error instanceof Error && 'status' in error && error.status === 413;
  if (tooLarge) return new FleetError('BODY_TOO_LARGE', `Expected a form of at most ${MAX_FORM_BYTES} bytes.`, { cause: error });
  return new FleetError('BAD_REQUEST', `Expected a form: ${messageOf(error)}.`, { cause: error });
}

/** Returns the text fields of a parsed body. */
function formOf({ body }: { readonly body?: unknown }): Readonly<Record<string, string | undefined>> {
  const fields = typeof body === 'object' && body !== null ? Object.entries(body) : [];
  return Object.fromEntries(fields.filter((field): field is [string, string] => typeof field[1] === 'string'));
}

/** A base for resolving relative URLs; never requested. */
const HERE = 'http://here.invalid';

/**
 * Returns the page to open after a sign-in: the requested one if it belongs to the dashboard, else the first page. Never another site.
 */
export function nextPage(requested: unknown, basePath: string): string {
  const first = `${basePath}/`;
  if (typeof requested !== 'string' || !requested.startsWith('/') || requested.length > 2_048 || !URL.canParse(requested, HERE))
    return first;
  // Parsed as browsers do: `\` becomes `/`, line breaks are dropped, `..` is resolved.
  const { origin, pathname, search, hash } = new URL(requested, HERE);
  if (origin !== HERE || pathname.startsWith('//') || !pathname.startsWith(first) || pathname.startsWith(`${basePath}/sign-`)) return first;
  return `${pathname}${search}${hash}`;
}

interface SignInPage {
  /** The dashboard's mount point. */
  readonly basePath: string;
  /** The page to open after the sign-in. */
  readonly next: string;
  /** The error of the previous attempt. */
  readonly problem: string | null;
}

/** Renders the sign-in form, which works without scripts. */
function signInPage({ basePath, next, problem }: SignInPage): string {
  const alert = problem === null ? '' : `\n      <p class="problem" id="problem" role="alert">${escapeHtml(problem)}</p>`;
  const described = problem === null ? 'aria-describedby="hint"' : 'aria-describedby="problem hint" aria-invalid="true"';
  return `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>Sign in · taskfleet</title>
  <link rel="icon" type="image/svg+xml" href="${escapeHtml(basePath)}/assets/page/favicon.svg">
  <link rel="stylesheet" href="${escapeHtml(basePath)}/sign-in.css">
</head>
<body>
  <main>
    <h1>taskfleet</h1>
    <form method="post" action="${escapeHtml(basePath)}/sign-in">${alert}
      <label for="token">Token</label>
      <input id="token" name="token" type="password" required autofocus
        autocomplete="current-password" spellcheck="false" maxlength="8192" ${described}>
      <p class="hint" id="hint">Your access token for this fleet. The session lasts up to 12 hours.</p>
      <input type="hidden" name="next" value="${escapeHtml(next)}">
      <button type="submit">Sign in</button>
    </form>
  </main>
</body>
</html>
`;
}

const SIGN_IN_STYLE = `:root {
  color-scheme: light dark; --text: #1a1d21; --soft: #555c66; --page: #f6f7f9; --card: #fff; --line: #868e99; --accent: #0b57d0;
  --on-accent: #fff; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --text: #e7e9ec; --soft: #a9b0ba; --page: #14171a; --card: #1e2226; --line: #7b838e; --accent: #a8c7fa; --on-accent: #062e6f;
    --bad: #ffb4ab;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif;
}
main { width: 100%; max-width: 24rem; }
h1 { margin: 0 0 1rem; font-size: 1.5rem; }
form { padding: 1.5rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--card); }
label { display: block; margin-bottom: .25rem; font-weight: 600; }
input {
  width: 100%; padding: .6rem .75rem; border: 1px solid var(--line); border-radius: .375rem; background: var(--page); color: inherit;
  font: inherit;
}
button {
  width: 100%; padding: .6rem .75rem; border: 0; border-radius: .375rem; background: var(--accent); color: var(--on-accent);
  font: inherit; font-weight: 600; cursor: pointer;
}
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.hint { margin: .5rem 0 1rem; color: var(--soft); font-size: .875rem; }
.problem { margin: 0 0 1rem; color: var(--bad); font-weight: 600; }
`;
