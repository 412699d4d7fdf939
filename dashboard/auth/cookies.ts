import type { IncomingMessage, ServerResponse } from 'node:http';

export interface CookieOptions {
  readonly path: string;
  readonly secure: boolean;
  readonly maxAgeS: number;
  /** Whether scripts can read the cookie. Default false. */
  readonly readable?: boolean;
}

/** Returns the value of a cookie, or null if it is missing or, as after cookie injection, ambiguous. */
export function readCookie(req: IncomingMessage, name: string): string | null {
  const pairs = (req.headers.cookie ?? '').split(';').map((pair) => pair.trim());
  const values = pairs.filter((pair) => pair.startsWith(`${name}=`)).map((pair) => pair.slice(name.length + 1));
  return values.length === 1 ? (values[0] as string) : null;
}

/** Adds a `SameSite=Strict` cookie to the response. The caller encodes the value. */
export function setCookie(
  res: ServerResponse,
  name: string,
  value: string,
  { path, secure, maxAgeS, readable = false }: CookieOptions,
): void {
  const parts = [`${name}=${value}`, `Path=${path}`, `Max-Age=${maxAgeS}`, 'SameSite=Strict'];
  if (!readable) parts.push('HttpOnly');
  if (secure) parts.push('Secure');
  res.appendHeader('Set-Cookie', parts.join('; '));
}
