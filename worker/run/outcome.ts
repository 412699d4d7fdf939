import { inspect } from 'node:util';
import { type JobsOptions, RATE_LIMIT_ERROR, UnrecoverableError } from 'bullmq';
import { type ErrorCode, isFleetError } from '../../shared/errors.js';
import type { AbortCause } from '../../shared/stop/cause.js';
import type { RetryPolicy } from '../../shared/task/definition.js';
import type { TaskBackoff } from '../../shared/task/job-options.js';

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
interface FailureRules {
  readonly retryOnTimeout: boolean;
  readonly retry: Pick<RetryPolicy, 'except'>;
}

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

/** BullMQ takes these errors to mean that the job was already moved: it would stay active without an owner. */
const PLACE_ERRORS: readonly string[] = ['DelayedError', 'WaitingError', 'WaitingChildrenError'];

function asError(thrown: unknown): Error {
  if (thrown instanceof Error) {
    const misread = PLACE_ERRORS.includes(thrown.name) || thrown.message === RATE_LIMIT_ERROR;
    return misread ? new Error(`the handler threw ${thrown.name}: ${thrown.message}`, { cause: thrown }) : thrown;
  }
  return new Error(typeof thrown === 'string' ? thrown : `the handler threw ${inspect(thrown, { breakLength: Infinity })}`);
}

/** Errors caused by invalid arguments: another attempt would fail in the same way. */
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
/** By name, because a task module may have its own copy of BullMQ or zod; `$ZodError` is that of zod's core. */
const FINAL_NAMES: readonly string[] = ['UnrecoverableError', 'ZodError', '$ZodError'];

/**
 * Returns whether an error is not retried: an `UnrecoverableError`, a failed validation, or an error that the definition excludes from
 * retries.
 */
export function isFinal(error: unknown, except: readonly string[]): boolean {
  if (isFleetError(error, ...VALIDATION_CODES)) return true;
  return namesOf(error).some((name) => FINAL_NAMES.includes(name) || except.includes(name));
}

/** Returns the names of an error: its name, its code, and those of its class and superclasses. */
function namesOf(error: unknown): string[] {
  if (!(error instanceof Error)) return [];
  const names = [error.name];
  if ('code' in error && typeof error.code === 'string') names.push(error.code);
  for (let proto: unknown = Object.getPrototypeOf(error); proto instanceof Error; proto = Object.getPrototypeOf(proto))
    names.push(proto.constructor.name);
  return names;
}

/** Wraps an error so that BullMQ does not retry it. */
export function unrecoverable(error: Error): UnrecoverableError {
  if (error instanceof UnrecoverableError) return error;
  const final = new UnrecoverableError(error.message);
  if (error.stack !== undefined) final.stack = error.stack;
  final.cause = error;
  return final;
}

/** An error that permits a retry, but only after a wait. */
export class RetryableError extends Error {
  /** Minimum wait before the next attempt, in ms; null for none. */
  readonly retryAfterMs: number | null;

  constructor(message: string, retryAfterMs: number | null) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * Returns the wait after an attempt that failed with `error`, in ms: the backoff of {@link retryDelay}, or longer if the error asks for it.
 */
export function delayAfter(error: Error, backoff: JobsOptions['backoff'], attempt: number): number {
  const asked = error instanceof RetryableError ? error.retryAfterMs : null;
  return Math.max(asked ?? 0, retryDelay(backoff, attempt));
}

/** Backoff delay for foreign jobs that do not specify one. */
const FALLBACK_DELAY_MS = 1_000;

/**
 * Returns the backoff after a failed attempt, in ms: as BullMQ computes it, but doubling stops at `maxDelay`. Types that BullMQ does not
 * know (another program's own) double as well; BullMQ would throw, and the job would stay active and run again after every stalled check.
 *
 * @param attempt the failed attempt, from 1
 * @param random from 0 to 1
 */
export function retryDelay(backoff: JobsOptions['backoff'], attempt: number, random: number = Math.random()): number {
  if (backoff === undefined) return 0;
  const {
    type,
    delay = FALLBACK_DELAY_MS,
    jitter = 0,
    maxDelay = Infinity,
  }: TaskBackoff = typeof backoff === 'number' ? { type: 'fixed', delay: backoff } : backoff;
  const full = type === 'fixed' ? delay : Math.min(maxDelay, 2 ** (attempt - 1) * delay);
  return Math.floor(full * (1 - jitter) + random * full * jitter);
}
