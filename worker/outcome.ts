import { inspect } from 'node:util';
import { RATE_LIMIT_ERROR } from 'bullmq';
import type { AbortCause } from '../shared/stop/cause.js';
import type { RetryPolicy } from '../shared/task/definition.js';
import { isFinal } from './final-errors.js';
import { unrecoverable } from './unrecoverable.js';

/** How a handler came to its end: it returned, it threw, or it was given up after grace. */
export type HandlerEnd =
  | { readonly kind: 'returned'; readonly value: unknown }
  | { readonly kind: 'threw'; readonly error: unknown }
  | { readonly kind: 'abandoned' };

/** What becomes of the task. */
export type Outcome =
  | { readonly kind: 'complete'; readonly value: unknown }
  /** Retried if attempts are left, unless the error is an `UnrecoverableError`. */
  | { readonly kind: 'fail'; readonly error: Error }
  /** Settled as cancelled, whatever the handler threw or returned. */
  | { readonly kind: 'cancel' }
  /** Back to the queue; the attempt does not count. */
  | { readonly kind: 'requeue' }
  /** The same, to be fetched again so many ms later. A reason becomes the task's error meanwhile; `starts` is how often it counts as fetched then. */
  | { readonly kind: 'defer'; readonly ms: number; readonly reason?: string; readonly starts?: number }
  /** Not ours any more: nothing is written. */
  | { readonly kind: 'drop' };

/** What a definition says of failures. */
export interface FailureRules {
  readonly retryOnTimeout: boolean;
  readonly retry: Pick<RetryPolicy, 'except'>;
}

/** What BullMQ takes as word that the job was moved already: it would stay active, with nobody to end it. */
const PLACE_ERRORS: readonly string[] = ['DelayedError', 'WaitingError', 'WaitingChildrenError'];

/**
 * The outcome rules. The cause of an abort decides, never a message; without an abort, the handler does. A handler that
 * returned before the abort reached it has completed: then there is no cause here.
 *
 * @param rules null if no handler was called
 */
export function decideOutcome(cause: AbortCause | null, end: HandlerEnd, rules: FailureRules | null): Outcome {
  switch (cause?.kind) {
    case 'stop':
      return { kind: 'cancel' };
    case 'lock-lost':
      return { kind: 'drop' };
    case 'timeout':
      return { kind: 'fail', error: rules?.retryOnTimeout ? cause : unrecoverable(cause) };
    case 'shutdown':
      return end.kind === 'returned' ? { kind: 'complete', value: end.value } : { kind: 'requeue' };
    case undefined:
      if (end.kind === 'returned') return { kind: 'complete', value: end.value };
      if (end.kind === 'threw') return failWith(end.error, rules?.retry.except);
      throw new Error('a handler was given up without a cause');
  }
}

/** @param except errors that are not retried, beside those that never are */
export function failWith(thrown: unknown, except: readonly string[] = []): Outcome & { kind: 'fail' } {
  const error = asError(thrown);
  return { kind: 'fail', error: isFinal(error, except) ? unrecoverable(error) : error };
}

function asError(thrown: unknown): Error {
  if (thrown instanceof Error) {
    const misread = PLACE_ERRORS.includes(thrown.name) || thrown.message === RATE_LIMIT_ERROR;
    return misread ? new Error(`the handler threw ${thrown.name}: ${thrown.message}`, { cause: thrown }) : thrown;
  }
  return new Error(typeof thrown === 'string' ? thrown : `the handler threw ${inspect(thrown, { breakLength: Infinity })}`);
}
