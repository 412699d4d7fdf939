import { MAX_ERROR_BYTES, MAX_STACK_LENGTH, cutToBytes, shortened } from '../../../shared/limits.js';

/** Length to which the message at the start of a stack is cut, in characters. */
const IN_STACK = 256;

/**
 * Returns the error with its message and stack cut to their limits, or the error itself if both fit. BullMQ stores the message twice, with
 * the job and in the queue's events, and the stack beside it.
 */
export function boundedError(error: Error): Error {
  const message = cutToBytes(error.message, MAX_ERROR_BYTES);
  const stack = boundedStack(error);
  if (message === error.message && stack === error.stack) return error;
  return Object.create(error, { message: { value: message }, stack: { value: stack } }) as Error;
}

/** Cuts the message inside the stack as well: V8 repeats it there in full. */
function boundedStack({ message, stack }: Error): string | undefined {
  if (stack === undefined || stack.length <= MAX_STACK_LENGTH) return stack;
  const at = stack.indexOf(message);
  const short = at < 0 ? stack : stack.slice(0, at) + shortened(message, IN_STACK) + stack.slice(at + message.length);
  return shortened(short, MAX_STACK_LENGTH);
}
