import { randomUUID } from 'node:crypto';
import type { Problem } from '../../dashboard/http/problem.js';
import { ERROR_CODES, type ErrorCode, FleetError } from '../../shared/errors.js';
import { CliError, EXIT, usageError } from '../errors.js';
import type { Io } from '../io.js';
import type { GlobalOptions } from '../options.js';
import { oneLine } from '../text/output.js';

/** The URL of an API and the token for it. */
export interface ApiAddress {
  /** The base URL, without a trailing slash. */
  readonly url: string;
  /** Null for a dashboard without authentication. */
  readonly token: string | null;
}

/** The environment variables. Prefer TASKFLEET_TOKEN to `--token`, which every user of the machine can see in the process list. */
const API_ENV = 'TASKFLEET_API';
export const TOKEN_ENV = 'TASKFLEET_TOKEN';

const URL_EXPECTED = 'expected an http:// or https:// URL without user, query or fragment, such as https://fleet.example.org';
const TOKEN_EXPECTED = 'expected 1 to 8,192 letters, digits or . _ ~ + / = -';

/**
 * Returns the API that a command should use, or null for Redis. Options override the environment, where TASKFLEET_API
 * overrides REDIS_URL.
 * @throws CliError `USAGE`
 */
export function apiOf({ env }: Pick<Io, 'env'>, { api, token, redis, prefix }: GlobalOptions): ApiAddress | null {
  if (api !== undefined && redis !== undefined) throw usageError('Pass either --api or --redis, not both.');
  const url = api ?? (redis === undefined ? env[API_ENV] || undefined : undefined);
  if (url === undefined) {
    if (token !== undefined) throw usageError(`--token needs --api or ${API_ENV}.`);
    return null;
  }
  if (prefix !== undefined) throw usageError('--prefix cannot be used with the API, whose prefix is set by the dashboard.');
  const from = api === undefined ? API_ENV : '--api';
  return { url: checkUrl(url, from), token: checkToken(token ?? (env[TOKEN_ENV] || null), token === undefined ? TOKEN_ENV : '--token') };
}

/** Rejects API options for commands that need Redis itself. @throws CliError `USAGE` */
export function refuseApi({ api, token }: GlobalOptions, command: string): void {
  if (api !== undefined || token !== undefined) throw usageError(`taskfleet ${command} needs Redis and does not accept --api or --token.`);
}

/** The value is not repeated in the error: a URL may contain a password. */
function checkUrl(text: string, from: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash)
    throw usageError(`Bad ${from}: ${URL_EXPECTED}.`);
  return (url.origin + url.pathname).replace(/\/+$/, '').replace(/\/api\/v1$/, '');
}

function checkToken(token: string | null, from: string): string | null {
  if (token === null || /^[\w.~+/=-]{1,8192}$/.test(token)) return token;
  throw usageError(`Bad ${from}: ${TOKEN_EXPECTED}.`);
}

/** The error for a response that is not from a taskfleet API. */
export function notAnApi(url: string, what: string): CliError {
  return new CliError(
    'NOT_AN_API',
    EXIT.API_UNREACHABLE,
    `The server at ${url} is not a taskfleet API: ${what}. Pass the URL of a dashboard.`,
  );
}

/** The error for a request without a response. `limitMs` is the timeout that a TimeoutError reports. */
export function unreachable(url: string, error: unknown, limitMs: number): CliError {
  return new CliError('API_UNREACHABLE', EXIT.API_UNREACHABLE, `Cannot reach the API at ${url}: ${reasonOf(error, limitMs)}`);
}

/** Converts an error response into the error that the API threw, with the same code, message and details. */
export function errorOf(url: string, status: number, body: unknown): FleetError | CliError {
  if (isProblem(body)) {
    const { type: _, title: _title, status: _status, detail, code, request_id: requestId, ...details } = body;
    if (Object.hasOwn(ERROR_CODES, code))
      return new FleetError(code as ErrorCode, oneLine(messageFor(code as ErrorCode, detail)), { details });
    return new CliError('API_FAILED', EXIT.INTERNAL, oneLine(`The API at ${url} failed: ${detail} (request ${requestId ?? 'without id'})`));
  }
  // These come from a proxy in front of the API.
  if (status === 502 || status === 503 || status === 504)
    return new CliError(
      'API_UNREACHABLE',
      EXIT.API_UNREACHABLE,
      `Cannot reach the API at ${url}: a proxy in front of it answered ${status}.`,
    );
  if (status >= 300 && status < 400) return notAnApi(url, `it redirects (${status})`);
  return notAnApi(url, `it answers ${status}`);
}

/** Returns whether the same request may succeed a moment later. */
export function isTransient(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    ['API_UNREACHABLE', 'REDIS_UNAVAILABLE', 'KEYS_UNAVAILABLE', 'CLOSED', 'TOO_MANY_REQUESTS'].includes(String(error.code))
  );
}

