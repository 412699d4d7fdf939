import { z } from 'zod';
import { isName } from '../keys.js';
import { parseDuration } from '../time.js';

/** A task as a definition's limits see it. */
export interface KeyedTask<Input = unknown> {
  /** The parsed input, with the schema's defaults. */
  readonly input: Input;
  /** Null for none. */
  readonly item: string | null;
}

/**
 * Returns the key of a task: 1 to 256 characters without control characters. Null or undefined if the limit does not apply to the task.
 */
export type KeyOf<Input = unknown> = (task: KeyedTask<Input>) => string | null | undefined;

/** A limit on the tasks that run at once, as a definition states it. */
export interface ConcurrencyOptions<Input = unknown> {
  /** What tasks line up by: their item, or a key computed at the enqueue. Default: one limit for all tasks of the definition. */
  readonly by?: 'item' | KeyOf<Input>;
  /** Running tasks for each key, in the whole fleet: 1 to 1,000,000. */
  readonly limit: number;
  /** Longest line of each key; an enqueue beyond it fails with `ITEM_BUSY`. 0 to 1,000,000,000. Default: no limit. */
  readonly maxWaiting?: number;
  /** Shares the limit with the definitions that name the same group. Up to 64 letters, digits and `. _ -`. */
  readonly group?: string;
}

/** A limit on the starts in a period, as a definition states it. */
export interface RateOptions<Input = unknown> {
  /** As for `concurrency`. */
  readonly by?: 'item' | KeyOf<Input>;
  /** Starts in each period, or the sum of their costs: 1 to 1,000,000,000. */
  readonly limit: number;
  /** The period: a duration such as `'1m'` (`ms`, `s`, `m`, `h` or `d`), or a number of ms. Up to 31 days. */
  readonly per: number | string;
  /** Starts, or cost, that may come at once after a pause: 1 to `limit`. Default: a tenth of `limit`, at least 1. */
  readonly burst?: number;
  /** Cost of a start, computed at the enqueue: 0 to 1,000,000,000. Default 1. */
  readonly cost?: (task: KeyedTask<Input>) => number;
  /** As for `concurrency`. */
  readonly group?: string;
}

export interface FairOptions<Input = unknown> {
  /** The keys that share the slots of the queue. */
  readonly by: 'item' | KeyOf<Input>;
}

/** A limit on the tasks that run at once. */
export interface ConcurrencyLimit {
  /** Null for one limit on all tasks of the definition or group. */
  readonly by: 'item' | KeyOf | null;
  readonly limit: number;
  readonly maxWaiting: number | null;
  readonly group: string | null;
}

/** A limit on the starts in a period. */
export interface RateLimit {
  readonly by: 'item' | KeyOf | null;
  readonly limit: number;
  readonly perMs: number;
  readonly burst: number;
  readonly cost: ((task: KeyedTask) => number) | null;
  readonly group: string | null;
}

/** Shares the slots of a queue among the keys that have tasks. */
export interface FairPolicy {
  readonly by: 'item' | KeyOf;
}

/** What an enqueue does with a task that would have to wait for a place. */
export const WHEN_BUSY = ['wait', 'reject', 'stop-previous', 'replace-waiting'] as const;
export type WhenBusy = (typeof WHEN_BUSY)[number];

/** Entries of `concurrency`, and of `rate`. */
export const MAX_LIMITS = 8;
/** Highest concurrency limit of a key. */
export const MAX_PLACES = 1_000_000;
/** Highest limit and cost of a rate, and longest `maxWaiting`. */
export const MAX_AMOUNT = 1_000_000_000;
const MAX_PERIOD_MS = 31 * 86_400_000;

export const byItemOrFunction = z.custom<'item' | KeyOf>(
  (value) => value === 'item' || typeof value === 'function',
  "expected 'item' or a function that returns the key",
);
const group = z.string().refine(isName, 'expected letters, digits and . _ - (at most 64)');

const concurrencyEntry = z
  .strictObject({
    by: byItemOrFunction.optional(),
    limit: z.int().min(1).max(MAX_PLACES),
    maxWaiting: z.int().min(0).max(MAX_AMOUNT).optional(),
    group: group.optional(),
  })
  .transform((entry): ConcurrencyLimit =>
    Object.freeze({ by: entry.by ?? null, limit: entry.limit, maxWaiting: entry.maxWaiting ?? null, group: entry.group ?? null }),
  );

const period = z
  .union([z.number(), z.string()], "expected a duration such as '1m', or ms")
  .transform((value) => (typeof value === 'string' ? parseDuration(value) : value))
  .refine(
    (ms): ms is number => ms !== null && Number.isInteger(ms) && ms >= 1 && ms <= MAX_PERIOD_MS,
    "expected a duration such as '1m' or '500ms', or whole ms; 1 ms to 31 days",
  );

const rateEntry = z
  .strictObject({
    by: byItemOrFunction.optional(),
    limit: z.int().min(1).max(MAX_AMOUNT),
    per: period,
    burst: z.int().min(1).optional(),
    cost: z
      .custom<(task: KeyedTask) => number>((value) => typeof value === 'function', 'expected a function that returns the cost')
      .optional(),
    group: group.optional(),
  })
  .refine(({ limit, burst = 1 }) => burst <= limit, { path: ['burst'], error: 'expected at most limit' })
  .transform(({ by, limit, per, burst, cost, group: shared }): RateLimit => {
    const normal = { limit, perMs: per, burst: burst ?? Math.max(1, Math.floor(limit / 10)) };
    return Object.freeze({ by: by ?? null, ...normal, cost: cost ?? null, group: shared ?? null });
  });

/** Accepts one entry or a list. */
function listOf<Entry extends z.ZodType>(entry: Entry) {
  const asList = (value: unknown): unknown => (value === undefined ? [] : Array.isArray(value) ? value : [value]);
  return z.preprocess(asList, z.array(entry).max(MAX_LIMITS).readonly());
}

/** The schema of a definition's `concurrency`. */
export const concurrencySchema = listOf(concurrencyEntry).superRefine((entries, context) => {
  const seen = new Map<string, number>();
  entries.forEach((entry, index) => {
    if (typeof entry.by === 'function') return;
    const same = `${entry.by} ${entry.group}`;
    const first = seen.get(same);
    if (first === undefined) seen.set(same, index);
    else context.addIssue({ code: 'custom', path: [index], message: `limits the same tasks as entry ${first}; keep one of them` });
  });
});

/** The schema of a definition's `rate`. */
export const rateSchema = listOf(rateEntry);

/** The schema of a definition's `fair`. */
export const fairSchema = z
  .strictObject({ by: byItemOrFunction })
  .transform((fair): FairPolicy => Object.freeze(fair))
  .optional();

/** The schema of a definition's `whenBusy`. */
export const whenBusySchema = z.enum(WHEN_BUSY).optional();

/** Returns what is wrong with a `whenBusy`, or null. Without `concurrency`, the policy is about the item, for which nothing waits. */
export function problemOfWhenBusy(whenBusy: WhenBusy, concurrency: readonly ConcurrencyLimit[]): string | null {
  if (concurrency.length > 0 || whenBusy === 'reject' || whenBusy === 'stop-previous') return null;
  return `expected 'reject' or 'stop-previous', got '${whenBusy}', which needs a definition with concurrency`;
}
