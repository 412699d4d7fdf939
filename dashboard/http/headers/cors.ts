import type { IncomingMessage } from 'node:http';
import type { RequestHandler, Response } from 'express';

const METHODS = 'GET, HEAD, POST, PUT, DELETE';
/** Request headers that routes read or that clients of event streams send. */
const REQUEST_HEADERS = [
  'Authorization',
  'Cache-Control',
  'Content-Type',
  'Idempotency-Key',
  'If-None-Match',
  'Last-Event-ID',
  'X-CSRF-Token',
  'X-Request-Id',
  'baggage',
  'traceparent',
  'tracestate',
].join(', ');
/** Response headers that scripts may read beside the safe ones. */
const RESPONSE_HEADERS = [
  'Date',
  'ETag',
  'Location',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'WWW-Authenticate',
  'X-Request-Id',
].join(', ');
/** How long browsers may keep the answer to a preflight. */
const PREFLIGHT_S = 600;

/**
 * Lets pages of these origins call the routes behind it, with credentials, and answers their preflights, which have none. It sets the
 * headers before anything can fail, so that scripts can read errors too.
 */
export function allowOrigins(origins: readonly string[]): RequestHandler {
  const allowed = new Set(origins);
  return (req, res, next) => {
    if (allowed.size === 0) return next();
    res.appendHeader('Vary', 'Origin');
    const { origin } = req.headers;
    if (origin === undefined || !allowed.has(origin)) return next();
    res.setHeader('Access-Control-Allow-Origin', origin);
    res.setHeader('Access-Control-Allow-Credentials', 'true');
    res.setHeader('Access-Control-Expose-Headers', RESPONSE_HEADERS);
    Object.assign(res.locals, { allowedOrigin: true });
    if (!isPreflight(req)) return next();
    res.setHeader('Access-Control-Allow-Methods', METHODS);
    res.setHeader('Access-Control-Allow-Headers', REQUEST_HEADERS);
    res.setHeader('Access-Control-Max-Age', String(PREFLIGHT_S));
    res.writeHead(204).end();
  };
}

/** Returns whether the request comes from a page that {@link allowOrigins} lets use this route. */
export function isAllowedOrigin({ locals }: Pick<Response, 'locals'>): boolean {
  return (locals as { allowedOrigin?: boolean }).allowedOrigin ?? false;
}

function isPreflight({ method, headers }: IncomingMessage): boolean {
  return method === 'OPTIONS' && 'access-control-request-method' in headers;
}
