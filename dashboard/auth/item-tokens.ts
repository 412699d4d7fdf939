import { createHash } from 'node:crypto';
import type { RequestHandler } from 'express';
import { FleetError } from '../../shared/errors.js';
import { type ItemTokenRecord, looksLikeItemToken, readItemToken } from '../../shared/records/item-token.js';
import { type FleetAccess, reachRedis } from '../http/reach-redis.js';
import { audit, isWrite, requestLine } from './audit.js';
import { after, bearerOf, keepCaller, keepWhenGone, refuseToken } from './authenticate.js';
import type { Authority } from './authority.js';
import { KeyWatch } from './key-watch.js';
import type { Limits } from './limits.js';
import { type Principal, findPrincipal, hasRole, seesItem } from './principal.js';

interface ItemTokenAuth {
  readonly fleet: FleetAccess;
  /** Null if callers are not authenticated by settings. */
  readonly authority: Authority | null;
  readonly limits: Limits;
}

/**
 * Authenticates the bearers of item tokens, and leaves other requests to `others`. A token ends with the rights of its issuer: when
 * the issuer's entry is removed from API_TOKENS or loses the role or the items.
 */
export function authenticateItemTokens({ fleet, authority, limits }: ItemTokenAuth, others: RequestHandler): RequestHandler {
  const { store, producer } = fleet;
  const watch = new KeyWatch(store);
  return async (req, res, next) => {
    const given = bearerOf(req);
    if (given === null || !looksLikeItemToken(given.token)) return others(req, res, next);
    await reachRedis(producer, req);
    const found = await readItemToken(store, given.token);
    if (found === null || !isBacked(authority, found.record)) return refuseToken(req, res, limits);
    const { id, record } = found;
    keepCaller(res, { principal: principalOf(id, record), origin: `item-token:${id}` });
    keepWhenGone(res, (callback) => {
      // The expiry ends a stream even while Redis is unavailable.
      const cancelTimer = after(record.expiresAt - store.clock.now(), callback);
      const cancelWatch = watch.whenGone(store.keys.itemToken(id), callback);
      return () => {
        cancelTimer();
        cancelWatch();
      };
    });
    return limits.requests(req, res, next);
  };
}

/** Refuses item tokens, whose rights are those of a few routes. Refused writes are audited. @throws FleetError `FORBIDDEN` */
export const refuseItemTokens: RequestHandler = async (req, res, next) => {
  const principal = findPrincipal(res);
  if (!principal?.itemToken) return next();
  if (isWrite(req.method)) await audit(res, { action: requestLine(req), outcome: { denied: 'FORBIDDEN' } });
  throw new FleetError('FORBIDDEN', 'Item tokens are not accepted here: they are for the tasks of their items.');
};

/** Refuses item tokens outside a path. */
export function refuseItemTokensOutside(path: string): RequestHandler {
  return (req, res, next) => (req.url.startsWith(`${path}/`) ? next() : refuseItemTokens(req, res, next));
}

/** Returns whether the issuer still has the rights that it passed on. Tokens of an embedding service depend on no setting. */
function isBacked(authority: Authority | null, { name, origin, role, items }: ItemTokenRecord): boolean {
  if (authority === null || !/^(?:token|jwt):/.test(origin)) return true;
  const issuer = authority.recall(origin, { name, role, items: null, via: 'jwt' });
  return issuer !== null && hasRole(issuer, role) && items.every((item) => seesItem(issuer, item));
}

function principalOf(id: string, record: ItemTokenRecord): Principal {
  const { name, role, items, tasks } = record;
  return { name, issuer: `item-token:${id}`, role, items, via: 'item-token', itemToken: { id, tasks, scope: scopeOf(record) } };
}

/** Returns the same text for tokens of the same rights, so that a retry with a renewed token finds the first request. */
function scopeOf({ name, origin, role, items, tasks }: ItemTokenRecord): string {
  const rights = JSON.stringify([name, origin, role, items.toSorted(), tasks.toSorted()]);
  return createHash('sha256').update(rights).digest('hex').slice(0, 32);
}
