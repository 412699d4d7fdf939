import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Producer } from '../../producer/index.js';
import { storeOf } from '../../producer/store-of.js';
import { isSecure } from '../client-address.js';
import { reachRedis } from '../reach-redis.js';
import type { Authority, Identity } from './authority.js';
import { readCookie, setCookie } from './cookies.js';
import { csrfTokenOf } from './cross-site.js';
import type { Principal } from './principal.js';

/** A browser that has signed in. */
export interface Session {
  /** Only its owner's cookie has it: Redis has its hash. */
  readonly id: string;
  readonly principal: Principal;
}

/** As it is in Redis. */
interface SessionRecord {
  readonly origin: string;
  readonly principal: Principal;
}

const SESSION_MS = 12 * 3_600_000;
/** What Bull Board's page, as any that uses axios, sends back as `X-XSRF-TOKEN`. */
const CSRF_COOKIE = 'XSRF-TOKEN';
const ID = /^[\w-]{43}$/;

/**
 * The sessions of browsers, in Redis: every replica knows them, and one that is ended is ended everywhere. A session is
 * worth what its token is worth now: it ends when that is taken out of API_TOKENS.
 */
export class Sessions {
  readonly #producer: Producer;
  readonly #authority: Authority;

  constructor(producer: Producer, authority: Authority) {
    this.#producer = producer;
    this.#authority = authority;
  }

  /** Signs a browser in: always with a new id, whatever its cookie said before. @throws FleetError `REDIS_UNAVAILABLE` */
  async begin(req: IncomingMessage, res: ServerResponse, basePath: string, { principal, origin, expiresAt }: Identity): Promise<Session> {
    const id = randomBytes(32).toString('base64url');
    const ms = Math.max(1, Math.min(SESSION_MS, expiresAt === null ? SESSION_MS : expiresAt - Date.now()));
    const record: SessionRecord = { origin, principal: { ...principal, via: 'session' } };
    await this.#forget(req);
    const { redis, keys } = storeOf(this.#producer);
    await redis.set(keys.session(hashOf(id)), JSON.stringify(record), 'PX', ms);
    setCookies(req, res, basePath, { id, csrf: csrfTokenOf(id), maxAgeS: Math.ceil(ms / 1_000) });
    return { id, principal: record.principal };
  }

  /** The session of a request's cookie, or null. @throws FleetError `REDIS_UNAVAILABLE` within two seconds */
  async find(req: IncomingMessage): Promise<Session | null> {
    const id = idOf(req);
    if (id === null) return null;
    await reachRedis(this.#producer);
    const { redis, keys } = storeOf(this.#producer);
    const json = await redis.get(keys.session(hashOf(id)));
    if (json === null) return null;
    const { origin, principal } = JSON.parse(json) as SessionRecord;
    const now = this.#authority.recall(origin, principal);
    return now && { id, principal: now };
  }

  /** Signs a browser out. @throws FleetError `REDIS_UNAVAILABLE` */
  async end(req: IncomingMessage, res: ServerResponse, basePath: string): Promise<void> {
    await this.#forget(req);
    setCookies(req, res, basePath, { id: '', csrf: '', maxAgeS: 0 });
  }

  async #forget(req: IncomingMessage): Promise<void> {
    const id = idOf(req);
    await reachRedis(this.#producer);
    const { redis, keys } = storeOf(this.#producer);
    if (id !== null) await redis.del(keys.session(hashOf(id)));
  }
}

/** Over TLS only a cookie that nobody but this host over TLS can have set. */
function cookieNameOf(req: IncomingMessage): string {
  return isSecure(req) ? '__Host-taskfleet' : 'taskfleet';
}

function idOf(req: IncomingMessage): string | null {
  const id = readCookie(req, cookieNameOf(req));
  return id !== null && ID.test(id) ? id : null;
}

function setCookies(req: IncomingMessage, res: ServerResponse, basePath: string, { id, csrf, maxAgeS }: { readonly id: string; readonly csrf: string; readonly maxAgeS: number }): void {
  const secure = isSecure(req);
  const path = basePath || '/';
  // A name with __Host- wants the whole host.
  setCookie(res, cookieNameOf(req), id, { path: secure ? '/' : path, secure, maxAgeS });
  setCookie(res, CSRF_COOKIE, csrf, { path, secure, maxAgeS, readable: true });
}

function hashOf(id: string): string {
  return createHash('sha256').update(id).digest('hex');
}
