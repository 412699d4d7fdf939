import type { IncomingMessage } from 'node:http';
import type { Request, RequestHandler, Response } from 'express';
import { FleetError, isFleetError } from '../../shared/errors.js';
import { basePathOf, publicUrlOf } from '../http/base-path.js';
import { isAllowedOrigin } from '../http/headers/cors.js';
import { wantsPage } from '../http/problem-page.js';
import { audit, isWrite, noteClaimant, requestLine } from './audit.js';
import type { Authority, Identity } from './authority.js';
import type { Limits } from './limits.js';
import { type Principal, ROLES, type Role, hasRole, principalOf } from './principal.js';
import { isCrossSite, isCsrfTokenOf } from './session/cookies.js';
import type { Session, Sessions } from './session/sessions.js';

/** Returns the principal of a request, or null to refuse it. */
export type PrincipalOf = (req: IncomingMessage) => Principal | null | Promise<Principal | null>;

/** The principal of every request where access is restricted by other means: to this machine, or by the surrounding app. */
export const LOCAL: Principal = Object.freeze({ name: 'local', issuer: 'local', role: 'admin', items: null, via: 'local' });

interface AuthenticateOptions {
  readonly authority: Authority;
  readonly sessions: Sessions;
  readonly limits: Limits;
}

type WhenGone = (callback: () => void) => () => void;

/** The longest timer that Node supports; longer ones fire at once. */
const LONGEST_TIMER_MS = 2_147_483_647;
const BEARER = /^Bearer +([\w.~+/=-]{1,8192})$/i;

/**
 * Authenticates a request by its bearer token, else by its session cookie. Without either, a browser is redirected to the sign-in page;
 * other clients get 401. A write with a cookie must come from the dashboard's own pages, as shown by the browser's headers and proved
 * by `X-CSRF-Token`. Bearer tokens need no such proof: browsers never attach them on their own.
 * @throws FleetError `UNAUTHENTICATED`, `FORBIDDEN`, `TOO_MANY_REQUESTS`, `REDIS_UNAVAILABLE`, `KEYS_UNAVAILABLE`
 */
export function authenticate({ authority, sessions, limits }: AuthenticateOptions): RequestHandler {
  return async (req, res, next) => {
    const given = bearerOf(req);
    if (given !== null) {
      const identity = await identify(authority, given.token, res);
      if (identity === null) return refuseToken(req, res, limits);
      keepCaller(res, identity);
      const { expiresAt } = identity;
      if (expiresAt !== null) keepWhenGone(res, (callback) => after(expiresAt - Date.now(), callback));
      return limits.requests(req, res, next);
    }
    const session = await sessions.find(req);
    if (session === null) {
      if (wantsPage(req, res))
        return void res.writeHead(302, { Location: signInUrl(req, res), 'Content-Length': 0, 'Cache-Control': 'no-store' }).end();
      await refuse(req, res, null);
      throw unauthenticated('Expected an Authorization: Bearer <token> header or a session cookie.');
    }
    keepCaller(res, session);
    keepSession(res, session);
    keepWhenGone(res, (callback) => sessions.whenEnded(session, callback));
    if (isWrite(req.method)) await checkOwnPage(req, res, session);
    return limits.requests(req, res, next);
  };
}

/** Identifies a token's bearer. A JWT with a refused role still names its caller for the audit. @throws as {@link Authority.identify} */
export async function identify(authority: Authority, token: string, res: Response): Promise<Identity | null> {
  try {
    return await authority.identify(token);
  } catch (error) {
    if (isFleetError(error, 'FORBIDDEN'))
      noteClaimant(res, { ...(error.details as { name: string; issuer: string }), role: null, via: 'jwt' });
    throw error;
  }
}

/** Authenticates every request as {@link LOCAL}. Browsers can be tricked into cross-site writes, so those are refused. */
export function authenticateLocal(): RequestHandler {
  return async (req, res, next) => {
    keepCaller(res, { principal: LOCAL, origin: 'local' });
    if (isWrite(req.method)) await checkOwnPage(req, res, null);
    next();
  };
}

/** Authenticates requests with the surrounding app's function. */
export function authenticateBy(identifyCaller: PrincipalOf): RequestHandler {
  return async (req, res, next) => {
    const principal = await identifyCaller(req);
    if (principal === null) throw unauthenticated('The surrounding app did not authenticate this request.');
    if (!ROLES.includes(principal.role)) throw new TypeError('auth: expected a principal with a known role, or null');
    keepCaller(res, { principal, origin: 'app' });
    // Browsers attach session cookies, the app's too, to requests from any site.
    if (isWrite(req.method) && (principal.via === 'session' || principal.via === 'local')) await checkOwnPage(req, res, null);
    next();
  };
}

