import { inspect } from 'node:util';
import { UnrecoverableError } from 'bullmq';
import type { AbortCause } from '../shared/stop/cause.js';

/** How a handler came to its end: it returned, it threw, or it was given up after grace. */
export type HandlerEnd =
  | { readonly kind: 'returned'; readonly value: unknown }
  | { readonly kind: 'threw'; readonly error: unknown }
  | { readonly kind: 'abandoned' };

/** What becomes of the task. */
export type Outcome =
  | { readonly kind: 'complete'; readonly value: unknown }
  | { readonly kind: 'fail'; readonly error: Error }
  /** Settled as cancelled, whatever the handler threw or returned. */
  | { readonly kind: 'cancel' }
  /** Back to the queue; the attempt does not count. */
  | { readonly kind: 'hand-back' }
  /** Not ours any more: nothing is written. */
  | { readonly kind: 'drop' };

/**
 * The outcome rules. The cause of an abort decides, never a message; without an abort, the handler does. A handler that
 * returned before the abort reached it has completed: then there is no cause here.
 */
export function decideOutcome(cause: AbortCause | null, end: HandlerEnd, retryOnTimeout: boolean): Outcome {
  switch (cause?.kind) {
    case 'stop':
      return { kind: 'cancel' };
    case 'lock-lost':
      return { kind: 'drop' };
    case 'timeout':
      return { kind: 'fail', error: retryOnTimeout ? cause : new UnrecoverableError(cause.message) };
    case 'shutdown':
      return end.kind === 'returned' ? { kind: 'complete', value: end.value } : { kind: 'hand-back' };
    case undefined:
      if (end.kind === 'returned') return { kind: 'complete', value: end.value };
      if (end.kind === 'threw') return { kind: 'fail', error: asError(end.error) };
      throw new Error('a handler was given up without a cause');
  }
}

function asError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown;
  return new Error(typeof thrown === 'string' ? thrown : `the handler threw ${inspect(thrown, { breakLength: Infinity })}`);
}
