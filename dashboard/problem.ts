import { STATUS_CODES, type ServerResponse } from 'node:http';
import type { ErrorRequestHandler } from 'express';
import { ERROR_CODES, type ErrorCode, isFleetError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
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
}

/** What else happens in a route is our own mistake: 500. */
const STATUS_OF: Partial<Record<ErrorCode, number>> = {
  INVALID_ID: 400,
  INVALID_ITEM: 400,
  REDIS_UNAVAILABLE: 503,
  CLOSED: 503,
};
/** In seconds. By then the producer, which tries again every two seconds at the latest, has noticed that Redis is back. */
const RETRY_AFTER = '2';

/**
 * The last in the chain: answers every error of the routes with a {@link Problem}. 400 says what was wrong; 503 has
 * `Retry-After` and says no more than that Redis is away, not where it is; 500 says nothing and is logged.
 */
export function problemHandler(logger: Logger): ErrorRequestHandler {
  return (error: unknown, req, res, _next) => {
    const problem = problemOf(error);
    if (problem.status === 500 && !isHangUp(error)) logger.error({ error, method: req.method, path: req.baseUrl + req.path }, 'A request failed');
    // Half an answer is out: it must break off, or it could be taken for a whole one.
    if (res.headersSent) res.destroy();
    else sendProblem(res, problem);
  };
}

function problemOf(error: unknown): Problem {
  const status = isFleetError(error) ? STATUS_OF[error.code] : undefined;
  if (!isFleetError(error) || status === undefined) return createProblem(500, 'INTERNAL_ERROR', 'Something went wrong here; it is in the log.');
  return createProblem(status, error.code, status === 400 ? error.message : ERROR_CODES[error.code]);
}

function createProblem(status: number, code: ProblemCode, detail: string): Problem {
  return { type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status, detail, code };
}

function sendProblem(res: ServerResponse, problem: Problem): void {
  const headers: Record<string, string> = problem.status === 503 ? { 'Retry-After': RETRY_AFTER } : {};
  sendJson(res, problem, { status: problem.status, type: 'application/problem+json', headers });
}

/** The client went away before it had the whole answer. */
function isHangUp(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_STREAM_PREMATURE_CLOSE';
}