/** Requires this role or a higher one. Refused writes are audited. @throws FleetError `FORBIDDEN` */
export function requireRole(least: Role): RequestHandler {
  return async (req, res, next) => {
    const principal = principalOf(res);
    if (hasRole(principal, least)) return next();
    if (isWrite(req.method)) await audit(res, { action: requestLine(req), outcome: { denied: 'FORBIDDEN' } });
    throw new FleetError('FORBIDDEN', `Requires the role ${least}; ${principal.name} has the role ${principal.role}.`);
  };
}

/** Returns how the caller authenticated, see {@link Identity}. */
export function originOf({ locals }: Response): string {
  return (locals as { origin?: string }).origin ?? '';
}

/** Returns the session of this request, or null. */
export function sessionOf({ locals }: Response): Session | null {
  return (locals as { session?: Session }).session ?? null;
}

/**
 * Calls back once the caller loses access: its session or item token has ended, or its JWT has expired. Never for tokens of API_TOKENS, whose removal
 * takes a restart, or for callers authenticated by the surrounding app. Returns a function that cancels the callback.
 */
export function whenGone({ locals }: Pick<Response, 'locals'>, callback: () => void): () => void {
  const { whenGone: asked } = locals as { whenGone?: WhenGone };
  return asked?.(callback) ?? (() => undefined);
}

/** Refuses and audits a write that another site's page may have caused, unless the API allows its origin. @throws FleetError `FORBIDDEN` */
async function checkOwnPage(req: Request, res: Response, session: Session | null): Promise<void> {
  const problem =
    isCrossSite(req) && !isAllowedOrigin(res)
      ? 'it comes from another site'
      : session && !hasCsrfToken(req, session)
        ? 'its X-CSRF-Token header is missing or wrong'
        : null;
  if (problem === null) return;
  await audit(res, { action: requestLine(req), outcome: { denied: 'FORBIDDEN' } });
  throw new FleetError('FORBIDDEN', `Write refused: ${problem}.`);
}

/** axios copies the XSRF-TOKEN cookie to the `X-XSRF-TOKEN` header. */
function hasCsrfToken({ headers }: Request, { id }: Session): boolean {
  return isCsrfTokenOf(id, headers['x-csrf-token'] ?? headers['x-xsrf-token']);
}

/** Returns the bearer token, or null. Other schemes, such as a proxy's, are ignored, and the cookie counts. */
export function bearerOf({ headers: { authorization = '' } }: IncomingMessage): { readonly token: string } | null {
  if (!/^bearer\b/i.test(authorization)) return null;
  return { token: BEARER.exec(authorization)?.[1] ?? '' };
}

/** Counts, audits and refuses a bad bearer token. @throws FleetError `UNAUTHENTICATED`, `TOO_MANY_REQUESTS` */
export async function refuseToken(req: Request, res: Response, limits: Limits): Promise<never> {
  await count(limits.failures, req, res);
  await refuse(req, res, 'invalid_token');
  throw unauthenticated('Invalid or expired token.');
}

/** @throws FleetError `TOO_MANY_REQUESTS` */
function count(limiter: RequestHandler, req: Request, res: Response): Promise<void> {
  return new Promise((resolve, reject) => void limiter(req, res, (error?: unknown) => (error === undefined ? resolve() : reject(error))));
}

async function refuse(req: Request, res: Response, error: 'invalid_token' | null): Promise<void> {
  res.setHeader('WWW-Authenticate', `Bearer realm="taskfleet"${error === null ? '' : `, error="${error}"`}`);
  if (isWrite(req.method)) await audit(res, { action: requestLine(req), outcome: { denied: 'UNAUTHENTICATED' } });
}

function unauthenticated(message: string): FleetError {
  return new FleetError('UNAUTHENTICATED', message);
}

function signInUrl(req: Request, res: Response): string {
  return `${basePathOf(res)}/sign-in?next=${encodeURIComponent(publicUrlOf(req, res))}`;
}

/** Sets the caller of the request. */
export function keepCaller({ locals }: Response, { principal, origin }: Pick<Identity, 'principal' | 'origin'>): void {
  Object.assign(locals, { principal, origin });
}

/** Sets how the request learns that its caller has lost access, see {@link whenGone}. */
export function keepWhenGone(res: Response, asked: WhenGone): void {
  Object.assign(res.locals, { whenGone: asked });
}

function keepSession(res: Response, session: Session): void {
  Object.assign(res.locals, { session });
}

/** Calls back after a time, in ms. Returns a function that cancels the callback. */
export function after(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, Math.min(Math.max(ms, 0), LONGEST_TIMER_MS));
  return () => clearTimeout(timer);
}
