import { randomUUID } from 'node:crypto';
import type { RequestHandler, Response } from 'express';
import type { Auditor } from '../auth/auditor.js';

/** Request data available to all routes, in addition to the principal. */
interface RequestLocals {
  requestId?: string;
  auditor?: Auditor;
}

/** Request ids accepted from clients and proxies; others could be long or corrupt the log. */
const SANE_ID = /^[A-Za-z0-9._~+=-]{8,64}$/;

/** Assigns the request id for the response and the log, taken from `X-Request-Id` if well-formed; the first middleware. */
export function requestContext(auditor: Auditor): RequestHandler {
  return (req, res, next) => {
    const given = req.headers['x-request-id'];
    const requestId = typeof given === 'string' && SANE_ID.test(given) ? given : randomUUID();
    // Only an Express app sets `locals`.
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
