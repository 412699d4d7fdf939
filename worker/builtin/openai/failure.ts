import { RetryableError } from '../../run/retry-delay.js';
import type { ReportedError } from './reported-error.js';

/** The longest wait before the next attempt that a server may ask for, in ms; longer ones are cut. */
export const MAX_RETRY_AFTER_MS = 300_000;

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

export interface FailureFacts {
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
export class UpstreamFailure extends RetryableError {
  override readonly name = 'UpstreamFailure';
  /** Whether another attempt would get the same answer. */
  readonly final: boolean;
  readonly #words: string;
  readonly #status: number | null;

  constructor(message: string, { words = '', status = null, final = false, retryAfterMs = null }: FailureFacts = {}) {
    super(message, final ? null : retryAfterMs);
    this.final = final;
    // Private, so that no log shows them: they may contain secrets.
    this.#words = words;
    this.#status = status;
  }

  /** Returns whether the server refused the request as invalid and mentions one of these words. */
  objectsTo(names: RegExp): boolean {
    return !PASSING.has(this.#status) && names.test(this.#words);
  }
}

/** Returns whether the same request would fail again: after 3xx, after 4xx except {@link PASSING}, and with a final error code. */
export function isFinalAnswer({ status, codes }: Pick<ReportedError, 'status' | 'codes'>): boolean {
  if (codes.some((code) => FINAL_CODES.has(code))) return true;
  if (status === null) return codes.some((code) => FINAL_TYPES.has(code));
  return status >= 300 && status < 500 && !PASSING.has(status);
}

/**
 * Returns the wait that a response asks for in `Retry-After` (seconds or a date) or `retry-after-ms`, at most {@link MAX_RETRY_AFTER_MS}.
 */
export function retryAfterOf(headers: Headers, now: number = Date.now()): number | null {
  const inMs = Number(headers.get('retry-after-ms') ?? Number.NaN);
  const after = headers.get('retry-after') ?? '';
  const ms = inMs > 0 ? inMs : /^\s*\d+(\.\d+)?\s*$/.test(after) ? Number(after) * 1_000 : Date.parse(after) - now;
  return ms > 0 ? Math.min(Math.ceil(ms), MAX_RETRY_AFTER_MS) : null;
}
