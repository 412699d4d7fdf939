import { type ErrorCode, isFleetError } from '../../shared/errors.js';

/** Errors caused by invalid arguments: another attempt would fail in the same way. */
const VALIDATION_CODES: readonly ErrorCode[] = [
  'INVALID_DEFINITION',
  'INVALID_INPUT',
  'INPUT_TOO_LARGE',
  'INVALID_OUTPUT',
  'RESULT_TOO_LARGE',
  'OUTPUT_TOO_LARGE',
  'INVALID_ID',
  'INVALID_ITEM',
  'INVALID_OPTION',
  'INVALID_PLAN',
];
/** By name, because a task module may have its own copy of BullMQ or zod; `$ZodError` is that of zod's core. */
const FINAL_NAMES: readonly string[] = ['UnrecoverableError', 'ZodError', '$ZodError'];

/**
 * Returns whether an error is not retried: an `UnrecoverableError`, a failed validation, or an error that the definition excludes from
 * retries.
 */
export function isFinal(error: unknown, except: readonly string[]): boolean {
  if (isFleetError(error, ...VALIDATION_CODES)) return true;
  return namesOf(error).some((name) => FINAL_NAMES.includes(name) || except.includes(name));
}

/** Returns the names of an error: its name, its code, and those of its class and superclasses. */
function namesOf(error: unknown): string[] {
  if (!(error instanceof Error)) return [];
  const names = [error.name];
  if ('code' in error && typeof error.code === 'string') names.push(error.code);
  for (let proto: unknown = Object.getPrototypeOf(error); proto instanceof Error; proto = Object.getPrototypeOf(proto))
    names.push(proto.constructor.name);
  return names;
}
