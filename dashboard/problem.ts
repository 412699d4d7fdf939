import { STATUS_CODES, type ServerResponse } from 'node:http';
import type { ErrorRequestHandler } from 'express';
import { ERROR_CODES, type ErrorCode, isFleetError, messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import { RepeatedLines } from '../shared/repeated-lines.js';
import { membersOf, shorten } from './problem-members.js';
import { requestIdOf } from './request-context.js';
import { sendJson } from './send-json.js';

/** `INTERNAL_ERROR`: something unexpected, which is in the log and not in the answer. The others are the fleet's own. */
export type ProblemCode = ErrorCode | 'INTERNAL_ERROR';

/** An error as RFC 9457 has it, sent as `application/problem+json`. */
export interface Problem {
  /** Always `about:blank`: `code` tells errors apart. */
  readonly type: 'about:blank';
  /** The status in words. */
  readonly title: string;
  readonly status: number;
  /** For people. Decide by `code`, never by this. */
  readonly detail: string;
  readonly code: ProblemCode;
  /** Names the request in the log, as its `X-Request-Id` does. */
  readonly request_id: string | null;
}

/** What else happens in a route is our own mistake: 500. */
export const STATUS_OF: Partial<Record<ErrorCode, number>> = {
  BAD_REQUEST: 400,
  INVALID_ID: 400,
  INVALID_INPUT: 400,
  INVALID_ITEM: 400,
  INVALID_OPTION: 400,
  UNKNOWN_TASK: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  SCHEDULE_NOT_FOUND: 404,
  TASK_NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  REQUEST_TIMEOUT: 408,
  IDEMPOTENCY_IN_PROGRESS: 409,
  ITEM_BUSY: 409,
  MALFORMED_DATA: 409,
  TASK_FINISHED: 409,
  TASK_NOT_RETRYABLE: 409,
  BODY_TOO_LARGE: 413,
  INPUT_TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  IDEMPOTENCY_CONFLICT: 422,
  TOO_MANY_REQUESTS: 429,
  NOT_REPLICATED: 503,
  REDIS_UNAVAILABLE: 503,
  REDIS_OUT_OF_MEMORY: 503,
  REDIS_WRONG_TYPE: 503,
  REDIS_ERROR: 503,
  KEYS_UNAVAILABLE: 503,
  CLOSED: 503,
};
/** In seconds. By then the producer, which tries again every two seconds at the latest, has noticed that Redis is back. */
const RETRY_AFTER = '2';
/** The same failure of the same request is logged this often, in ms, with how often it happened since. */
const LOG_EVERY_MS = 60_000;

/**
 * The last in the chain: answers every error of the routes with a {@link Problem}. 4xx says what was wrong; 503 has
 * `Retry-After` and says no more than that Redis is away or unusable, not where it is; 500 says nothing. What an operator has to cure is logged.
 * @param shape adds what certain callers want to find in it
 */
export function problemHandler(logger: Logger, shape: (problem: Problem) => Problem = (problem) => problem): ErrorRequestHandler {
  const lines = new RepeatedLines(logger, { intervalMs: LOG_EVERY_MS });
  return (error: unknown, req, res, _next) => {
    const problem: Problem = { ...problemOf(error), request_id: requestIdOf(res) };
    const path = req.baseUrl + req.path;
    if (isForTheLog(problem, error))
      lines.error(`${req.method} ${path} ${messageOf(error)}`, { error, method: req.method, path }, 'A request failed');
    // Half an answer is out: it must break off, or it could be taken for a whole one.
    if (res.headersSent) res.destroy();
    else sendProblem(res, shape(problem));
  };
}

function problemOf(error: unknown): Omit<Problem, 'request_id'> {
  const status = isFleetError(error) ? STATUS_OF[error.code] : undefined;
  if (!isFleetError(error) || status === undefined)
    return createProblem(500, 'INTERNAL_ERROR', 'Something went wrong here; it is in the log.');
  return { ...createProblem(status, error.code, status < 500 ? shorten(error.message) : ERROR_CODES[error.code]), ...membersOf(error) };
}

function createProblem(status: number, code: ProblemCode, detail: string): Omit<Problem, 'request_id'> {
  return { type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status, detail, code };
}

function sendProblem(res: ServerResponse, problem: Problem): void {
  const headers: Record<string, string> = problem.status === 503 ? { 'Retry-After': RETRY_AFTER } : {};
  sendJson(res, problem, { status: problem.status, type: 'application/problem+json', headers });
}

/** What the answer does not say, and no retry cures. */
function isForTheLog({ status, code }: Problem, error: unknown): boolean {
  return code === 'REDIS_WRONG_TYPE' || code === 'REDIS_ERROR' || (status === 500 && !isHangUp(error));
}

/** The client went away before it had the whole answer. */
function isHangUp(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_STREAM_PREMATURE_CLOSE';
}
