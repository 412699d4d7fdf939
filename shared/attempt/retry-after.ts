import { describeValue } from '../arguments.js';
import { FleetError, isError } from '../errors.js';
import { MAX_DELAY_MS } from '../limits.js';

export interface RetryAfterOptions {
  /**
   * Whether this attempt uses up one of the definition's attempts. Default true. With false, the task is put off for as often as its
   * handler asks: bound it by a deadline, or by a count of your own.
   */
  readonly countAttempt?: boolean;
  readonly cause?: unknown;
}

/**
 * Thrown by a handler to be retried at a given time, for example when a server answers 429 with `Retry-After`. The delay is exact: it
 * replaces the definition's backoff and jitter. The last attempt fails as with any other error.
 *
 * @example throw new RetryAfter(8_000, 'rate limited by the provider');
 */
export class RetryAfter extends Error {
  override readonly name: string = 'RetryAfter';
  /** The delay in ms, or the time in ms since the epoch. */
  readonly wait: { readonly ms: number } | { readonly at: number };
  readonly countAttempt: boolean;

  /**
   * @param when the delay from now in ms, up to ten years, or the time of the next attempt
   * @param reason the task's error until then
   * @throws FleetError `INVALID_OPTION`
   */
  constructor(when: number | Date, reason?: string, { countAttempt = true, cause }: RetryAfterOptions = {}) {
    super(
      reason ?? `Retry ${when instanceof Date ? `at ${describeTime(when)}` : `after ${when} ms`}`,
      cause === undefined ? {} : { cause },
    );
    this.wait = checkWhen(when);
    this.countAttempt = countAttempt;
  }
}

function checkWhen(when: unknown): RetryAfter['wait'] {
  if (typeof when === 'number' && when >= 0 && when <= MAX_DELAY_MS) return { ms: Math.ceil(when) };
  if (when instanceof Date && !Number.isNaN(when.getTime())) return { at: when.getTime() };
  throw new FleetError('INVALID_OPTION', `Bad RetryAfter: expected a Date, or ms from 0 to ${MAX_DELAY_MS}, got ${describeValue(when)}.`, {
    details: { field: 'when' },
  });
}

function describeTime(when: Date): string {
  return Number.isNaN(when.getTime()) ? 'an invalid date' : when.toISOString();
}

/** What a handler asked for by a {@link RetryAfter}. */
export type AskedRetry = Pick<RetryAfter, 'wait' | 'countAttempt'>;

/** Returns what an error asks for; null if it is no {@link RetryAfter}. By its name and fields: a task module may have its own copy. */
export function askedRetry(error: unknown): AskedRetry | null {
  if (!isError(error) || error.name !== 'RetryAfter') return null;
  const { wait, countAttempt } = error as Partial<RetryAfter>;
  if (typeof wait !== 'object' || wait === null) return null;
  const time: unknown = 'ms' in wait ? wait.ms : wait.at;
  return typeof time === 'number' && Number.isFinite(time) ? { wait, countAttempt: countAttempt !== false } : null;
}

/** Returns the delay from now until the retry, in ms: 0 for a time that has passed. */
export function delayOf({ wait }: AskedRetry, now: number): number {
  return Math.min(MAX_DELAY_MS, Math.max(0, Math.ceil('ms' in wait ? wait.ms : wait.at - now)));
}
