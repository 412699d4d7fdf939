import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { parse, serialize } from 'cookie';
import type { Request } from 'express';

interface CookieOptions {
  readonly path: string;
  readonly secure: boolean;
  readonly maxAgeS: number;
  /** Whether scripts can read the cookie. Default false. */
  readonly readable?: boolean;
}

/** Returns the value of a cookie, or null if it is missing or, as after cookie injection, ambiguous. */
export function readCookie(req: IncomingMessage, name: string): string | null {
  // Each pair by itself: `parse` keeps only the first of two cookies of one name.
  const values = (req.headers.cookie ?? '').split(';').flatMap((pair) => parse(pair)[name] ?? []);
  return values.length === 1 ? (values[0] as string) : null;
}

/** Adds a `SameSite=Strict` cookie to the response. */
export function setCookie(
  res: ServerResponse,
  name: string,
  value: string,
  { path, secure, maxAgeS, readable = false }: CookieOptions,
): void {
  const attributes = { path, maxAge: maxAgeS, sameSite: 'strict', httpOnly: !readable, secure } as const;
  res.appendHeader('Set-Cookie', serialize(name, value, attributes));
}

/** Returns whether browser headers mark the request as cross-site. Clients without these headers pass. */
export function isCrossSite(req: IncomingMessage): boolean {
  const site = req.headers['sec-fetch-site'];
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  const { origin } = req.headers;
  return origin !== undefined && hostOf(origin) !== ((req as Partial<Request>).host ?? req.headers.host);
}

/** Returns the CSRF token for a page's writes, derived from the session id, which pages cannot read. */
export function csrfTokenOf(sessionId: string): string {
  return createHmac('sha256', sessionId).update('csrf').digest('base64url');
}

export function isCsrfTokenOf(sessionId: string, given: unknown): boolean {
  const expected = Buffer.from(csrfTokenOf(sessionId));
  const actual = Buffer.from(typeof given === 'string' ? given : '');
  return actual.length === expected.length && timingSafeEqual(actual, expected);
}

function hostOf(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null;
}
