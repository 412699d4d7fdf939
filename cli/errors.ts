import { type ErrorCode, isFleetError, messageOf } from '../shared/errors.js';
import type { TerminalState } from '../shared/task/state.js';

/** The exit codes of the `taskfleet` command. Codes from 64 to 78 follow sysexits.h. */
export const EXIT = {
  DONE: 0,
  TASK_FAILED: 1,
  USAGE: 2,
  NOT_FOUND: 3,
  CANCELLED: 4,
  SKIPPED: 5,
  REDIS_UNREACHABLE: 69,
  API_UNREACHABLE: 69,
  INTERNAL: 70,
  NOT_PERMITTED: 77,
  CONFIG: 78,
  /** Interrupted by Ctrl+C: 128 plus the signal number, the shell convention. */
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
  PARENT_HOLDS_KEY: EXIT.TASK_FAILED,
  TASK_NOT_RETRYABLE: EXIT.TASK_FAILED,
  NO_PRODUCER: EXIT.CONFIG,
  INVALID_PLAN: EXIT.TASK_FAILED,
  QUEUE_NOT_FOUND: EXIT.NOT_FOUND,
  WORKER_NOT_FOUND: EXIT.NOT_FOUND,
  LIMIT_NOT_FOUND: EXIT.NOT_FOUND,
  SCHEDULE_NOT_FOUND: EXIT.NOT_FOUND,
  TASK_NOT_FOUND: EXIT.NOT_FOUND,
  INVALID_OUTPUT: EXIT.TASK_FAILED,
  INVALID_MIDDLEWARE: EXIT.TASK_FAILED,
  RESULT_TOO_LARGE: EXIT.TASK_FAILED,
  OUTPUT_TOO_LARGE: EXIT.TASK_FAILED,
  OUT_OF_MEMORY: EXIT.TASK_FAILED,
  THREAD_EXITED: EXIT.TASK_FAILED,
  EVENT_LOOP_BLOCKED: EXIT.TASK_FAILED,
  WORKER_LOST: EXIT.TASK_FAILED,
  TASK_FAILED: EXIT.TASK_FAILED,
  TASK_CANCELLED: EXIT.CANCELLED,
  TASK_SKIPPED: EXIT.SKIPPED,
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
  REDIS_OUT_OF_MEMORY: EXIT.REDIS_UNREACHABLE,
  REDIS_WRONG_TYPE: EXIT.INTERNAL,
  REDIS_ERROR: EXIT.INTERNAL,
  NOT_REPLICATED: EXIT.REDIS_UNREACHABLE,
  PACKAGE_FILE_MISSING: EXIT.INTERNAL,
  REDIS_SERVER_FAILED: EXIT.REDIS_UNREACHABLE,
};

/** Returns the exit code for an error that ends a command. */
export function exitCodeOf(error: unknown): number {
  return isFleetError(error) ? BY_ERROR[error.code] : EXIT.INTERNAL;
}

/** Returns the exit code for the final state of the task that a command waited for. */
export function exitCodeOfState(state: TerminalState): number {
  switch (state) {
    case 'completed':
      return EXIT.DONE;
    case 'failed':
      return EXIT.TASK_FAILED;
    case 'cancelled':
      return EXIT.CANCELLED;
    case 'skipped':
      return EXIT.SKIPPED;
  }
}

/** An error of the command itself, with its exit code and the `code` that `-o json` prints. */
export class CliError extends Error {
  override readonly name = 'CliError';

  constructor(
    readonly code: string,
    readonly exitCode: number,
    message: string,
  ) {
    super(message);
  }
}

/** An error in the command's arguments. */
export function usageError(message: string): CliError {
  return new CliError('USAGE', EXIT.USAGE, message);
}

/** An error as the command reports it. */
interface Report {
  readonly exitCode: number;
  /** The text for standard error, without a final line break. */
  readonly text: string;
}

/** Formats an error as `taskfleet: <message>`, or as `{ "error": { code, message } }`; `debug` adds the stack. */
export function describeError(error: unknown, { json, debug }: { readonly json: boolean; readonly debug: boolean }): Report {
  const exitCode = error instanceof CliError ? error.exitCode : exitCodeOf(error);
  const stack = debug && error instanceof Error && error.stack ? error.stack : null;
  if (json) {
    const code = error instanceof CliError || isFleetError(error) ? error.code : 'UNEXPECTED';
    return { exitCode, text: JSON.stringify({ error: { code, message: messageOf(error), ...(stack && { stack }) } }) };
  }
  const hint = exitCode === EXIT.INTERNAL && !stack ? '\n(unexpected error; set GLOBAL_LOG_LEVEL=debug to see the stack trace)' : '';
  return { exitCode, text: `taskfleet: ${messageOf(error)}${hint}${stack ? `\n${stack}` : ''}` };
}
