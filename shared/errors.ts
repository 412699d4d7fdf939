/**
 * The catalogue of errors. Every error that this package throws on purpose is a {@link FleetError} with one of these codes;
 * callers decide by `code`, never by message text. `docs/reference/errors.md` documents each code, and a test compares the two.
 */
export const ERROR_CODES = {
  INVALID_SETTINGS: 'A setting is missing or invalid.',
  INVALID_DEFINITION: 'A task definition or handler is invalid, or belongs to another task.',
  INVALID_TASK_MODULE: 'A module named in TASK_MODULES cannot be loaded, or exports something other than handlers, hooks and middleware.',
  INVALID_MIDDLEWARE: 'A middleware called next() a second time, or after it had ended.',
  INVALID_INPUT: "The input does not match the task's schema, or is not JSON.",
  INPUT_TOO_LARGE: "The input's JSON is longer than the limit.",
  INVALID_OUTPUT: "The handler returned or emitted something that does not match the task's schema.",
  RESULT_TOO_LARGE: "The result's JSON is longer than the limit.",
  OUTPUT_TOO_LARGE: "A handler's chunk or progress value is longer than the limit.",
  INVALID_ID: 'The task id is not valid.',
  INVALID_ITEM: 'The item is not valid.',
  INVALID_OPTION: 'An option of a call is invalid.',
  UNKNOWN_TASK: 'No task definition has that name.',
  INVALID_PLAN: 'A billing plan, as a template or as stored, is invalid.',
  TASK_NOT_FOUND: 'No task has that id, or its retention is over.',
  TASK_NOT_RETRYABLE: 'The task cannot be retried: it has not ended, or it has completed.',
  SCHEDULE_NOT_FOUND: 'No schedule has that id.',
  QUEUE_NOT_FOUND: 'No queue has that name: it has had no task and no worker.',
  WORKER_NOT_FOUND: 'No live worker has that id.',
  LIMIT_NOT_FOUND: 'No worker has published such a limit, or none was set.',
  ITEM_BUSY: 'The item has live tasks or the key is taken, and the caller asked not to wait, or the line of the key is full.',
  PARENT_HOLDS_KEY: 'A child would wait for a place that one of the tasks above it holds.',
  NO_PRODUCER: 'A handler tried to enqueue a task, but its worker has no producer.',
  OUT_OF_MEMORY: 'The thread of an isolated handler ran out of memory.',
  THREAD_EXITED: 'An isolated handler ended its thread before it returned.',
  EVENT_LOOP_BLOCKED: 'A handler blocked the event loop of its thread.',
  WORKER_LOST: 'The worker of a task died or was lost more often than its definition allows.',
  TASK_FAILED: 'The task ended as failed.',
  TASK_CANCELLED: 'The task was stopped before it finished.',
  TASK_SKIPPED: 'The task was skipped: it overlapped another task of its schedule.',
  WAIT_TIMEOUT: 'The wait timed out. The task itself goes on.',
  MALFORMED_DATA: 'Data in Redis that other programs also write is malformed.',
  BAD_REQUEST: 'The request is malformed.',
  NOT_FOUND: 'There is nothing at this path.',
  METHOD_NOT_ALLOWED: 'This path does not support this method.',
  REQUEST_TIMEOUT: 'The body of the request did not arrive in time.',
  TASK_FINISHED: 'The task had ended before the stop.',
  IDEMPOTENCY_IN_PROGRESS: 'Another request with this Idempotency-Key is still in progress.',
  IDEMPOTENCY_CONFLICT: 'This Idempotency-Key was used with another body.',
  BODY_TOO_LARGE: 'The request body is longer than the limit.',
  UNSUPPORTED_MEDIA_TYPE: 'The request body is not sent as JSON.',
  UNAUTHENTICATED: 'The request has no credentials, or none that are accepted here.',
  FORBIDDEN: 'The caller may not do this.',
  TOO_MANY_REQUESTS: 'The rate limit was exceeded.',
  KEYS_UNAVAILABLE: 'The keys for checking JWTs cannot be fetched.',
  CLOSED: 'The producer or worker has been closed.',
  REDIS_UNAVAILABLE: 'Redis cannot be reached, or did not answer in time.',
  REDIS_OUT_OF_MEMORY: 'Redis has reached its maxmemory and refuses writes.',
  REDIS_WRONG_TYPE: 'A key of the fleet in Redis holds a value of the wrong type.',
  REDIS_ERROR: 'Redis refused a command.',
  NOT_REPLICATED: 'Too few replicas acknowledged the write in time: a failover may lose it.',
  PACKAGE_FILE_MISSING: 'A file of this package is missing: the program is bundled with it, and needs it installed.',
  REDIS_SERVER_MISSING: 'No redis-server was found on this machine, and none could be installed.',
  REDIS_SERVER_FAILED: 'The embedded redis-server did not start.',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

interface FleetErrorOptions {
  cause?: unknown;
  /** Machine-readable facts about the error: field names, limits, ids. JSON values only. */
  details?: Readonly<Record<string, unknown>>;
}

/** An error with a stable `code`. Its message says what was expected and what came. */
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

/** True for a {@link FleetError} from any copy of this package with one of the given codes; without codes, with any. */
export function isFleetError(error: unknown, ...codes: ErrorCode[]): error is FleetError {
  if (!isError(error) || !('code' in error)) return false;
  const code = error.code as ErrorCode;
  return Object.hasOwn(ERROR_CODES, code) && (codes.length === 0 || codes.includes(code));
}

const ERROR_TAG = /^\[object (?:Error|DOMException)\]$/;

/** Whether a value is an Error, also of another realm: in Jest, the errors of Node.js are. Never throws, not even for a Proxy. */
export function isError(value: unknown): value is Error {
  try {
    return value instanceof Error || ERROR_TAG.test(Object.prototype.toString.call(value));
  } catch {
    return false;
  }
}

/** Returns the message of any thrown value. */
export function messageOf(error: unknown): string {
  try {
    if (error instanceof AggregateError && !error.message) return error.errors.map(messageOf).join('; ');
    return isError(error) ? String(error.message) : String(error);
  } catch {
    // User code may throw a Proxy, or a value whose getter or toString throws.
    return 'a value that cannot be shown was thrown';
  }
}

/** Redis repeats the arguments of an unknown command in its error: a password, or a task's input. */
const ARGUMENTS = /, with args beginning with: .*/g;

/** Removes the arguments of a command from Redis' error text. */
export function withoutArguments(text: string): string {
  return text.replaceAll(ARGUMENTS, '');
}

/**
 * Makes an error without the calls in its stack, which would only show code of this package: to capture them costs more than all else of a
 * stop.
 */
export function withoutCalls<Made extends Error>(make: () => Made): Made {
  const { stackTraceLimit } = Error;
  // Where errors are frozen, this has no effect, and an assignment would throw.
  Reflect.set(Error, 'stackTraceLimit', 0);
  try {
    return make();
  } finally {
    Reflect.set(Error, 'stackTraceLimit', stackTraceLimit);
  }
}
