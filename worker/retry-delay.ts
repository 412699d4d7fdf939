import type { JobsOptions } from 'bullmq';
import type { TaskBackoff } from '../shared/task/job-options.js';

/** For a job of others that asks for a backoff and does not say how long. */
const FALLBACK_DELAY_MS = 1_000;

/**
 * How long a job waits after a failed attempt, in ms: as BullMQ computes it, but doubling stops at `maxDelay`. A type that
 * BullMQ does not know either (another program's own) doubles too; BullMQ would throw, and the job would stay active and
 * run again after every stalled check.
 *
 * @param attempt that failed, 1 for the first
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

/** An error after which another attempt may succeed, but not before some time. */
export class RetryableError extends Error {
  /** How long the next attempt should wait, in ms; null if nothing asks for a wait. */
  readonly retryAfterMs: number | null;

  constructor(message: string, retryAfterMs: number | null) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** How long a job waits after an attempt that failed with `error`, in ms: as {@link retryDelay} has it, but at least as long as the error asks for. */
export function delayAfter(error: Error, backoff: JobsOptions['backoff'], attempt: number): number {
  const asked = error instanceof RetryableError ? error.retryAfterMs : null;
  return Math.max(asked ?? 0, retryDelay(backoff, attempt));
}
