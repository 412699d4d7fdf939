import type { ErrorCode, FleetError } from '../../shared/errors.js';

/** A problem with entry field of a request. */
export interface FieldError {
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

/** HTTP names of fields whose internal names differ. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ['onBusy', 'on_busy'],
  ['waitMs', 'wait_ms'],
]);

/** Returns a problem's additional members: `errors`, with entry entry per invalid field, and the facts of its error code. */
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
    return errors.slice(0, MAX_ERRORS).map((entry) => ({ field: shorten(entry.field), message: shorten(entry.message) }));
  return typeof field === 'string' ? [{ field: NAMES.get(field) ?? field, message: shorten(message) }] : [];
}

/** Shortens a text that may repeat a long request value. */
export function shorten(text: string): string {
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…`.toWellFormed() : text;
}
