import { type ErrorCode, isFleetError } from './errors.js';

/** HTTP status by error code. Any other error is a bug: 500. */
export const STATUS_OF = {
  BAD_REQUEST: 400,
  INVALID_ID: 400,
  INVALID_INPUT: 400,
  INVALID_ITEM: 400,
  INVALID_OPTION: 400,
  UNKNOWN_TASK: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  QUEUE_NOT_FOUND: 404,
  WORKER_NOT_FOUND: 404,
  LIMIT_NOT_FOUND: 404,
  NOT_FOUND: 404,
  SCHEDULE_NOT_FOUND: 404,
  TASK_NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  REQUEST_TIMEOUT: 408,
  IDEMPOTENCY_IN_PROGRESS: 409,
  ITEM_BUSY: 409,
  MALFORMED_DATA: 409,
  PARENT_HOLDS_KEY: 409,
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
} as const satisfies Partial<Record<ErrorCode, number>>;

/** The codes of the API's problems. `INTERNAL_ERROR` stands for an unexpected error, which is logged and not disclosed. */
export type ApiErrorCode = keyof typeof STATUS_OF | 'INTERNAL_ERROR';

/** Returns whether the API answers an error of this code with a problem of the same code. */
export function isApiCode(code: ErrorCode): code is keyof typeof STATUS_OF {
  return Object.hasOwn(STATUS_OF, code);
}

/** Returns the HTTP status of an error. */
export function statusOf(code: ErrorCode): number {
  return isApiCode(code) ? STATUS_OF[code] : 500;
}

/** Returns the HTTP status by which a route answers an error: by its code; 500 for anything but a FleetError. */
export function httpStatusOf(error: unknown): number {
  return isFleetError(error) ? statusOf(error.code) : 500;
}
