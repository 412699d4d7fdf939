import type { ApiErrorCode } from '../shared/http-status.js';
import type { Problem } from './bodies.js';
import { ERROR_CLASSES } from './error-classes.js';
import { TaskfleetError, UnexpectedResponseError, UnreachableError, nameOf } from './errors.js';
import { TokenSource } from './token.js';

export interface ClientOptions {
  /** The URL of the dashboard with its mount, such as `https://app.example/fleet`; in a browser `''` for the root of the page's origin. */
  readonly baseUrl: string;
  /**
   * A token, or a function that returns one: called before the first request, and once for each answer 401. If it throws, the API counts as
   * unreachable, so that streams try again; a {@link TaskfleetError} is thrown as it is. Default: none.
   */
  readonly token?: string | (() => string | Promise<string>);
  /** Default: the global `fetch`. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** Headers of each request, or a function that returns them. Default: none. */
  readonly headers?: RequestHeaders | ((method: Method) => RequestHeaders | Promise<RequestHeaders>);
  /** Of `fetch`: `include` sends cookies to another origin. Default `same-origin`. */
  readonly credentials?: 'include' | 'omit' | 'same-origin';
  /** Maximum time for an answer, in ms, beside the wait that a call asks for. Default 20,000. */
  readonly timeoutMs?: number;
  /** A stream that is silent for longer, in ms, counts as broken: the API sends something every 15 s. Default 45,000. */
  readonly silenceMs?: number;
}

type RequestHeaders = Readonly<Record<string, string>>;
export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';
export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface CallOptions {
  readonly query?: Query | undefined;
  /** Sent as JSON. */
  readonly body?: object | undefined;
  readonly headers?: RequestHeaders | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Additional time for the answer, in ms. Default 0. */
  readonly extraMs?: number;
}

const TIMEOUT_MS = 20_000;
const SILENCE_MS = 45_000;
const EVENT_STREAM = 'text/event-stream';

interface Request extends Omit<CallOptions, 'extraMs' | 'body'> {
  readonly body?: string | undefined;
  readonly method: Method;
  readonly path: string;
}

/** Sends requests to the API and reads its answers. The token is in a header only. */
export class Connection {
  readonly silenceMs: number;
  readonly #url: string;
  readonly #tokens: TokenSource;

  constructor(private readonly options: ClientOptions) {
    this.silenceMs = options.silenceMs ?? SILENCE_MS;
    this.#url = `${options.baseUrl.replace(/\/*(\/api\/v1\/*)?$/, '')}/api/v1`;
    this.#tokens = new TokenSource(options.token);
  }

  /** Sends a request and returns the JSON of its answer, or null without a body. `path` is below `/api/v1`. */
  async request<Body>(method: Method, path: string, { extraMs = 0, body, ...call }: CallOptions = {}): Promise<Body> {
    const limit = AbortSignal.timeout((this.options.timeoutMs ?? TIMEOUT_MS) + extraMs);
    const response = await this.#send({ method, path, ...call, body: body && JSON.stringify(body) }, limit);
    const json = response.status === 204 ? null : await this.#read(response, call.signal);
    if (!response.ok || json === undefined) throw this.#errorOf(response, json);
    return json as Body;
  }

  /** Opens an event stream; null if there are no more events. `leave` closes it. */
  async open(path: string, call: Pick<CallOptions, 'headers' | 'signal'>, leave: AbortSignal): Promise<ReadableStream<Uint8Array> | null> {
    const response = await this.#send({ method: 'GET', path, ...call, headers: { Accept: EVENT_STREAM, ...call.headers } }, leave);
    if (response.status === 204) return null;
    if (response.ok && response.headers.get('Content-Type')?.startsWith(EVENT_STREAM)) return response.body;
    throw this.#errorOf(response, await this.#read(response, call.signal));
  }

  /** Returns the JSON of an answer; undefined if it is something else. */
  async #read(response: Response, signal: AbortSignal | undefined): Promise<unknown> {
    const text = await this.answered(response.text(), signal);
    try {
      return JSON.parse(text);
    } catch {
      return undefined;
    }
  }

  /** Waits for a part of an answer. @throws UnreachableError, or the signal's reason */
  async answered<Value>(part: Promise<Value>, signal: AbortSignal | undefined): Promise<Value> {
    try {
      return await part;
    } catch (cause) {
      signal?.throwIfAborted();
      if (cause instanceof TaskfleetError) throw cause;
      throw new UnreachableError('UNREACHABLE', `Cannot reach the API at ${this.#url}: ${(cause as Error).message}`, { cause });
    }
  }

  /** Waits for an answer, until the signal or the limit aborts: the function that gives the token may hang. */
  #send(request: Request, limit: AbortSignal): Promise<Response> {
    const { signal } = request;
    const either = AbortSignal.any([limit, signal ?? limit]);
    const aborted = new Promise<never>((_, reject) => {
      either.throwIfAborted();
      either.addEventListener('abort', () => reject(either.reason as Error));
    });
    return this.answered(Promise.race([this.#answerOf(request, either), aborted]), signal);
  }

  /** Sends a request; again with another token if the answer is 401. */
  async #answerOf(request: Request, signal: AbortSignal): Promise<Response> {
    const token = await this.#tokens.read();
    const response = await this.#fetch(request, signal, token);
    if (response.status !== 401) return response;
    const next = await this.#tokens.replace(token);
    if (next === token) return response;
    void response.body?.cancel();
    return this.#fetch(request, signal, next);
  }

  async #fetch({ method, path, query, body, headers }: Request, signal: AbortSignal, token: string | null): Promise<Response> {
    const { fetch = globalThis.fetch, headers: own, credentials } = this.options;
    return fetch(this.#url + path + textOf(query), {
      ...{ method, credentials, redirect: 'manual', body, signal },
      headers: {
        ...(body && { 'Content-Type': 'application/json' }),
        ...(token && { Authorization: `Bearer ${token}` }),
        ...(typeof own === 'function' ? await own(method) : own),
        ...headers,
      },
    } as RequestInit);
  }

  /** Returns the error of an answer, of the class of its code. */
  #errorOf({ status, headers }: Response, body: unknown): TaskfleetError {
    const problem = (body ?? {}) as Problem;
    const facts = { status, retryAfterMs: retryAfterOf(headers) };
    if (status >= 400 && problem.code && problem.detail) {
      const Class = (ERROR_CLASSES as Readonly<Record<string, typeof TaskfleetError>>)[nameOf(problem.code)] ?? TaskfleetError;
      return new Class(problem.code as ApiErrorCode, problem.detail, { ...facts, problem });
    }
    const what = `${status || 'redirect'}, ${headers.get('Content-Type') ?? 'no body'}`;
    return new UnexpectedResponseError('UNEXPECTED_RESPONSE', `Expected a taskfleet API at ${this.#url}, got ${what}.`, facts);
  }
}

function textOf(query: Query = {}): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    for (const one of [value].flat()) if (one !== undefined) params.append(name, String(one));
  const text = String(params);
  return text && `?${text}`;
}

/** Returns the wait of `Retry-After`, seconds or a date, in ms. */
function retryAfterOf(headers: Headers): number | null {
  const text = headers.get('Retry-After') ?? '';
  const ms = Number(text) * 1_000 || Date.parse(text) - Date.now();
  // Timers of some more days fire at once.
  return ms >= 0 ? Math.min(ms, 2e9) : null;
}
