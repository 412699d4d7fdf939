import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Request } from 'express';
import { type FleetAccess, reachRedis } from '../../http/reach-redis.js';
import { isSecure } from '../../http/request.js';
import type { Authority, Identity } from '../authority.js';
import { KeyWatch } from '../key-watch.js';
import { type Principal, ROLES } from '../principal.js';
import { csrfTokenOf, readCookie, setCookie } from './cookies.js';

/** A signed-in browser. */
export interface Session {
  /** Known to the browser's cookie only; Redis stores its hash. */
  readonly id: string;
  readonly principal: Principal;
  /** How the user signed in, see {@link Identity}. */
  readonly origin: string;
}

/** A session as stored in Redis. */
interface SessionRecord {
  readonly origin: string;
  readonly principal: Principal;
}

const SESSION_MS = 12 * 3_600_000;
/** axios, which Bull Board's page uses, sends this cookie back as the `X-XSRF-TOKEN` header. */
const CSRF_COOKIE = 'XSRF-TOKEN';
const ID = /^[\w-]{43}$/;

/**
 * Browser sessions, stored in Redis and shared by all replicas. A session has the current rights of its token and ends when the token
 * is removed from API_TOKENS.
 */
export class Sessions {
  readonly #watch: KeyWatch;

  constructor(
    private readonly fleet: FleetAccess,
    private readonly authority: Authority,
  ) {
    this.#watch = new KeyWatch(fleet.store);
  }

  /** Signs a browser in, always with a new session id. @throws FleetError `REDIS_UNAVAILABLE` */
  async begin(req: IncomingMessage, res: ServerResponse, basePath: string, { principal, origin, expiresAt }: Identity): Promise<Session> {
    const id = randomBytes(32).toString('base64url');
    const ms = Math.max(1, Math.min(SESSION_MS, expiresAt === null ? SESSION_MS : expiresAt - Date.now()));
    const record: SessionRecord = { origin, principal: { ...principal, via: 'session' } };
    await this.#forget(req);
    const { redis, keys } = this.fleet.store;
    await redis.set(keys.session(hashOf(id)), JSON.stringify(record), 'PX', ms);
    setCookies(req, res, basePath, { id, csrf: csrfTokenOf(id), maxAgeS: Math.ceil(ms / 1_000) });
    return { id, ...record };
  }

  /** Returns the session of a request's cookie, or null. @throws FleetError `REDIS_UNAVAILABLE` within two seconds */
  async find(req: IncomingMessage): Promise<Session | null> {
    const id = idOf(req);
    if (id === null) return null;
    await reachRedis(this.fleet.producer, req);
    const { redis, keys } = this.fleet.store;
    const json = await redis.get(keys.session(hashOf(id)));
    const record = json === null ? null : parseRecord(json);
    const now = record && this.authority.recall(record.origin, record.principal);
    return record && now && { id, principal: now, origin: record.origin };
  }

  /**
   * Calls back once the session has ended: signed out here or on another replica, or expired. Returns a function that cancels the
   * callback.
   */
  whenEnded({ id }: Session, callback: () => void): () => void {
    return this.#watch.whenGone(this.fleet.store.keys.session(hashOf(id)), callback);
  }

  /** Signs a browser out. @throws FleetError `REDIS_UNAVAILABLE` */
  async end(req: IncomingMessage, res: ServerResponse, basePath: string): Promise<void> {
    await this.#forget(req);
    setCookies(req, res, basePath, { id: '', csrf: '', maxAgeS: 0 });
  }

  async #forget(req: IncomingMessage): Promise<void> {
    const id = idOf(req);
    await reachRedis(this.fleet.producer, req);
    const { redis, keys } = this.fleet.store;
    if (id === null) return;
    const key = keys.session(hashOf(id));
    await redis.del(key);
    this.#watch.end(key);
  }
}

/** Parses a session record; null if malformed, so that the browser has to sign in again. */
function parseRecord(json: string): SessionRecord | null {
  try {
    const record = JSON.parse(json) as Partial<SessionRecord> | null;
    const { origin, principal } = record ?? {};
    const { name, role, items } = principal ?? ({} as Partial<Principal>);
    const isPrincipal =
      typeof name === 'string' &&
      ROLES.some((one) => one === role) &&
      (items === null || (Array.isArray(items) && items.every((item) => typeof item === 'string')));
    return typeof origin === 'string' && principal !== undefined && isPrincipal ? { origin, principal } : null;
  } catch {
    return null;
  }
}

/**
 * Returns the cookie name. Over TLS, the prefix keeps other hosts from setting it; `__Host-` requires the path `/`, which would send the
 * cookie to the other applications of the host.
 */
function cookieNameOf(req: IncomingMessage): string {
  if (!isSecure(req)) return 'taskfleet';
  return (req as Request).baseUrl === '' ? '__Host-taskfleet' : '__Secure-taskfleet';
}

function idOf(req: IncomingMessage): string | null {
  const id = readCookie(req, cookieNameOf(req));
  return id !== null && ID.test(id) ? id : null;
}

function setCookies(
  req: IncomingMessage,
  res: ServerResponse,
  basePath: string,
  { id, csrf, maxAgeS }: { readonly id: string; readonly csrf: string; readonly maxAgeS: number },
): void {
  const secure = isSecure(req);
  const path = basePath || '/';
  setCookie(res, cookieNameOf(req), id, { path, secure, maxAgeS });
  setCookie(res, CSRF_COOKIE, csrf, { path, secure, maxAgeS, readable: true });
}

function hashOf(id: string): string {
  return createHash('sha256').update(id).digest('hex');
}
