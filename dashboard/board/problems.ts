import { STATUS_CODES } from 'node:http';
import type { ControllerHandlerReturnType, ErrorTranslationKey, TranslatableMessage } from '@bull-board/api/typings/app';
import type { Problem, ProblemCode } from '../problem.js';

/** What Bull Board's page shows of an answer: a headline, and a sentence below it. */
interface Shown {
  readonly error: TranslatableMessage;
  readonly message: string;
}

const HEADLINES: Partial<Record<ProblemCode, ErrorTranslationKey>> = {
  INTERNAL_ERROR: 'ERRORS.INTERNAL_SERVER_ERROR',
  REDIS_UNAVAILABLE: 'ERRORS.REDIS_UNAVAILABLE',
  TASK_NOT_FOUND: 'ERRORS.JOB_NOT_FOUND',
  TASK_NOT_RETRYABLE: 'ERRORS.JOB_NOT_RETRIABLE',
};
const CODES: Readonly<Record<number, ProblemCode>> = { 400: 'BAD_REQUEST', 403: 'FORBIDDEN', 404: 'NOT_FOUND', 405: 'METHOD_NOT_ALLOWED' };

/** A problem as everywhere else, with what Bull Board's page shows of it. */
export function withShown(problem: Problem): Problem & Shown {
  // Some headlines name a state, which those problems have as a member.
  const { state } = problem as { readonly state?: string };
  const error = { key: HEADLINES[problem.code] ?? 'ERRORS.FORBIDDEN', ...(state !== undefined && { options: { state } }) };
  return { ...problem, error, message: problem.detail };
}

/** What Bull Board refused by itself or a hook denied, as a problem. */
export function problemOfAnswer(
  status: number,
  body: ControllerHandlerReturnType['body'],
  requestId: string | null,
): Record<string, unknown> {
  const { error, message } = (typeof body === 'object' ? body : {}) as { error?: { key?: string }; message?: unknown };
  const detail = typeof message === 'string' ? message : (error?.key ?? 'Refused');
  return {
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail,
    code: CODES[status] ?? 'BAD_REQUEST',
    request_id: requestId,
    error,
    message,
  };
}
