import { UnrecoverableError } from 'bullmq';

/** The same failure as BullMQ has to have it not to retry. */
export function unrecoverable(error: Error): UnrecoverableError {
  if (error instanceof UnrecoverableError) return error;
  const final = new UnrecoverableError(error.message);
  if (error.stack !== undefined) final.stack = error.stack;
  final.cause = error;
  return final;
}
