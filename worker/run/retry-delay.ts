import type { JobsOptions } from 'bullmq';
import type { TaskBackoff } from '../../shared/task/job-options.js';

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
