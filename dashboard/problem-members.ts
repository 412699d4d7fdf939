import type { ErrorCode, FleetError } from '../shared/errors.js';

/** What is wrong with one field of a request. */
export interface FieldError {
  /** Its path: `limit`, `input.messages.0.role`. */
  readonly field: string;
  readonly message: string;
}

const MAX_ERRORS = 20;
const MAX_LENGTH = 300;

/** What an enqueue tells of its task. */
const EXISTENCE = ['id', 'exists'] as const;

/** Facts that go along with a problem, by code: names of `details`. */
const FACTS: Partial<Record<ErrorCode, readonly string[]>> = {
  CLOSED: EXISTENCE,
  ITEM_BUSY: ['ids'],
  NOT_REPLICATED: ['ids', 'receipts', 'replicas', 'wanted'],
  REDIS_ERROR: EXISTENCE,
  REDIS_OUT_OF_MEMORY: EXISTENCE,
  REDIS_UNAVAILABLE: EXISTENCE,
  REDIS_WRONG_TYPE: EXISTENCE,
  TASK_FINISHED: ['receipt'],
  TASK_NOT_RETRYABLE: ['state'],
  UNKNOWN_TASK: ['known'],
};

/** What our own code calls otherwise than HTTP does. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ['onBusy', 'on_busy'],
  ['waitMs', 'wait_ms'],
]);

/** What a problem says beside its detail: `errors`, one for each field that is wrong, and what its code has to tell. */
export function membersOf(error: FleetError): Readonly<Record<string, unknown>> {
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
    return errors.slice(0, MAX_ERRORS).map((one) => ({ field: shorten(one.field), message: shorten(one.message) }));
  return typeof field === 'string' ? [{ field: NAMES.get(field) ?? field, message: shorten(message) }] : [];
}

/** What came may be a megabyte long, and an error message may repeat it. */
export function shorten(text: string): string {
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…`.toWellFormed() : text;
}
