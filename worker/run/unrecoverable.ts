import { UnrecoverableError } from 'bullmq';

/** Wraps an error so that BullMQ does not retry it. */
export function unrecoverable(error: Error): UnrecoverableError {
  if (error instanceof UnrecoverableError) return error;
  const final = new UnrecoverableError(error.message);
  if (error.stack !== undefined) final.stack = error.stack;
  final.cause = error;
  return final;
}
