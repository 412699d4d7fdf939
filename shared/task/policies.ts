import { z } from 'zod';

/** When a failed attempt is retried. */
export interface RetryPolicy {
  /** Total attempts, including the first. Default 1 (no retry), 1 to 100. */
  readonly attempts: number;
  readonly backoff: {
    /** `fixed` waits `delayMs` each time, `exponential` doubles it after each attempt. Default `exponential`. */
    readonly type: 'fixed' | 'exponential';
    /** Default 1,000 ms, up to a day. */
    readonly delayMs: number;
    /** Upper limit of the doubled delay. Default an hour, or `delayMs` if that is longer; up to a week. */
    readonly maxDelayMs: number;
    /** Random share of the delay, 0 to 1: 0.2 waits between 80 % and 100 % of it. Default 0.2. */
    readonly jitter: number;
  };
  /**
   * Errors that are never retried: each given by its `name`, the name of its class or of a base class, or its `code`. Up to 100,
   * as text, so that they can be passed to threads. Default none. An `UnrecoverableError` and failed validation are never retried.
   */
  readonly except: readonly string[];
}

/** How long ended tasks of one kind are kept, until the first limit is reached. */
export interface Retention {
  /** At least 1,000 ms; rounded up to whole seconds. */
  readonly ageMs: number;
  /** 0 keeps none. Each shard of a queue keeps its share, rounded up. */
  readonly count: number;
}

/** The retention of a definition's ended tasks. Each kind has its own limits, and so does each definition of a queue. */
export interface RetentionPolicy {
  readonly completed: Retention;
  readonly failed: Retention;
  readonly cancelled: Retention;
}

/** What a definition states of its retention; the rest is {@link DEFAULT_RETENTION}. */
export type RetentionOptions = { readonly [Kind in keyof RetentionPolicy]?: Partial<Retention> };

/** What happens to a task whose worker died or was lost while it ran. */
export interface WorkerLossPolicy {
  /**
   * How often such a task runs again; after one more loss it fails with `WORKER_LOST`. Default 3, 0 to 100. 0 means at most once: the
   * task never runs again after a lost worker, for work that must not be repeated. A loss uses up no attempt of `retry`.
   */
  readonly retries: number;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export const DEFAULT_RETENTION: RetentionPolicy = Object.freeze({
  completed: Object.freeze({ ageMs: HOUR_MS, count: 1_000 }),
  failed: Object.freeze({ ageMs: 7 * DAY_MS, count: 5_000 }),
  cancelled: Object.freeze({ ageMs: DAY_MS, count: 1_000 }),
});

const backoffSchema = z
  .strictObject({
    type: z.enum(['fixed', 'exponential']).default('exponential'),
    delayMs: z.int().min(0).max(DAY_MS).default(1_000),
    maxDelayMs: z
      .int()
      .min(0)
      .max(7 * DAY_MS)
      .optional(),
    jitter: z.number().min(0).max(1).default(0.2),
  })
  .refine(({ delayMs, maxDelayMs = delayMs }) => maxDelayMs >= delayMs, { path: ['maxDelayMs'], error: 'expected delayMs or more' })
  .transform((backoff) => ({ ...backoff, maxDelayMs: backoff.maxDelayMs ?? Math.max(HOUR_MS, backoff.delayMs) }));

/** The schema of a definition's `retry`. */
export const retrySchema = z
  .strictObject({
    attempts: z.int().min(1).max(100).default(1),
    backoff: backoffSchema.prefault({}),
    except: z.array(z.string('expected the name of an error, of its class, or its code').min(1).max(128)).max(100).default([]),
  })
  .prefault({});

const limitsSchema = ({ ageMs, count }: Retention) =>
  z.strictObject({ ageMs: z.int().min(1_000).default(ageMs), count: z.int().min(0).default(count) }).prefault({});

/** The schema of a definition's `onWorkerLost`. */
export const workerLossSchema = z.strictObject({ retries: z.int().min(0).max(100).default(3) }).prefault({});

/** The schema of a definition's `retention`. */
export const retentionSchema = z
  .strictObject({
    completed: limitsSchema(DEFAULT_RETENTION.completed),
    failed: limitsSchema(DEFAULT_RETENTION.failed),
    cancelled: limitsSchema(DEFAULT_RETENTION.cancelled),
  })
  .prefault({});
