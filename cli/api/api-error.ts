import type { Problem } from '../../dashboard/problem.js';
import { ERROR_CODES, type ErrorCode, FleetError } from '../../shared/errors.js';
import { CliError } from '../cli-error.js';
import { EXIT } from '../exit-codes.js';
import { oneLine } from '../output.js';
import { TOKEN_ENV } from './address.js';

/** There is an answer, and it is not one of taskfleet's API. */
export function notAnApi(url: string, what: string): CliError {
  return new CliError(
    'NOT_AN_API',
    EXIT.API_UNREACHABLE,
    `What answers at ${url} is not a taskfleet API: ${what}. Is it the URL of a dashboard?`,
  );
}

/** There is no answer. `limitMs` if it was waited for so long. */
export function unreachable(url: string, error: unknown, limitMs: number): CliError {
  return new CliError('API_UNREACHABLE', EXIT.API_UNREACHABLE, `Cannot reach the API at ${url}: ${reasonOf(error, limitMs)}`);
}

/** An error that the API has answered with: the same code, message and details as if it had been thrown here. */
export function errorOf(url: string, status: number, body: unknown): FleetError | CliError {
  if (isProblem(body)) {
    const { type: _, title: _title, status: _status, detail, code, request_id: requestId, ...details } = body;
    if (Object.hasOwn(ERROR_CODES, code))
      return new FleetError(code as ErrorCode, oneLine(messageFor(code as ErrorCode, detail)), { details });
    return new CliError('API_FAILED', EXIT.INTERNAL, oneLine(`The API at ${url} failed: ${detail} (request ${requestId ?? 'without id'})`));
  }
  // A proxy in front of it answers so.
  if (status === 502 || status === 503 || status === 504)
    return new CliError(
      'API_UNREACHABLE',
      EXIT.API_UNREACHABLE,
      `Cannot reach the API at ${url}: a proxy in front of it answers ${status}.`,
    );
  if (status >= 300 && status < 400) return notAnApi(url, `it redirects (${status})`);
  return notAnApi(url, `it answers ${status}`);
}

/** Whether the same request may succeed a moment later. */
export function isPassing(error: unknown): boolean {
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
  return `The API wants to know who asks: ${detail} Set ${TOKEN_ENV} to a token that it knows, of the role viewer at least.`;
}

/** fetch says no more than that it failed; its cause has the reason. */
function reasonOf(error: unknown, limitMs: number): string {
  if (error instanceof Error && error.name === 'TimeoutError') return `no answer within ${Math.round(limitMs / 1_000)} s.`;
  const cause =
    error instanceof Error && error.cause instanceof AggregateError ? error.cause.errors[0] : error instanceof Error ? error.cause : null;
  const { code = '', message = 'the connection broke' } = (cause ?? {}) as { code?: string; message?: string };
  if (/CERT|SIGNATURE|ISSUER/.test(code))
    return `its certificate is not trusted here (${code}). NODE_EXTRA_CA_CERTS names a file with the authority that is.`;
  if (/^ERR_SSL|^EPROTO$/.test(code)) return `it does not speak TLS as expected (${code}). Is it https:// or http://?`;
  return `${oneLine(code === '' ? message : code)}.`;
}
