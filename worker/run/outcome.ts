import { inspect } from 'node:util';
import { RATE_LIMIT_ERROR } from 'bullmq';
import type { AbortCause } from '../../shared/stop/cause.js';
import type { RetryPolicy } from '../../shared/task/definition.js';
import { isFinal } from './final-errors.js';
import { unrecoverable } from './unrecoverable.js';

/** How a handler ended: it returned, threw, or was abandoned after its grace. */
export type HandlerEnd =
  | { readonly kind: 'returned'; readonly value: unknown }
  | { readonly kind: 'threw'; readonly error: unknown }
  | { readonly kind: 'abandoned' };

/** What happens to the task next. */
export type Outcome =
  | { readonly kind: 'complete'; readonly value: unknown }
  /** Retried if attempts are left, unless the error is an `UnrecoverableError`. */
  | { readonly kind: 'fail'; readonly error: Error }
  /** Settled as cancelled, no matter what the handler threw or returned. */
  | { readonly kind: 'cancel' }
  /** Returned to the queue; the attempt does not count. */
  | { readonly kind: 'requeue' }
  /** Fetched again after `ms`; the attempt does not count. `reason` becomes the task's error meanwhile, `starts` its number of fetches. */
  | { readonly kind: 'defer'; readonly ms: number; readonly reason?: string; readonly starts?: number }
  /** The lock is lost: nothing is written. */
  | { readonly kind: 'drop' };

/** The rules of a definition for failures. */
export interface FailureRules {
  readonly retryOnTimeout: boolean;
  readonly retry: Pick<RetryPolicy, 'except'>;
}

/** BullMQ takes these errors to mean that the job was already moved: it would stay active without an owner. */
const PLACE_ERRORS: readonly string[] = ['DelayedError', 'WaitingError', 'WaitingChildrenError'];

/**
 * Decides the outcome of an attempt. The cause of an abort decides, never a message; without an abort, the handler's end does. A handler
 * that returned before the abort reached it has completed: there is no cause then.
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
      throw new Error('a handler was abandoned without an abort cause');
  }
}

/** @param except further errors that are not retried */
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
