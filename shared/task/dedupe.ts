import { z } from 'zod';
import { FleetError, messageOf } from '../errors.js';
import { problemOfItem, quote } from '../keys.js';
import { type KeyOf, type KeyedTask, byItemOrFunction } from '../limiter/policy.js';
import { MAX_DELAY_MS } from '../limits.js';

export const DEDUPE_MODES = ['while-live', 'throttle', 'debounce'] as const;

/**
 * How long a task stands for its key, so that further enqueues with the key add none: `while-live` until it ends or is stopped,
 * `throttle` for `withinMs` from its enqueue, and `debounce` until it starts, `withinMs` after the last enqueue, with the input of that.
 */
export type DedupeMode = (typeof DEDUPE_MODES)[number];

export interface DedupeOptions {
  /** Keys belong to the definition: equal keys of two definitions do not meet. 1 to 256 characters, no control characters. */
  readonly key: string;
  /** Default `while-live`. */
  readonly mode?: DedupeMode | undefined;
  /** In ms, 1 ms to ten years. Required for `throttle` and `debounce`, and for these only. */
  readonly withinMs?: number | undefined;
}

/** The deduplication of a definition's enqueues, as a definition states it. */
export interface DedupePolicyOptions<Input = unknown> {
  /** The key: the task's item, or one computed at the enqueue. Without an item, or for null or undefined, the task has no key. */
  readonly by: 'item' | KeyOf<Input>;
  /** Default `while-live`. */
  readonly mode?: DedupeMode;
  /** As for an enqueue. */
  readonly withinMs?: number;
}

export interface DedupePolicy {
  readonly by: 'item' | KeyOf;
  readonly mode: DedupeMode;
  readonly withinMs: number | null;
}

/** The schema of a definition's `dedupe`. */
export const dedupeSchema = z
  .strictObject({
    by: byItemOrFunction,
    mode: z.enum(DEDUPE_MODES).default('while-live'),
    withinMs: z.int().min(1).max(MAX_DELAY_MS).nullable().default(null),
  })
  .refine(({ mode, withinMs }) => (mode === 'while-live') === (withinMs === null), {
    path: ['withinMs'],
    error: 'expected a time for throttle and debounce, and for these only',
  })
  .transform((policy): DedupePolicy => Object.freeze(policy))
  .optional();

/** A validated deduplication. */
export interface Dedupe {
  /** The deduplication id of BullMQ: the definition's name and the key. */
  readonly id: string;
  readonly mode: DedupeMode;
  /** Null for `while-live`. */
  readonly withinMs: number | null;
  /** Whether a task of this item may be replaced. */
  readonly sees: (item: string | null) => boolean;
}

/** The part of a definition that deduplicates its tasks. Definitions of older copies of this package have no `dedupe`. */
interface Deduplicated {
  readonly name: string;
  readonly dedupe?: DedupePolicy | null;
}

const seesAll = (): boolean => true;

/**
 * Returns the deduplication of an enqueue: its own, or its definition's; null for none.
 * @throws FleetError `INVALID_INPUT` if the definition's `by` fails
 */
export function dedupeOptionsOf(
  { name, dedupe }: Deduplicated,
  asked: DedupeOptions | null | undefined,
  task: KeyedTask,
): DedupeOptions | null {
  if (asked !== undefined || !dedupe) return asked ?? null;
  const key = dedupe.by === 'item' ? task.item : computed(name, dedupe.by, task);
  if (key === null || key === undefined) return null;
  return { key, mode: dedupe.mode, ...(dedupe.withinMs !== null && { withinMs: dedupe.withinMs }) };
}

function computed(name: string, by: KeyOf, task: KeyedTask): string | null | undefined {
  try {
    return by(task);
  } catch (error) {
    throw new FleetError('INVALID_INPUT', `Bad input for ${name}: dedupe.by failed (${messageOf(error)}).`, {
      cause: error,
      details: { task: name, field: 'dedupe.by' },
    });
  }
}

/** @param sees whether a task of this item may be replaced; default every task. @throws FleetError `INVALID_OPTION` */
export function checkDedupe(name: string, options: unknown, sees: Dedupe['sees'] = seesAll): Dedupe {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw bad('dedupe', `expected { key, mode, withinMs }, got ${shown(options)}`);
  const { key, mode = 'while-live', withinMs, ...others } = options as Partial<DedupeOptions>;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw bad(`dedupe.${unknown}`, 'expected only key, mode and withinMs');
  const problem = problemOfItem(key);
  if (problem !== null) throw bad('dedupe.key', problem);
  const known = DEDUPE_MODES.find((one) => one === mode);
  if (known === undefined) throw bad('dedupe.mode', `expected ${DEDUPE_MODES.join(', ')}, got ${shown(mode)}`);
  return { id: `${name}:${key}`, mode: known, withinMs: checkWithin(known, withinMs), sees };
}

function checkWithin(mode: DedupeMode, withinMs: unknown): number | null {
  if (mode === 'while-live') {
    if (withinMs === undefined) return null;
    throw bad('dedupe.withinMs', 'it needs the mode throttle or debounce');
  }
  if (typeof withinMs === 'number' && Number.isInteger(withinMs) && withinMs >= 1 && withinMs <= MAX_DELAY_MS) return withinMs;
  throw bad('dedupe.withinMs', `expected a whole number from 1 to ${MAX_DELAY_MS} for ${mode}, got ${shown(withinMs)}`);
}

function bad(field: string, problem: string): FleetError {
  return new FleetError('INVALID_OPTION', `Bad ${field}: ${problem}.`, { details: { field } });
}

/** Returns the key of a task by its name and BullMQ's deduplication id; null for none. Another program's id is shown whole. */
export function dedupeKeyOf(name: string | null, id: string | null): string | null {
  return id !== null && name !== null && id.startsWith(`${name}:`) ? id.slice(name.length + 1) : id;
}

function shown(value: unknown): string {
  if (typeof value === 'string') return quote(value);
  return typeof value === 'number' ? String(value) : typeof value;
}
