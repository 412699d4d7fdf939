import { messageOf } from './errors.js';
import { MAX_ERROR_BYTES, MAX_STACK_LENGTH, cutToBytes, shortened } from './limits.js';

/** Redis repeats the arguments of an unknown command in its error: a password, or a task's input. */
const ARGUMENTS = /, with args beginning with: .*/g;

/**
 * Picks the fields of an error that are safe to log: ioredis attaches the failed command, which may contain a password or a
 * task's input.
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

/** Serializers for pino, which by default logs every field of `err` and writes any other error as `{}`. */
export const ERROR_SERIALIZERS = { error: errorFields, err: errorFields } as const;

function withoutArguments(text: string): string {
  return text.replaceAll(ARGUMENTS, '');
}
