import { RetryAfter } from '../../../shared/attempt/retry-after.js';
import { messageOf } from '../../../shared/errors.js';
import { unrecoverable } from '../../run/outcome.js';
import { type ReportedError, findError } from './reported-error.js';
import type { OpenAiUpstream } from './upstream.js';

/** Most bytes read from the body of a refusal: enough for an excerpt. */
const REFUSAL_LENGTH = 16_384;

/**
 * Sends a request to a server, with its key.
 * @throws Error with the server, if it cannot be reached
 */
export async function request(
  upstream: OpenAiUpstream,
  path: string,
  init: Pick<RequestInit, 'method' | 'body' | 'signal'>,
): Promise<Response> {
  try {
    // A redirect would turn a POST into a GET, or send prompt and key to an unconfigured server.
    return await fetch(upstream.endpoint(path), { ...init, headers: upstream.headers, redirect: 'manual' });
  } catch (error) {
    throw new Error(`Cannot reach ${upstream.label}: ${networkMessage(error)}`, { cause: error });
  }
}

/**
 * Yields the bytes of an answer. Leaving the loop closes the connection.
 * @throws ConnectionBroken with the server, if the answer breaks off
 */
export async function* bytesOf(response: Response, upstream: OpenAiUpstream): AsyncGenerator<Uint8Array, void, void> {
  if (response.body === null) return;
  try {
    yield* response.body as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw new ConnectionBroken(`The stream from ${upstream.label} broke off: ${networkMessage(error)}`, { cause: error });
  }
}

/** Describes an answer that is not 2xx: its status and an excerpt of its body. */
export async function refusalOf(response: Response, upstream: OpenAiUpstream): Promise<UpstreamFailure> {
  const words = await startOf(response, upstream);
  const excerpt = upstream.excerpt(words);
  return new UpstreamFailure(`${upstream.label} answered ${response.status}${excerpt === '' ? '' : `: ${excerpt}`}`, {
    words,
    status: response.status,
    final: isFinalAnswer({ codes: codesIn(words), status: response.status }),
    retryAfterMs: retryAfterOf(response.headers),
  });
}

function codesIn(body: string): readonly string[] {
  try {
    return findError(JSON.parse(body))?.codes ?? [];
  } catch {
    return [];
  }
}

/** Reads the start of a body. A body that breaks off ends there. */
async function startOf(response: Response, upstream: OpenAiUpstream): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  try {
    for await (const bytes of bytesOf(response, upstream)) {
      text += decoder.decode(bytes, { stream: true });
      if (text.length >= REFUSAL_LENGTH) break;
    }
  } catch {
    return text;
  }
  return text;
}

/** Returns the network error, which fetch hides in the cause of `fetch failed` and `terminated`. */
function networkMessage(error: unknown): string {
  return messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error);
}

/** The connection to a server broke during an answer. */
export class ConnectionBroken extends Error {
  override readonly name = 'ConnectionBroken';
}

interface FailureFacts {
  /** The server's words, unchanged. Default: none. */
  readonly words?: string;
  /** Default: null, for an error without a status. */
  readonly status?: number | null;
  /** Default: false. */
  readonly final?: boolean;
  /** Default: null. */
  readonly retryAfterMs?: number | null;
}

/** A server refused a request, reported an error, or sent an invalid answer. */
export class UpstreamFailure extends Error {
  override readonly name = 'UpstreamFailure';
  /** Whether another attempt would get the same answer. */
  readonly final: boolean;
  /** The wait that the server asks for, in ms; null without one. */
  readonly retryAfterMs: number | null;
  readonly #words: string;
  readonly #status: number | null;

  constructor(message: string, { words = '', status = null, final = false, retryAfterMs = null }: FailureFacts = {}) {
    super(message);
    this.final = final;
    this.retryAfterMs = retryAfterMs;
    // Private, so that no log shows them: they may contain secrets.
    this.#words = words;
    this.#status = status;
  }

  /**
   * Returns the error to throw: an `UnrecoverableError` if another attempt would get the same answer, a `RetryAfter` for 429 and 503 with
   * `Retry-After`, or this one.
   * @param maxDelayMs the longest wait that a server may ask for
   */
  toThrow(maxDelayMs: number): Error {
    if (this.final) return unrecoverable(this);
    if (this.retryAfterMs === null || !BUSY.has(this.#status)) return this;
    return new RetryAfter(Math.min(this.retryAfterMs, maxDelayMs), this.message, { cause: this });
  }

  /** Returns whether the server refused the request as invalid and mentions one of these words. */
  objectsTo(names: RegExp): boolean {
    return !PASSING.has(this.#status) && names.test(this.#words);
  }
}

/** Statuses whose `Retry-After` counts: too many requests, and overloaded or down for maintenance. */
const BUSY: ReadonlySet<number | null> = new Set([429, 503]);

/** Statuses below 500 that may pass: the same request may get another answer. */
const PASSING: ReadonlySet<number | null> = new Set([408, 409, 425, 429]);

/** Error codes that make an answer final, no matter the status: 429 is also the status of an account without credit. */
const FINAL_CODES: ReadonlySet<string> = new Set([
  ...['insufficient_quota', 'billing_hard_limit_reached', 'billing_not_active', 'account_deactivated', 'invalid_api_key'],
  ...['context_length_exceeded', 'model_not_found', 'content_policy_violation'],
  '42902', // FastChat: quota exhausted; 42901 is too many requests
]);

/** Kinds of error that mean a status below 500, for errors in a stream without a status. */
const FINAL_TYPES: ReadonlySet<string> = new Set([
  ...['invalid_request_error', 'authentication_error', 'permission_error', 'not_found_error', 'request_too_large'],
  ...['BadRequestError', 'AuthenticationError', 'PermissionDeniedError', 'NotFoundError', 'UnprocessableEntityError'],
]);

/** Returns whether the same request would fail again: after 3xx, after 4xx except {@link PASSING}, and with a final error code. */
export function isFinalAnswer({ status, codes }: Pick<ReportedError, 'status' | 'codes'>): boolean {
  if (codes.some((code) => FINAL_CODES.has(code))) return true;
  if (status === null) return codes.some((code) => FINAL_TYPES.has(code));
  return status >= 300 && status < 500 && !PASSING.has(status);
}

/** Returns the wait that a response asks for in `Retry-After` (seconds or a date) or `retry-after-ms`, in ms; null without one. */
export function retryAfterOf(headers: Headers, now: number = Date.now()): number | null {
  const inMs = Number(headers.get('retry-after-ms') ?? Number.NaN);
  const after = headers.get('retry-after') ?? '';
  const ms = inMs > 0 ? inMs : /^\s*\d+(\.\d+)?\s*$/.test(after) ? Number(after) * 1_000 : Date.parse(after) - now;
  return ms > 0 ? Math.ceil(ms) : null;
}
