import { UnrecoverableError } from 'bullmq';
import type { Settings } from '../../../shared/settings/settings.js';

/** Most characters of a server's own words in an error message. */
const MAX_EXCERPT = 500;

/** Characters of an HTML page that are searched for text. */
const MAX_PAGE = 16_384;

/** A shorter query value, such as `v=1`, is not a secret, and would match inside words. */
const SHORTEST_SECRET = 4;

/** One of the OpenAI-compatible servers of OPENAI_API_BASE_URLS. */
export interface OpenAiUpstream {
  /** The base URL for messages: without query, which may contain a key. */
  readonly label: string;
  /** Returns the URL of an endpoint: `endpoint('chat/completions')`. The base URL's query is kept. */
  endpoint(path: string): URL;
  /** Includes `authorization` if a key is set for this server. */
  readonly headers: Headers;
  /** Returns the server's words for a message: at most {@link MAX_EXCERPT} characters, without key and query; the text of an HTML page. */
  excerpt(text: string): string;
}

/**
 * Returns the server at an index of OPENAI_API_BASE_URLS, with the key at the same index of OPENAI_API_KEYS.
 * @throws UnrecoverableError if there is no such server, or if its URL or key is unusable
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

/** Returns a base URL for messages: without query and credentials. */
export function labelOf(base: string): string {
  const { origin, pathname } = new URL(base);
  return origin + pathname;
}

/** Returns the text of an HTML page with content; any other text unchanged. */
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
 * Returns the secrets that a server might echo: plain, URL-encoded and JSON-escaped. The longest come first, so that no part of one is left
 * over.
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
    // Without the cause, whose message contains the key.
    throw new UnrecoverableError(`OPENAI_API_KEYS: the key for ${label} has characters that are not allowed in a header`);
  }
  return headers;
}

/** Watches the connection to a server during one attempt. */
export interface Line {
  /** Aborted with the task's own reason, or with an Error after too long a silence. */
  readonly signal: AbortSignal;
  /** Notes received data: the silence starts again. */
  readonly heard: () => void;
  /** Sets the longest silence from now on, in ms. */
  readonly limit: (ms: number) => void;
  /** Stops watching. The connection itself closes when the loop over the response is left. */
  close(): void;
}

interface LineOptions {
  /** The task's signal. */
  readonly signal: AbortSignal;
  /** Longest silence, in ms. */
  readonly timeoutMs: number;
  /** The message of the Error after too long a silence. */
  readonly late: string;
}

/** Starts watching. */
export function openLine({ signal: task, timeoutMs, late }: LineOptions): Line {
  const controller = new AbortController();
  const hangUp = (): void => controller.abort(task.reason);
  if (task.aborted) hangUp();
  task.addEventListener('abort', hangUp, { once: true });
  const watch = (ms: number): NodeJS.Timeout => setTimeout(() => controller.abort(new Error(late)), ms);
  let silence = watch(timeoutMs);
  return {
    signal: controller.signal,
    heard: () => void silence.refresh(),
    limit(ms) {
      clearTimeout(silence);
      silence = watch(Math.min(ms, timeoutMs));
    },
    close() {
      clearTimeout(silence);
      task.removeEventListener('abort', hangUp);
    },
  };
}
