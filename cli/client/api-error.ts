import type { Problem } from '../../dashboard/http/problem.js';
import { ERROR_CODES, type ErrorCode, FleetError } from '../../shared/errors.js';
import { CliError } from '../cli-error.js';
import { EXIT } from '../exit-codes.js';
import { oneLine } from '../text/output.js';
import { TOKEN_ENV } from './address.js';

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
