import type { ControllerHandlerReturnType, ErrorTranslationKey, TranslatableMessage } from '@bull-board/api/typings/app';
import { FleetError, type ErrorCode } from '../../shared/errors.js';
import type { ApiErrorCode } from '../../shared/http-status.js';
import type { Problem } from '../http/problem.js';

/** The members of an answer that Bull Board's page shows: a headline, and a sentence below it. */
interface Shown {
  readonly error: TranslatableMessage;
  readonly message: string;
}

const HEADLINES: Partial<Record<ApiErrorCode, ErrorTranslationKey>> = {
  INTERNAL_ERROR: 'ERRORS.INTERNAL_SERVER_ERROR',
  REDIS_UNAVAILABLE: 'ERRORS.REDIS_UNAVAILABLE',
  TASK_NOT_FOUND: 'ERRORS.JOB_NOT_FOUND',
  TASK_NOT_RETRYABLE: 'ERRORS.JOB_NOT_RETRIABLE',
};
const CODES: Readonly<Record<number, ErrorCode>> = { 403: 'FORBIDDEN', 404: 'NOT_FOUND', 405: 'METHOD_NOT_ALLOWED' };

/** Adds to a problem the members that Bull Board's page shows. */
export function withShown(problem: Problem): Problem & Shown {
  // The headline of some problems names a state, which is then a member of the problem.
  const { state } = problem as { readonly state?: string };
  const error = { key: HEADLINES[problem.code] ?? 'ERRORS.FORBIDDEN', ...(state !== undefined && { options: { state } }) };
  return { ...problem, error, message: problem.detail };
}

/** Returns the error for an answer with which Bull Board refuses. */
export function refusalOf(status: number, body: ControllerHandlerReturnType['body']): Error {
  const { error } = body as { error?: string | { key?: string } };
  const key = String(typeof error === 'string' ? error : error?.key);
  if (key === HEADLINES.TASK_NOT_FOUND)
    return new FleetError('TASK_NOT_FOUND', 'Task not found: it never existed or its retention has expired.');
  const message = `Bull Board refused the request: ${key.replace('ERRORS.', '').toLowerCase().replaceAll('_', ' ')}.`;
  return status < 500 ? new FleetError(CODES[status] ?? 'BAD_REQUEST', message) : new Error(message);
}
