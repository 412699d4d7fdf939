import { type ErrorCode, isFleetError } from '../shared/errors.js';
import type { TerminalState } from '../shared/task/state.js';

/** The exit codes of the `taskfleet` command. From 64 on they are those of sysexits.h. */
export const EXIT = {
  DONE: 0,
  TASK_FAILED: 1,
  USAGE: 2,
  NOT_FOUND: 3,
  CANCELLED: 4,
  REDIS_UNREACHABLE: 69,
  API_UNREACHABLE: 69,
  INTERNAL: 70,
  NOT_PERMITTED: 77,
  CONFIG: 78,
  /** Ended by Ctrl+C, as shells have it: 128 and the signal's number. */
  INTERRUPTED: 130,
} as const;

const BY_ERROR: Readonly<Record<ErrorCode, number>> = {
  INVALID_SETTINGS: EXIT.CONFIG,
  INVALID_DEFINITION: EXIT.CONFIG,
  INVALID_TASK_MODULE: EXIT.CONFIG,
  REDIS_SERVER_MISSING: EXIT.CONFIG,
  INVALID_INPUT: EXIT.USAGE,
  INPUT_TOO_LARGE: EXIT.USAGE,
  INVALID_ID: EXIT.USAGE,
  INVALID_ITEM: EXIT.USAGE,
  INVALID_OPTION: EXIT.USAGE,
  UNKNOWN_TASK: EXIT.USAGE,
  ITEM_BUSY: EXIT.TASK_FAILED,
  TASK_NOT_RETRYABLE: EXIT.TASK_FAILED,
  NO_PRODUCER: EXIT.CONFIG,
  INVALID_PLAN: EXIT.TASK_FAILED,
  SCHEDULE_NOT_FOUND: EXIT.NOT_FOUND,
  TASK_NOT_FOUND: EXIT.NOT_FOUND,
  INVALID_OUTPUT: EXIT.TASK_FAILED,
  TASK_FAILED: EXIT.TASK_FAILED,
  TASK_CANCELLED: EXIT.CANCELLED,
  WAIT_TIMEOUT: EXIT.INTERNAL,
  MALFORMED_DATA: EXIT.INTERNAL,
  BAD_REQUEST: EXIT.USAGE,
  NOT_FOUND: EXIT.NOT_FOUND,
  METHOD_NOT_ALLOWED: EXIT.INTERNAL,
  REQUEST_TIMEOUT: EXIT.TASK_FAILED,
  TASK_FINISHED: EXIT.TASK_FAILED,
  IDEMPOTENCY_IN_PROGRESS: EXIT.TASK_FAILED,
  IDEMPOTENCY_CONFLICT: EXIT.TASK_FAILED,
  BODY_TOO_LARGE: EXIT.USAGE,
  UNSUPPORTED_MEDIA_TYPE: EXIT.USAGE,
  UNAUTHENTICATED: EXIT.NOT_PERMITTED,
  FORBIDDEN: EXIT.NOT_PERMITTED,
  TOO_MANY_REQUESTS: EXIT.TASK_FAILED,
  KEYS_UNAVAILABLE: EXIT.INTERNAL,
  CLOSED: EXIT.INTERNAL,
  REDIS_UNAVAILABLE: EXIT.REDIS_UNREACHABLE,
  REDIS_SERVER_FAILED: EXIT.REDIS_UNREACHABLE,
};

/** The exit code for an error that ends a command. */
export function exitCodeOf(error: unknown): number {
  return isFleetError(error) ? BY_ERROR[error.code] : EXIT.INTERNAL;
}

/** The exit code for the end of the task that a command waited for. */
export function exitCodeOfState(state: TerminalState): number {
  switch (state) {
    case 'completed':
      return EXIT.DONE;
    case 'failed':
      return EXIT.TASK_FAILED;
    case 'cancelled':
      return EXIT.CANCELLED;
  }
}
