import type { ApiErrorCode } from '../shared/http-status.js';
import type { Failure, Problem, Receipt } from './bodies.js';

/**
 * The codes of errors that the API does not send. `UNREACHABLE`: no answer. `UNEXPECTED_RESPONSE`: an answer that is not the API's, such as
 * a proxy's. `TASK_FAILED`, `TASK_CANCELLED`, `TASK_SKIPPED` and `WAIT_TIMEOUT`: a wait for a result.
 */
export type ClientErrorCode = 'UNREACHABLE' | 'UNEXPECTED_RESPONSE' | 'TASK_FAILED' | 'TASK_CANCELLED' | 'TASK_SKIPPED' | 'WAIT_TIMEOUT';

export interface ErrorFacts {
  readonly status?: number;
  readonly problem?: Problem | null;
  readonly retryAfterMs?: number | null;
  readonly cause?: unknown;
}

/** An error of a call, with a stable `code`. */
export class TaskfleetError extends Error {
  declare readonly code: ApiErrorCode | ClientErrorCode;
  /** The HTTP status; 0 without an answer. */
  declare readonly status: number;
  /** The text for humans; also the message. */
  declare readonly detail: string;
  /** The problem as the API sent it, with the facts of its code; null if the error is not the API's. */
  declare readonly problem: Problem | null;
  /** The invalid fields of the request. */
  declare readonly fields: readonly { readonly field: string; readonly message: string }[];
  /** The request's id in the log of the dashboard. */
  declare readonly requestId: string | null;
  /** When to try again, if the answer says so, in ms from now. */
  declare readonly retryAfterMs: number | null;

  constructor(code: ApiErrorCode | ClientErrorCode, detail: string, facts: ErrorFacts = {}) {
    super(detail, facts);
    const { status = 0, problem = null, retryAfterMs = null } = facts;
    // Not the name of the class, which minifiers change.
    Object.assign(this, {
      name: nameOf(code),
      code,
      detail,
      status,
      problem,
      fields: problem?.errors ?? [],
      requestId: problem?.request_id ?? null,
      retryAfterMs,
    });
  }
}

/** Returns the name of the class of a code: `TaskNotFoundError` for `TASK_NOT_FOUND`. */
export function nameOf(code: string): string {
  return `${code}_ERROR`
    .replace('ERROR_ERROR', 'ERROR')
    .replace(/(.)([^_]*)_?/g, (_, first: string, rest: string) => first + rest.toLowerCase());
}

/** No answer of the API: the cause says why. */
export class UnreachableError extends TaskfleetError {}

/** An answer that is not the API's. */
export class UnexpectedResponseError extends TaskfleetError {}

/** The wait for a result timed out. The task goes on. */
export class WaitTimeoutError extends TaskfleetError {}

/** The task failed. The cause is the error of its last attempt, if known. */
export class TaskFailedError extends TaskfleetError {
  constructor(id: string, error: string | null, failure: Failure | null) {
    super('TASK_FAILED', `Task ${id} failed: ${error ?? 'no reason'}`, failure ? { cause: errorOf(failure) } : {});
  }
}

/** The task was stopped. */
export class TaskCancelledError extends TaskfleetError {
  /** @param receipt how the stop was settled; null if the API did not say */
  constructor(
    id: string,
    readonly receipt: Receipt | null,
  ) {
    const by = receipt?.by == null ? '' : ` by ${receipt.by}`;
    const reason = receipt?.reason == null ? '' : `: ${receipt.reason}`;
    super('TASK_CANCELLED', `Task ${id} was stopped${by}${reason}`);
  }
}

/** The task was skipped: it overlapped another one of its schedule. */
export class TaskSkippedError extends TaskfleetError {
  constructor(
    id: string,
    readonly skippedFor: string | null,
  ) {
    super('TASK_SKIPPED', `Task ${id} was skipped: it overlapped ${skippedFor ?? 'another task'}.`);
  }
}

/** Restores the error of an attempt, with its causes. Without a recorded stack, it must not have the one of this function. */
function errorOf({ name, message, code, stack, cause, errors }: Failure): Error {
  const error = errors.length > 0 ? new AggregateError(errors.map(errorOf), message) : new Error(message);
  return Object.assign(error, { name, stack: stack ?? undefined, ...(code && { code }), ...(cause && { cause: errorOf(cause) }) });
}

/** Returns whether the same call may succeed a moment later. Some answers with status 503 are for an operator to mend. */
export function isTransient(error: unknown): error is TaskfleetError {
  if (!(error instanceof TaskfleetError) || /^REDIS_(?:ERROR|WRONG_TYPE)$/.test(error.code)) return false;
  return error.code === 'UNREACHABLE' || [408, 429, 502, 503, 504].includes(error.status);
}
