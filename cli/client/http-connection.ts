import { randomUUID } from 'node:crypto';
import type { ApiAddress } from './address.js';
import { errorOf, notAnApi, unreachable } from './api-error.js';

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
