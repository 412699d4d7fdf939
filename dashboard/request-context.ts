import { randomUUID } from 'node:crypto';
import type { RequestHandler, Response } from 'express';
import type { Auditor } from './auth/auditor.js';

/** What the routes know of a request beside its principal. */
interface RequestLocals {
  requestId?: string;
  auditor?: Auditor;
}

/** What a caller or a proxy may name a request; anything else could be long, or break a log. */
const SANE_ID = /^[A-Za-z0-9._~+=-]{8,64}$/;

/** The first in the chain: gives the request its id, which the answer and the log have too, and takes it on from `X-Request-Id` if that is sane. */
export function requestContext(auditor: Auditor): RequestHandler {
  return (req, res, next) => {
    const given = req.headers['x-request-id'];
    const requestId = typeof given === 'string' && SANE_ID.test(given) ? given : randomUUID();
    // Without an app of Express around the router there are none.
    res.locals ??= {};
    Object.assign(res.locals, { requestId, auditor } satisfies RequestLocals);
    res.setHeader('X-Request-Id', requestId);
    next();
  };
}

export function requestIdOf(res: Pick<Response, 'locals'>): string | null {
  return (res.locals as RequestLocals | undefined)?.requestId ?? null;
}

export function auditorOf(res: Pick<Response, 'locals'>): Auditor {
  const { auditor } = res.locals as RequestLocals;
  if (!auditor) throw new Error('This route is not behind requestContext.');
  return auditor;
}
