import { messageOf } from './errors.js';
import { MAX_ERROR_BYTES, MAX_STACK_LENGTH, cutToBytes, shortened } from './limits.js';

/** A Redis that does not know a command repeats what came with it: a password, or a task's input. */
const ARGUMENTS = /, with args beginning with: .*/g;

/**
 * What is worth reading of an error in a log. Not everything that hangs on it: ioredis keeps the command there, with its
 * password or a task's input.
 */
function errorFields(error: unknown): unknown {
  if (typeof error === 'string') return cutToBytes(withoutArguments(error), MAX_ERROR_BYTES);
  if (!(error instanceof Error)) return error;
  const { name, stack, cause } = error;
  return {
    name,
    message: cutToBytes(withoutArguments(messageOf(error)), MAX_ERROR_BYTES),
    ...('code' in error && { code: error.code }),
    stack: stack && shortened(withoutArguments(stack), MAX_STACK_LENGTH),
    ...(cause instanceof Error && { cause: errorFields(cause) }),
  };
}

/** For pino, which itself knows errors under the name `err` only: with all their fields. Any other it writes as `{}`. */
export const ERROR_SERIALIZERS = { error: errorFields, err: errorFields } as const;

function withoutArguments(text: string): string {
  return text.replaceAll(ARGUMENTS, '');
}
