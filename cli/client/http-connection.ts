import { randomUUID } from 'node:crypto';
import { type StreamOptions, TaskfleetClient, TaskfleetError, UnexpectedResponseError } from '../../client/index.js';
import { ERROR_CODES, type ErrorCode, FleetError } from '../../shared/errors.js';
import { CliError, EXIT } from '../errors.js';
import { oneLine } from '../text/output.js';
import { type ApiAddress, TOKEN_ENV } from './api-address.js';

/** The error for a response that is not from a taskfleet API. */
export function notAnApi(url: string, what: string): CliError {
  return new CliError(
    'NOT_AN_API',
    EXIT.API_UNREACHABLE,
    `The server at ${url} is not a taskfleet API: ${what}. Pass the URL of a dashboard.`,
  );
}

/** The error for a request without a response. `limitMs` is the timeout that a TimeoutError reports. */
function unreachable(url: string, error: unknown, limitMs: number): CliError {
  return new CliError('API_UNREACHABLE', EXIT.API_UNREACHABLE, `Cannot reach the API at ${url}: ${reasonOf(error, limitMs)}`);
}

/** Returns the error of the command for an error of the API's client. @param odd describes an answer of status 200 that is not the API's */
function commandError(url: string, error: unknown, limitMs: number, odd: string): unknown {
  if (!(error instanceof TaskfleetError)) return error;
  const { code, status, detail, problem, requestId } = error;
  if (code === 'UNREACHABLE') return unreachable(url, error.cause, limitMs);
  if (problem) {
    const { type: _, title: _title, status: _status, detail: _detail, code: _code, request_id: _id, ...details } = problem;
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
  if (status >= 200 && status < 300) return notAnApi(url, odd);
  return notAnApi(url, status >= 300 && status < 400 ? `it redirects (${status})` : `it answers ${status}`);
}

/** Returns whether the same request may succeed a moment later. */
export function isTransient(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    ['API_UNREACHABLE', 'REDIS_UNAVAILABLE', 'KEYS_UNAVAILABLE', 'CLOSED', 'TOO_MANY_REQUESTS'].includes(String(error.code))
  );
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
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly query?: Readonly<Record<string, string | number | readonly string[] | undefined>>;
  readonly body?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** Response timeout in ms, longer than the API's own wait for Redis. */
const LIMIT_MS = 20_000;
/** A stream that is silent for this long, in ms, is broken: the API sends something every 15 s. */
const SILENT_MS = 45_000;
/** How long to retry a lost stream, in ms: long enough for a dashboard to restart. */
const GIVE_UP_MS = 60_000;

/** The client of an API, with the errors of the command. The token appears in request headers only. */
export class ApiConnection {
  readonly url: string;
  readonly #client: TaskfleetClient;

  constructor({ url, token }: ApiAddress) {
    this.url = url;
    this.#client = new TaskfleetClient({
      ...{ baseUrl: url, timeoutMs: LIMIT_MS, silenceMs: SILENT_MS },
      headers: () => ({ 'X-Request-Id': randomUUID() }),
      ...(token !== null && { token }),
    });
  }

  /**
   * Sends a request below `/api/v1` and returns its JSON through `convert`.
   * @throws the API's FleetError; CliError `API_UNREACHABLE`, `NOT_AN_API`, `API_FAILED`
   */
  async ask<Value>(path: string, convert: (body: never) => Value, { method = 'GET', ...options }: ApiRequest = {}): Promise<Value> {
    return this.#converted(await this.call((client) => client.request(method, path, options)), convert);
  }

  /** Makes a call of the client. @param waitMs the wait that it asks the API for */
  async call<Value>(call: (client: TaskfleetClient) => Promise<Value>, waitMs = 0): Promise<Value> {
    try {
      return await call(this.#client);
    } catch (error) {
      throw commandError(this.url, error, LIMIT_MS + waitMs, 'it does not answer with JSON');
    }
  }

  /**
   * Yields the values of a stream through `convert`. A lost stream is resumed, for a minute; one that never was open is not.
   * @throws as `ask`
   */
  async *follow<Json, Value>(
    open: (client: TaskfleetClient, options: Pick<StreamOptions, 'onConnection'>) => AsyncIterable<Json>,
    convert: (json: Json) => Value,
  ): AsyncGenerator<Value, void, undefined> {
    try {
      for await (const json of open(this.#client, { onConnection: patience() })) yield convert(json);
    } catch (error) {
      throw error instanceof TypeError ? notAnApi(this.url, ODD_EVENTS) : commandError(this.url, error, SILENT_MS, ODD_EVENTS);
    }
  }

  /** Returns the answer of `/readyz`, which is beside the API, also if it is 503 (not ready). */
  async askReadiness<Value>(convert: (body: never) => Value): Promise<Value> {
    const response = await fetch(`${this.url}/readyz`, { redirect: 'manual', signal: AbortSignal.timeout(LIMIT_MS) }).catch(
      (error: unknown) => {
        throw unreachable(this.url, error, LIMIT_MS);
      },
    );
    const body: unknown = await response.json().catch(() => null);
    const { status } = response;
    if (body !== null && (response.ok || status === 503)) return this.#converted(body, convert);
    const error = new UnexpectedResponseError('UNEXPECTED_RESPONSE', 'No readiness', { status });
    throw commandError(this.url, error, LIMIT_MS, 'it does not answer with JSON');
  }

  #converted<Value>(body: unknown, convert: (body: never) => Value): Value {
    try {
      return convert(body as never);
    } catch {
      throw notAnApi(this.url, 'its JSON has an unexpected shape');
    }
  }
}

const ODD_EVENTS = 'its events have an unexpected format';

/** Returns a listener that ends a stream whose connection cannot be opened, or stays lost for too long. */
function patience(): NonNullable<StreamOptions['onConnection']> {
  let lostAt = 0;
  return (change) => {
    if (change.state === 'open') lostAt = 0;
    if (change.state !== 'lost' || change.error === null) return;
    lostAt ||= performance.now();
    if (!change.wasOpen || performance.now() - lostAt > GIVE_UP_MS) throw change.error;
  };
}
