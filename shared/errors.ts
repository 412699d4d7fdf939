/**
 * The catalogue of errors. Every error that leaves this package on purpose is a {@link FleetError} with a code from
 * here; callers decide by `code`, never by message text. `docs/errors.md` documents each code (a test holds it to this).
 */
export const ERROR_CODES = {
  INVALID_SETTINGS: 'A setting is missing or has a value that cannot be used.',
  INVALID_DEFINITION: 'defineTask or defineHandler was given something that is not a valid definition.',
  INVALID_TASK_MODULE: 'A module named in TASK_MODULES cannot be loaded or does not export task handlers.',
  INVALID_INPUT: "The input does not match the task's schema, or is not JSON.",
  INPUT_TOO_LARGE: "The input's JSON is longer than the limit.",
  INVALID_OUTPUT: "The handler returned something that does not match the task's output schema.",
  RESULT_TOO_LARGE: "The result's JSON is longer than the limit.",
  OUTPUT_TOO_LARGE: 'A chunk or a progress value of a handler is longer than the limit.',
  INVALID_ID: 'A task id breaks the rule for ids.',
  INVALID_ITEM: 'An item breaks the rule for items.',
  INVALID_OPTION: 'An option of a call has a value that cannot be used.',
  UNKNOWN_TASK: 'No definition of that name is known here.',
  INVALID_PLAN: 'A billing plan cannot be understood: a template, or what is stored.',
  TASK_NOT_FOUND: 'No task has that id, or it is no longer kept.',
  TASK_NOT_RETRYABLE: 'The task cannot be retried: it has not ended, or it has completed.',
  SCHEDULE_NOT_FOUND: 'No schedule has that id.',
  ITEM_BUSY: 'The item has live tasks, and the caller asked not to be added beside them.',
  NO_PRODUCER: 'A handler asked to enqueue a task, and its worker was given no producer.',
  TASK_FAILED: 'The task ended as failed.',
  TASK_CANCELLED: 'The task was stopped before it finished.',
  WAIT_TIMEOUT: 'The wait was longer than its limit. The task itself goes on.',
  MALFORMED_DATA: 'Data in Redis that other programs write too is not in the expected form.',
  BAD_REQUEST: 'The request is not in the form that the HTTP API expects.',
  NOT_FOUND: 'There is nothing at this path.',
  METHOD_NOT_ALLOWED: 'This path does not know this method.',
  REQUEST_TIMEOUT: 'The body of the request did not arrive in time.',
  TASK_FINISHED: 'The task had ended before the stop.',
  IDEMPOTENCY_IN_PROGRESS: 'Another request with this Idempotency-Key is still being answered.',
  IDEMPOTENCY_CONFLICT: 'This Idempotency-Key was used with another body.',
  BODY_TOO_LARGE: 'The body of the request is longer than the limit.',
  UNSUPPORTED_MEDIA_TYPE: 'The body of the request is not sent as JSON.',
  UNAUTHENTICATED: 'The request does not say who makes it, or not in a way that is accepted here.',
  FORBIDDEN: 'Who makes the request may not do this.',
  TOO_MANY_REQUESTS: 'There were more requests than the limit allows.',
  KEYS_UNAVAILABLE: 'The keys that JWTs are checked with cannot be fetched.',
  CLOSED: 'The producer or worker has been closed.',
  REDIS_UNAVAILABLE: 'Redis cannot be reached, or did not answer in time.',
  REDIS_OUT_OF_MEMORY: 'Redis has reached its maxmemory, and takes nothing new.',
  REDIS_WRONG_TYPE: 'A key of the fleet in Redis holds a value of the wrong type.',
  REDIS_ERROR: 'Redis refused a command of the fleet.',
  NOT_REPLICATED: 'Too few replicas had what was written in time: a failover may lose it.',
  REDIS_SERVER_MISSING: 'No redis-server was found on this machine and none could be installed.',
  REDIS_SERVER_FAILED: 'The embedded redis-server did not start.',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface FleetErrorOptions {
  cause?: unknown;
  /** Machine-readable facts about the error: field names, limits, ids. JSON values only. */
  details?: Readonly<Record<string, unknown>>;
}

/** An error with a stable `code`. Its message says what was expected, what came and what is allowed. */
export class FleetError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: FleetErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'FleetError';
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** True for an error of ours, of any copy of this package, with one of the given codes (any code if none is given). */
export function isFleetError(error: unknown, ...codes: ErrorCode[]): error is FleetError {
  if (!(error instanceof Error) || !('code' in error)) return false;
  const code = error.code as ErrorCode;
  return Object.hasOwn(ERROR_CODES, code) && (codes.length === 0 || codes.includes(code));
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  try {
    if (error instanceof AggregateError && !error.message) return error.errors.map(messageOf).join('; ');
    return error instanceof Error ? String(error.message) : String(error);
  } catch {
    // A Proxy, a getter or a toString that throws: somebody's code may throw anything.
    return 'something that cannot be shown was thrown';
  }
}
