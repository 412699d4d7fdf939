import { STATUS_CODES, type ServerResponse } from 'node:http';
import type { ErrorRequestHandler } from 'express';
import { ERROR_CODES, type ErrorCode, type FleetError, isFleetError, messageOf } from '../../shared/errors.js';
import { type ApiErrorCode, STATUS_OF, isApiCode } from '../../shared/http-status.js';
import { type Logger, RepeatedLines } from '../../shared/log/logger.js';
import { sendProblemPage, wantsPage } from './problem-page.js';
import { pathOf, requestIdOf } from './request.js';
import { sendJson } from './send-json.js';
import { traceOf } from './traced.js';

/** An RFC 9457 problem, sent as `application/problem+json`. */
export interface Problem {
  /** Always `about:blank`; `code` identifies the error. */
  readonly type: 'about:blank';
  /** The reason phrase of the status. */
  readonly title: string;
  readonly status: number;
  /** For humans. Programs decide by `code`. */
  readonly detail: string;
  readonly code: ApiErrorCode;
  /** The `X-Request-Id`, which identifies the request in the log. */
  readonly request_id: string | null;
}

/** In seconds: the producer retries its connection at least every two seconds. */
const RETRY_AFTER = '2';
/** How often a repeated failure of the same request is logged, in ms, with a count of repetitions. */
const LOG_EVERY_MS = 60_000;

/**
 * Answers every error of the routes with a {@link Problem}; the last middleware. A 4xx names the mistake. A 503 has `Retry-After` and
 * says only that Redis is unavailable or unusable, not where it is. A 500 says nothing. Errors that an operator must fix are logged. A
 * browser that asks for a page gets a page, which tries again: see {@link sendProblemPage}.
 * @param shape adapts the problem for certain clients
 */
export function problemHandler(logger: Logger, shape: (problem: Problem) => Problem = (problem) => problem): ErrorRequestHandler {
  const lines = new RepeatedLines(logger, { intervalMs: LOG_EVERY_MS });
  return (error: unknown, req, res, _next) => {
    const problem: Problem = { ...problemOf(error), request_id: requestIdOf(res) };
    const path = req.baseUrl + pathOf(req);
    if (mustBeLogged(problem, error))
      lines.error(`${req.method} ${path} ${messageOf(error)}`, { error, method: req.method, path, ...traceOf(res) }, 'Request failed');
    // A partial response must be cut off, or the client could take it for a complete one.
    if (res.headersSent) res.destroy();
    else if (wantsPage(req, res)) void sendProblemPage(req, res, problem).catch(() => sendProblem(res, shape(problem)));
    else sendProblem(res, shape(problem));
  };
}

function problemOf(error: unknown): Omit<Problem, 'request_id'> {
  if (!isFleetError(error) || !isApiCode(error.code)) return createProblem(500, 'INTERNAL_ERROR', 'Internal error; see the log.');
  const status = STATUS_OF[error.code];
  return { ...createProblem(status, error.code, status < 500 ? shorten(error.message) : ERROR_CODES[error.code]), ...membersOf(error) };
}

function createProblem(status: number, code: ApiErrorCode, detail: string): Omit<Problem, 'request_id'> {
  return { type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status, detail, code };
}

function sendProblem(res: ServerResponse, problem: Problem): void {
  const headers: Record<string, string> = problem.status === 503 ? { 'Retry-After': RETRY_AFTER } : {};
  sendJson(res, problem, { status: problem.status, type: 'application/problem+json', headers });
}

/** Returns whether to log the error: the response hides its cause, and a retry does not help. */
function mustBeLogged({ status, code }: Problem, error: unknown): boolean {
  return code === 'REDIS_WRONG_TYPE' || code === 'REDIS_ERROR' || (status === 500 && !isHangUp(error));
}

/** Returns whether the client disconnected before the response was complete. */
function isHangUp(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_STREAM_PREMATURE_CLOSE';
}

/** The problem of one field of a request. */
interface FieldError {
  /** The field's path: `limit`, `input.messages.0.role`. */
  readonly field: string;
  readonly message: string;
}

const MAX_ERRORS = 20;
const MAX_LENGTH = 300;

/** Whether the task of a failed enqueue exists. */
const EXISTENCE = ['id', 'exists'] as const;

/** The fields of `details` that a problem includes, by error code. */
const FACTS: Partial<Record<ErrorCode, readonly string[]>> = {
  CLOSED: EXISTENCE,
  ITEM_BUSY: ['key', 'ids'],
  NOT_REPLICATED: ['ids', 'receipts', 'replicas', 'wanted'],
  REDIS_ERROR: EXISTENCE,
  REDIS_OUT_OF_MEMORY: EXISTENCE,
  REDIS_UNAVAILABLE: EXISTENCE,
  REDIS_WRONG_TYPE: EXISTENCE,
  TASK_FINISHED: ['receipt'],
  TASK_NOT_RETRYABLE: ['state'],
  UNKNOWN_TASK: ['known'],
};

/** HTTP names of fields whose internal names differ. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ['expiresIn', 'expires_in'],
  ['onBusy', 'on_busy'],
  ['whenBusy', 'when_busy'],
  ['waitMs', 'wait_ms'],
]);

/** Returns a problem's additional members: `errors`, with one entry per invalid field, and the facts of its error code. */
function membersOf(error: FleetError): Readonly<Record<string, unknown>> {
  const errors = fieldErrorsOf(error);
  const facts = FACTS[error.code] ?? [];
  return {
    ...(errors.length > 0 && { errors }),
    ...Object.fromEntries(facts.filter((name) => name in error.details).map((name) => [name, error.details[name]])),
  };
}

function fieldErrorsOf({ message, details }: FleetError): FieldError[] {
  const { errors, field } = details as { errors?: readonly FieldError[]; field?: unknown };
  if (Array.isArray(errors))
    return errors.slice(0, MAX_ERRORS).map((entry) => ({ field: shorten(entry.field), message: shorten(entry.message) }));
  return typeof field === 'string' ? [{ field: NAMES.get(field) ?? field, message: shorten(message) }] : [];
}

/** Shortens a text that may repeat a long request value. */
export function shorten(text: string): string {
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…`.toWellFormed() : text;
}
