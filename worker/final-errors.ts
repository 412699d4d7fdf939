import { type ErrorCode, isFleetError } from '../shared/errors.js';

/** What a call was given was wrong. Another attempt would give it the same. */
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
/** By name, for a task module may have its own copy of BullMQ or zod. zod's core has names of its own. */
const FINAL_NAMES: readonly string[] = ['UnrecoverableError', 'ZodError', '$ZodError'];

/**
 * Whether there is no other attempt after an error: an `UnrecoverableError`, failed validation, or one of those that the
 * definition excepts.
 */
export function isFinal(error: unknown, except: readonly string[]): boolean {
  if (isFleetError(error, ...VALIDATION_CODES)) return true;
  return namesOf(error).some((name) => FINAL_NAMES.includes(name) || except.includes(name));
}

/** What an error goes by: its name, its code, its class and those that it extends. */
function namesOf(error: unknown): string[] {
  if (!(error instanceof Error)) return [];
  const names = [error.name];
  if ('code' in error && typeof error.code === 'string') names.push(error.code);
  for (let proto: unknown = Object.getPrototypeOf(error); proto instanceof Error; proto = Object.getPrototypeOf(proto))
    names.push(proto.constructor.name);
  return names;
}
