import { UnrecoverableError } from 'bullmq';
import type { Settings } from '../../shared/settings.js';

/** Characters of an upstream's own words that an error message may have. */
const MAX_EXCERPT = 500;

/** Characters of a page of HTML in which its words are looked for. */
const MAX_PAGE = 16_384;

/** A shorter value of a query, such as `v=1`, is no secret, and would be found in the middle of words. */
const SHORTEST_SECRET = 4;

/** One of the OpenAI-compatible servers of OPENAI_API_BASE_URLS. */
export interface OpenAiUpstream {
  /** The base URL as messages may show it: without query, which may hold a key. */
  readonly label: string;
  /** The URL of an endpoint: `endpoint('chat/completions')`. The base URL's query is kept. */
  endpoint(path: string): URL;
  /** With `authorization` if a key is set for this server. */
  readonly headers: Headers;
  /**
   * Something that this server said, fit for a message: at most {@link MAX_EXCERPT} characters, without key and query; of a page of
   * HTML, its words.
   */
  excerpt(text: string): string;
}

/**
 * The server at an index of OPENAI_API_BASE_URLS, with the key at the same index of OPENAI_API_KEYS.
 * @throws UnrecoverableError if there is no such server, or its URL or key cannot be used: a retry would not change it.
 */
export function upstreamAt(settings: Pick<Settings, 'openaiBaseUrls' | 'openaiKeys'>, index: number): OpenAiUpstream {
  const base = settings.openaiBaseUrls[index];
  if (base === undefined) throw new UnrecoverableError(describeMissing(settings.openaiBaseUrls.length, index));
  const url = new URL(base);
  const label = labelOf(base);
  if (url.username !== '' || url.password !== '') {
    throw new UnrecoverableError(`OPENAI_API_BASE_URLS: ${label} has a user name or password; set OPENAI_API_KEYS instead`);
  }
  const key = settings.openaiKeys[index] || undefined; // an empty one only keeps the place of the next
  const secrets = secretsOf(key, url);
  return {
    label,
    headers: headersWith(key, label),
    endpoint(path) {
      const endpoint = new URL(url);
      endpoint.pathname = `${url.pathname.replace(/\/+$/, '')}/${path}`;
      return endpoint;
    },
    excerpt(text) {
      const safe = secrets.reduce((rest, secret) => rest.replaceAll(secret, '***'), text);
      return readable(safe).trim().slice(0, MAX_EXCERPT).toWellFormed();
    },
  };
}

/** A base URL as messages may show it: without query and credentials. */
export function labelOf(base: string): string {
  const { origin, pathname } = new URL(base);
  return origin + pathname;
}

/** The words of a page of HTML, if it is one with content; else the text as it is. */
function readable(text: string): string {
  if (!/^\s*<(!doctype html|html|head|body)\b/i.test(text) || !text.includes('</')) return text;
  const words = text
    .slice(0, MAX_PAGE)
    .replaceAll(/<(script|style)\b.*?(<\/\1\s*>|$)|<!--.*?(-->|$)|<[^>]*(>|$)/gis, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim();
  return words === '' ? text : words;
}

/**
 * What a server that repeats a request would give away, as it is, as URLs have it, and as some write it in JSON. The
 * longest first, so that nothing is left over of one that another is a part of.
 */
function secretsOf(key: string | undefined, url: URL): string[] {
  const query = [url.search.slice(1), ...url.searchParams.values()].filter((text) => text.length >= SHORTEST_SECRET);
  const secrets = [...(key === undefined ? [] : [key]), ...query];
  return secrets
    .flatMap((text) => [text, encodeURIComponent(text.toWellFormed()), text.replaceAll('/', '\\/')])
    .sort((a, b) => b.length - a.length);
}

function describeMissing(servers: number, index: number): string {
  if (servers === 0) return 'No server to ask: OPENAI_API_BASE_URLS is not set';
  return `No server with base_url_index ${index}: OPENAI_API_BASE_URLS has ${servers}, numbered from 0`;
}

function headersWith(key: string | undefined, label: string): Headers {
  const headers = new Headers({ 'content-type': 'application/json' });
  if (key === undefined) return headers;
  try {
    headers.set('authorization', `Bearer ${key}`);
  } catch {
    // Without the cause: its message has the key.
    throw new UnrecoverableError(`OPENAI_API_KEYS: the key for ${label} has characters that a header cannot have`);
  }
  return headers;
}
