import type { IncomingMessage } from 'node:http';
import type { Request, RequestHandler, Response } from 'express';
import { FleetError, isFleetError } from '../../shared/errors.js';
import { audit, isWrite, noteClaimant, requestLine } from './audit.js';
import type { Authority, Identity } from './authority.js';
import { isCrossSite, isCsrfTokenOf } from './cross-site.js';
import type { Limits } from './limits.js';
import { type Principal, ROLES } from './principal.js';
import type { Session, Sessions } from './sessions.js';

/** Tells who makes a request; null for nobody that may. */
export type PrincipalOf = (req: IncomingMessage) => Principal | null | Promise<Principal | null>;

/** Everyone, where nobody else gets in: on this machine, or behind an app that protects the dashboard itself. */
export const LOCAL: Principal = Object.freeze({ name: 'local', issuer: 'local', role: 'admin', items: null, via: 'local' });

export interface AuthenticateOptions {
  readonly authority: Authority;
  readonly sessions: Sessions;
  readonly limits: Limits;
}

type WhenGone = (callback: () => void) => () => void;

/** A longer timer of Node's fires at once. No stream lives that long. */
const LONGEST_TIMER_MS = 2_147_483_647;
const BEARER = /^Bearer +([\w.~+/=-]{1,8192})$/i;

/**
 * Finds out who makes a request: by its bearer token, else by the session of its cookie. Whoever did not say is sent to the
 * sign-in if it is a browser that wants a page, and gets 401 if not. A write with a cookie must come from our own pages:
 * the browser says so, and the header `X-CSRF-Token` proves it. A bearer token needs no such proof, for no page has it by accident.
 * @throws FleetError `UNAUTHENTICATED`, `FORBIDDEN`, `TOO_MANY_REQUESTS`, `REDIS_UNAVAILABLE`, `KEYS_UNAVAILABLE`
 */
export function authenticate({ authority, sessions, limits }: AuthenticateOptions): RequestHandler {
  return async (req, res, next) => {
    const given = bearerOf(req);
    if (given !== null) {
      const identity = await identify(authority, given.token, res);
      if (identity === null) {
        await count(limits.failures, req, res);
        await refuse(req, res, 'invalid_token');
        throw unauthenticated('This token is not known here, or no longer.');
      }
      keepPrincipal(res, identity.principal);
      const { expiresAt } = identity;
      if (expiresAt !== null) keepWhenGone(res, (callback) => after(expiresAt - Date.now(), callback));
      return limits.requests(req, res, next);
    }
    const session = await sessions.find(req);
    if (session === null) {
      if (wantsPage(req))
        return void res.writeHead(302, { Location: signInUrl(req), 'Content-Length': 0, 'Cache-Control': 'no-store' }).end();
      await refuse(req, res, null);
      throw unauthenticated('Expected Authorization: Bearer <token>, or the cookie of a sign-in.');
    }
    keepPrincipal(res, session.principal);
    keepSession(res, session);
    keepWhenGone(res, (callback) => sessions.whenEnded(session, callback));
    if (isWrite(req.method)) await checkOwnPage(req, res, session);
    return limits.requests(req, res, next);
  };
}

/** Who a token stands for. The name of a JWT whose role is refused is noted for the audit. @throws as {@link Authority.identify} */
export async function identify(authority: Authority, token: string, res: Response): Promise<Identity | null> {
  try {
    return await authority.identify(token);
  } catch (error) {
    if (isFleetError(error, 'FORBIDDEN'))
      noteClaimant(res, { ...(error.details as { name: string; issuer: string }), role: null, via: 'jwt' });
    throw error;
  }
}

/** The same where all who get here are one and may do everything. Browsers may bring other sites' requests along: their writes are refused. */
export function authenticateLocal(): RequestHandler {
  return async (req, res, next) => {
    keepPrincipal(res, LOCAL);
    if (isWrite(req.method)) await checkOwnPage(req, res, null);
    next();
  };
}

/** The same where the app around the dashboard knows its users. */
export function authenticateBy(principalOf: PrincipalOf): RequestHandler {
  return async (req, res, next) => {
    const principal = await principalOf(req);
    if (principal === null) throw unauthenticated('The app around the dashboard does not know who makes this request.');
    if (!ROLES.includes(principal.role)) throw new TypeError('auth: expected a principal with a role, or null');
    keepPrincipal(res, principal);
    // With a session of the app's own, as with ours, a browser sends the cookie for any site that asks it to.
    if (isWrite(req.method) && (principal.via === 'session' || principal.via === 'local')) await checkOwnPage(req, res, null);
    next();
  };
}

/** The session of this request; null for one without a cookie of ours. */
export function sessionOf({ locals }: Response): Session | null {
  return (locals as { session?: Session }).session ?? null;
}

/**
 * Calls back once the caller of this request has lost what it was let in by: its session has ended, its JWT has expired. Never for a token of
 * API_TOKENS, whose removal takes a restart, nor where the app around the dashboard knows its users. Returns what takes that back.
 */
export function whenGone({ locals }: Pick<Response, 'locals'>, callback: () => void): () => void {
  const { whenGone: asked } = locals as { whenGone?: WhenGone };
  return asked?.(callback) ?? (() => undefined);
}

/** @throws FleetError `FORBIDDEN` for a write that another site's page may have brought about, having audited it */
async function checkOwnPage(req: Request, res: Response, session: Session | null): Promise<void> {
  const problem = isCrossSite(req)
    ? 'it comes from a page of another site'
    : session && !hasCsrfToken(req, session)
      ? 'its header X-CSRF-Token is missing or wrong'
      : null;
  if (problem === null) return;
  await audit(res, { action: requestLine(req), outcome: { denied: 'FORBIDDEN' } });
  throw new FleetError('FORBIDDEN', `This write was refused: ${problem}.`);
}

/** `X-XSRF-TOKEN` is what pages with axios make of the cookie XSRF-TOKEN. */
function hasCsrfToken({ headers }: Request, { id }: Session): boolean {
  return isCsrfTokenOf(id, headers['x-csrf-token'] ?? headers['x-xsrf-token']);
}

/** Null if there is none; with another scheme, such as that of a proxy in front, the cookie counts. */
function bearerOf({ headers: { authorization = '' } }: IncomingMessage): { readonly token: string } | null {
  if (!/^bearer\b/i.test(authorization)) return null;
  return { token: BEARER.exec(authorization)?.[1] ?? '' };
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

function wantsPage({ method, headers, path }: Request): boolean {
  return (
    (method === 'GET' || method === 'HEAD') && (headers.accept ?? '').includes('text/html') && !/^\/(?:board\/)?api(?:\/|$)/.test(path)
  );
}

function signInUrl({ baseUrl, originalUrl }: Request): string {
  return `${baseUrl}/sign-in?next=${encodeURIComponent(originalUrl)}`;
}

function keepPrincipal(res: Response, principal: Principal): void {
  Object.assign(res.locals, { principal });
}

function keepWhenGone(res: Response, asked: WhenGone): void {
  Object.assign(res.locals, { whenGone: asked });
}

function after(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, Math.min(Math.max(ms, 0), LONGEST_TIMER_MS));
  return () => clearTimeout(timer);
}

function keepSession(res: Response, session: Session): void {
  Object.assign(res.locals, { session });
}