function isProblem(body: unknown): body is Problem {
  const { code, detail } = (body ?? {}) as Partial<Problem>;
  return typeof code === 'string' && typeof detail === 'string';
}

function messageFor(code: ErrorCode, detail: string): string {
  if (code !== 'UNAUTHENTICATED') return detail;
  return `The API requires authentication: ${detail} Set ${TOKEN_ENV} to a valid token with at least the viewer role.`;
}

/** Returns the reason of a failed fetch, which only its `cause` tells. */
function reasonOf(error: unknown, limitMs: number): string {
  if (error instanceof Error && error.name === 'TimeoutError') return `no answer within ${Math.round(limitMs / 1_000)} s.`;
  const cause =
    error instanceof Error && error.cause instanceof AggregateError ? error.cause.errors[0] : error instanceof Error ? error.cause : null;
  const { code = '', message = 'the connection broke' } = (cause ?? {}) as { code?: string; message?: string };
  if (/CERT|SIGNATURE|ISSUER/.test(code))
    return `its certificate is not trusted (${code}). Set NODE_EXTRA_CA_CERTS to a file with the issuing CA.`;
  if (/^ERR_SSL|^EPROTO$/.test(code)) return `TLS failed (${code}). Check whether the URL should start with https:// or http://.`;
  return `${oneLine(code === '' ? message : code)}.`;
}

export interface ApiRequest {
  readonly method?: 'GET' | 'POST' | 'DELETE';
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** Extra time for the response, in ms. Default 0. */
  readonly extraMs?: number;
}

/** Response timeout in ms, longer than the API's own wait for Redis. */
const LIMIT_MS = 20_000;

/** Sends requests to an API and parses its responses. The token appears in request headers only. */
export class ApiConnection {
  readonly url: string;
  readonly #headers: Readonly<Record<string, string>>;

  constructor({ url, token }: ApiAddress) {
    this.url = url;
    this.#headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  }

  /**
   * Sends a request below `/api/v1` and returns its JSON through `convert`.
   * @throws the API's FleetError; CliError `API_UNREACHABLE`, `NOT_AN_API`, `API_FAILED`
   */
  ask<Value>(path: string, convert: (body: never) => Value, request: ApiRequest = {}): Promise<Value> {
    return this.#read(`/api/v1${path}`, convert, request, false);
  }

  /** Returns the answer of `/readyz`, also if it is 503 (not ready). */
  askReadiness<Value>(convert: (body: never) => Value): Promise<Value> {
    return this.#read('/readyz', convert, {}, true);
  }

  /** Opens an event stream; null if there are no more events. `leave` closes it. */
  async open(path: string, request: ApiRequest, leave: AbortSignal): Promise<ReadableStream<Uint8Array> | null> {
    const response = await this.#send(
      `/api/v1${path}`,
      { ...request, headers: { ...request.headers, Accept: 'text/event-stream' } },
      leave,
    );
    if (response.status === 204) return null;
    if (response.ok && response.body && isOf(response, 'text/event-stream')) return response.body;
    throw await this.#errorOf(response);
  }

  async #read<Value>(path: string, convert: (body: never) => Value, request: ApiRequest, evenIfUnready: boolean): Promise<Value> {
    const limitMs = LIMIT_MS + (request.extraMs ?? 0);
    const limit = AbortSignal.timeout(limitMs);
    const response = await this.#send(path, request, limit, limitMs);
    if (!response.ok && !(evenIfUnready && response.status === 503 && isOf(response, 'application/json')))
      throw await this.#errorOf(response);
    if (response.status !== 204 && !isOf(response, 'application/json')) throw notAnApi(this.url, 'it does not answer with JSON');
    const text = await response.text().catch((error: unknown) => {
      throw unreachable(this.url, error, limitMs);
    });
    try {
      return convert((text === '' ? null : JSON.parse(text)) as never);
    } catch {
      throw notAnApi(this.url, 'its JSON has an unexpected shape');
    }
  }

  async #send(
    path: string,
    { method = 'GET', query = {}, body, headers, signal }: ApiRequest,
    limit: AbortSignal,
    limitMs = LIMIT_MS,
  ): Promise<Response> {
    const url = new URL(`${this.url}${path}`);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, String(value));
    try {
      return await fetch(url, {
        ...{ method, redirect: 'manual', signal: signal ? AbortSignal.any([signal, limit]) : limit },
        headers: {
          Accept: 'application/json',
          'X-Request-Id': randomUUID(),
          ...this.#headers,
          ...(body && { 'Content-Type': 'application/json' }),
          ...headers,
        },
        ...(body && { body: JSON.stringify(body) }),
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw unreachable(this.url, error, limitMs);
    }
  }

  async #errorOf(response: Response): Promise<Error> {
    const text = await response.text().catch(() => '');
    return errorOf(this.url, response.status, parse(text));
  }
}

function isOf({ headers }: Response, type: string): boolean {
  return (headers.get('content-type') ?? '').startsWith(type);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
