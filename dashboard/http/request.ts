import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Request, RequestHandler, Response } from 'express';
import { ipKeyGenerator } from 'express-rate-limit';

/** Request ids accepted from clients and proxies; others could be long or corrupt the log. */
const SANE_ID = /^[A-Za-z0-9._~+=-]{8,64}$/;

/**
 * Assigns the request id for the response and the log, taken from `X-Request-Id` if well-formed, and notes the base path; the first
 * middleware.
 */
export function assignRequestId(): RequestHandler {
  return (req, res, next) => {
    const given = req.headers['x-request-id'];
    const requestId = typeof given === 'string' && SANE_ID.test(given) ? given : randomUUID();
    Object.assign(res.locals, { requestId, mount: req.baseUrl });
    res.setHeader('X-Request-Id', requestId);
    next();
  };
}

export function requestIdOf(res: Pick<Response, 'locals'>): string | null {
  return (res.locals as { requestId?: string } | undefined)?.requestId ?? null;
}

/** Returns the path of a request below its router, without the query; Express's `req.path` needs an app. */
export function pathOf({ url = '/' }: IncomingMessage): string {
  return url.replace(/\?.*$/s, '');
}

/** Returns the client address: behind trusted proxies as Express derives it from `X-Forwarded-For`, else the socket's. */
export function addressOf(req: IncomingMessage): string {
  return (req as Partial<Request>).ip ?? req.socket.remoteAddress ?? 'unknown';
}

/** Returns the rate-limit key of an address. IPv6 addresses are grouped by /56, the range of one customer. */
export function addressKey(address: string): string {
  return address === 'unknown' ? address : ipKeyGenerator(address);
}

/** Returns whether the request came over TLS, here or at a trusted proxy. */
export function isSecure(req: IncomingMessage): boolean {
  return (req as Partial<Request>).secure ?? 'encrypted' in req.socket;
}

export function isLoopback(address: string | undefined): boolean {
  return address !== undefined && /^(?:::1|(?:::ffff:)?127(?:\.\d{1,3}){3})$/.test(address);
}
