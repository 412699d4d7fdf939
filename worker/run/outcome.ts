import { inspect } from 'node:util';
import { type JobsOptions, RATE_LIMIT_ERROR, UnrecoverableError } from 'bullmq';
import { type AskedRetry, askedRetry, delayOf } from '../../shared/attempt/retry-after.js';
import { type ErrorCode, isError, isFleetError } from '../../shared/errors.js';
import type { AbortCause } from '../../shared/stop/cause.js';
import type { TaskBackoff } from '../../shared/task/job-options.js';
import type { RetryPolicy } from '../../shared/task/policies.js';

/** How a handler ended: it returned, threw, or was abandoned after its grace. */
export type HandlerEnd =
  | { readonly kind: 'returned'; readonly value: unknown }
  | { readonly kind: 'threw'; readonly error: unknown }
  | { readonly kind: 'abandoned' };

/** What happens to the task next. */
export type Outcome =
  | { readonly kind: 'complete'; readonly value: unknown }
  /** Completed as skipped, without a result: it overlaps the task `other` of its schedule. */
  | { readonly kind: 'skip'; readonly other: string }
  /** Retried if attempts are left, unless the error is an `UnrecoverableError`. */
  | { readonly kind: 'fail'; readonly error: Error }
  /** Retried when the handler asked, by a {@link RetryAfter} that does not count the attempt. */
  | { readonly kind: 'put-off'; readonly error: Error; readonly asked: AskedRetry }
  /** Settled as cancelled, no matter what the handler threw or returned. */
  | { readonly kind: 'cancel' }
  /** Returned to the queue; the attempt does not count. */
  | { readonly kind: 'requeue' }
  /**
   * Fetched again after `ms`; the attempt does not count. `reason` becomes the task's error meanwhile, `starts` its number of fetches. The task
   * gives up its places, unless it `keepsPlaces`.
   */
  | { readonly kind: 'defer'; readonly ms: number; readonly reason?: string; readonly starts?: number; readonly keepsPlaces?: boolean }
  /**
   * Delayed until its limits let it start, in ms since the epoch; parked if that depends on other tasks. It keeps its places in lines, and the
   * attempt does not count.
   */
  | { readonly kind: 'line-up'; readonly until: number }
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
      if (end.kind === 'threw') return putOff(end.error, rules?.retry.except) ?? failWith(end.error, rules?.retry.except);
      throw new Error('a handler was abandoned without an abort cause');
  }
}

function putOff(error: unknown, except: readonly string[] = []): Outcome | null {
  const asked = askedRetry(error);
  return asked === null || asked.countAttempt || isFinal(error, except) ? null : { kind: 'put-off', error: error as Error, asked };
}

/** @param except further errors that are not retried */
export function failWith(thrown: unknown, except: readonly string[] = []): Outcome & { kind: 'fail' } {
  const error = asError(thrown);
  return { kind: 'fail', error: isFinal(error, except) ? unrecoverable(error) : error };
}

/** BullMQ takes these errors to mean that the job was already moved: it would stay active without an owner. */
const PLACE_ERRORS: readonly string[] = ['DelayedError', 'WaitingError', 'WaitingChildrenError'];

function asError(thrown: unknown): Error {
  if (isError(thrown)) {
    const misread = PLACE_ERRORS.includes(thrown.name) || thrown.message === RATE_LIMIT_ERROR;
    return misread ? new Substitute(`the handler threw ${thrown.name}: ${thrown.message}`, thrown) : thrown;
  }
  return new Substitute(typeof thrown === 'string' ? thrown : `the handler threw ${inspect(thrown, { breakLength: Infinity })}`, thrown);
}

/** Stands for a thrown value that BullMQ cannot take. */
class Substitute extends Error {
  constructor(
    message: string,
    readonly thrown: unknown,
  ) {
    super(message);
  }
}

/** Errors caused by invalid arguments or code: another attempt would fail in the same way. */
const VALIDATION_CODES: readonly ErrorCode[] = [
  'INVALID_DEFINITION',
  'INVALID_MIDDLEWARE',
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
  if (!isError(error)) return [];
  const names = [error.name];
  if ('code' in error && typeof error.code === 'string') names.push(error.code);
  for (let at = above(error); at !== null; at = above(at)) {
    const up = above(at);
    // The last two prototypes are Error's and Object's, perhaps of another realm.
    if (up === null || above(up) === null) break;
    names.push(at.constructor.name);
  }
  return names;
}

function above(object: object): object | null {
  return Object.getPrototypeOf(object) as object | null;
}

/** Wraps an error so that BullMQ does not retry it. */
export function unrecoverable(error: Error): UnrecoverableError {
  return error instanceof UnrecoverableError ? error : new FinalError(error);
}

/** Stands for an error that is not retried. */
export class FinalError extends UnrecoverableError {
  constructor(readonly thrown: Error) {
    super(thrown.message);
    if (thrown.stack !== undefined) this.stack = thrown.stack;
    this.cause = thrown;
  }
}

/** Returns what a handler threw, from the error that stands for it. */
export function thrownBy(error: unknown): unknown {
  if (error instanceof FinalError) return thrownBy(error.thrown);
  return error instanceof Substitute ? error.thrown : error;
}

/**
 * Returns whether a failed attempt is followed by another one.
 * @param made attempts that count, with this one
 * @param attempts attempts allowed; undefined for a foreign job that does not specify them
 */
export function mayRetry(error: Error, made: number, attempts: number | undefined): boolean {
  const isUnrecoverable = error instanceof UnrecoverableError || error.name === 'UnrecoverableError';
  return !isUnrecoverable && made < (attempts ?? 0);
}

/** Returns the wait after an attempt that failed with `error`, in ms: the one that the handler asked for, or the backoff. */
export function delayAfter(error: Error, backoff: JobsOptions['backoff'], attempt: number, now: number): number {
  const asked = askedRetry(error);
  return asked ? delayOf(asked, now) : retryDelay(backoff, attempt);
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
