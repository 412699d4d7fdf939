import { MAX_ERROR_BYTES, MAX_STACK_LENGTH, cutToBytes, shortened } from '../shared/limits.js';

/** Characters of the message that a stack begins with. */
const IN_STACK = 256;

/**
 * The same error for BullMQ, which keeps its message with the job, its stack beside that, and the message again in the queue's
 * events. An error that is short enough is itself.
 */
export function boundedError(error: Error): Error {
  const message = cutToBytes(error.message, MAX_ERROR_BYTES);
  const stack = boundedStack(error);
  if (message === error.message && stack === error.stack) return error;
  return Object.create(error, { message: { value: message }, stack: { value: stack } }) as Error;
}

/** A stack repeats the message, however long it is. */
function boundedStack({ message, stack }: Error): string | undefined {
  if (stack === undefined || stack.length <= MAX_STACK_LENGTH) return stack;
  const at = stack.indexOf(message);
  const short = at < 0 ? stack : stack.slice(0, at) + shortened(message, IN_STACK) + stack.slice(at + message.length);
  return shortened(short, MAX_STACK_LENGTH);
}
