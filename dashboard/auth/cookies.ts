import type { IncomingMessage, ServerResponse } from 'node:http';

export interface CookieOptions {
  readonly path: string;
  readonly secure: boolean;
  readonly maxAgeS: number;
  /** Whether scripts of the page can read it. Default false. */
  readonly readable?: boolean;
}

/** The value of a cookie; null if there is none, or more than one: then somebody else has set one of them. */
export function readCookie(req: IncomingMessage, name: string): string | null {
  const pairs = (req.headers.cookie ?? '').split(';').map((pair) => pair.trim());
  const values = pairs.filter((pair) => pair.startsWith(`${name}=`)).map((pair) => pair.slice(name.length + 1));
  return values.length === 1 ? (values[0] as string) : null;
}

/** Adds a cookie to the answer, for this site only and never sent by another. The value is for the caller to encode. */
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
