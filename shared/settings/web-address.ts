import { z } from 'zod';
import type { Setting } from './kinds.js';

const MAX_PATH_LENGTH = 256;
/** Segments of unreserved characters: nothing that means more in a URL, a header, a cookie or HTML. */
const PATH = /^(?:\/(?!\.{1,2}(?:\/|$))[\w.~-]+)+$/;

/** Returns a base path without the slash at its end, `''` for the root; null if it is none. */
export function parseBasePath(text: string): string | null {
  const path = text.endsWith('/') ? text.slice(0, -1) : text;
  return path === '' || (path.length <= MAX_PATH_LENGTH && PATH.test(path)) ? path : null;
}

/** The path below which a proxy serves a server. */
export function basePath(env: string, about: string): Setting<string> {
  return {
    env,
    about,
    fallback: '',
    expected: `a path such as /fleet, of letters, digits and . _ ~ - in up to ${MAX_PATH_LENGTH} characters`,
    schema: z
      .string()
      .refine((text) => parseBasePath(text) !== null)
      .transform((text) => parseBasePath(text) ?? ''),
  };
}

const EXPECTED_ORIGIN = 'an origin such as https://app.example or http://localhost:3000';

/** Returns what is wrong with an exact origin, or null. */
function problemOfOrigin(text: string): string | null {
  const got = `got ${JSON.stringify(text)}`;
  if (text.includes('*')) return `expected exact origins, ${got}: list each one`;
  if (text.toLowerCase() === 'null') return `expected ${EXPECTED_ORIGIN}, ${got}, which pages of any site can have`;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) return `expected ${EXPECTED_ORIGIN}, ${got}`;
  if (url.origin === text) return null;
  return `expected an origin as browsers send it, without path or trailing slash: ${url.origin}, ${got}`;
}

/** A list of exact web origins. */
export function origins(env: string, about: string): Setting<readonly string[]> {
  const split = (value: unknown): readonly unknown[] =>
    Array.isArray(value) ? value : typeof value === 'string' ? value.split(',').map((part) => part.trim()) : [value];
  return {
    env,
    about,
    fallback: Object.freeze([]),
    expected: 'origins such as https://app.example, separated by commas',
    explain: (value) =>
      split(value)
        .flatMap((one) => (typeof one === 'string' && one !== '' ? (problemOfOrigin(one) ?? []) : []))
        .at(0) ?? null,
    schema: z
      .union([z.array(z.string()), z.string().transform((text) => text.split(',').map((part) => part.trim()))])
      .transform((parts) => parts.filter((part) => part !== ''))
      .pipe(z.array(z.string().refine((text) => problemOfOrigin(text) === null))),
  };
}
