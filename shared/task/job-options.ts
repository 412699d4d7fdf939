import type { BackoffOptions, JobsOptions } from 'bullmq';
import { type LimitMark, readMarks } from '../limiter/marks.js';
import { type HashReader, isTime } from '../records/hash-reader.js';
import type { Memberships } from '../registry/merged-writes.js';
import { type EndedKind, type StoredLimits, limitsUnlessDefault, storedLimits } from '../retention/limits.js';
import { OVERLAP_POLICIES, type ScheduleMark } from '../schedule/schedule.js';
import { DEDUPE_MODES, type DedupeMode } from './dedupe.js';
import type { AnyDefinition } from './definition.js';
import { DEFAULT_RETENTION, type RetentionPolicy, type RetryPolicy } from './policies.js';
import { problemOfTags } from './tags.js';

/** Our part of a job's options, which BullMQ stores unchanged. Absent on jobs of other programs. */
export interface TaskJobOptions {
  /** `''` for none. */
  readonly item?: string;
  /** Absent for none. */
  readonly tags?: readonly string[];
  /** Tells two enqueues of one id apart: the one whose nonce was stored made the task. */
  readonly nonce?: string;
  /** The task whose handler enqueued this one. */
  readonly childOf?: JobAddress;
  /** No attempt starts after this time, in ms since the epoch. */
  readonly deadline?: number;
  /** Time of the last retry after its end, in ms since the epoch: the start of its wait. */
  readonly retriedAt?: number;
  /** The batch that retried the task last: a batch retries each task once, even if it is repeated. */
  readonly retriedBy?: string;
  /** How long the task is kept once cancelled, if not for the default time. `removeOnFail` is for failed tasks only. */
  readonly keepCancelled?: StoredLimits;
  /** Set on scheduled tasks, and on runs of a schedule on demand. */
  readonly schedule?: ScheduleMark;
  /** The limits of the task, in the order in which it acquires them. */
  readonly limits?: readonly LimitMark[];
  /** The limited tasks above a child, nearest first: their places are taken until they end. */
  readonly ancestors?: readonly string[];
  /** How long the task stands for its deduplication key. */
  readonly dedupe?: DedupeMode;
  /** BullMQ's `deduplication`, as stored. */
  readonly de?: { readonly id: string; readonly ttl?: number };
}

/** The address of a job. */
export interface JobAddress {
  readonly queue: string;
  readonly id: string;
}

/** Stack traces kept with a job: those of its last failures. */
export const MAX_STACKS = 3;
/** Of a chain of tasks, each enqueued by the one before it, only the nearest can still run. */
const MOST_ANCESTORS = 32;
const NONE: readonly string[] = Object.freeze([]);

/** Returns the limited tasks that hold places above the children of a task, nearest first. */
export function ancestorsOf(id: string, { limits, ancestors = NONE }: TaskJobOptions): readonly string[] {
  return limits === undefined ? ancestors : [id, ...ancestors].slice(0, MOST_ANCESTORS);
}

type Test = (value: unknown) => boolean;

/** Checks of our fields, and of the BullMQ fields that we read. Other fields are ignored. */
const FIELDS: readonly (readonly [name: string, test: Test, expected: string])[] = [
  ['item', isString, 'a string'],
  ['tags', (value) => problemOfTags(value) === null, 'a list of tags'],
  ['nonce', isString, 'a string'],
  ['childOf', (value) => isObject(value) && isString(value['queue']) && isString(value['id']), 'the queue and id of a task'],
  ['deadline', isTime, 'ms since the epoch'],
  ['retriedAt', isTime, 'ms since the epoch'],
  ['retriedBy', isString, 'a string'],
  ['keepCancelled', isObject, 'the limits of a retention'],
  ['schedule', isMark, 'the mark of a schedule'],
  ['limits', (value) => readMarks(value) !== null, 'a list of limits'],
  ['ancestors', (value) => Array.isArray(value) && value.every(isString), 'a list of task ids'],
  ['dedupe', (value) => DEDUPE_MODES.some((mode) => mode === value), 'a mode of deduplication'],
  ['de', (value) => isObject(value) && isString(value['id']), 'the id of a deduplication'],
  ['attempts', isCount, 'a whole number'],
  ['delay', isCount, 'a whole number'],
  ['priority', isCount, 'a whole number'],
];
const TESTS: ReadonlyMap<string, Test> = new Map(FIELDS.map(([name, test]) => [name, test]));

/**
 * Reads the options of a job, which any program may have added. Leaves out unreadable fields and notes them in `notes`, if given. Never
 * throws.
 * @param options JSON as stored, or parsed
 */
export function readOptions(
  options: unknown,
  notes?: Pick<HashReader, 'note'>,
): TaskJobOptions & { readonly attempts?: number; readonly delay?: number; readonly priority?: number } {
  const value = typeof options === 'string' ? parse(options) : options;
  if (!isObject(value)) {
    if (options !== null && options !== undefined) notes?.note('opts: expected a JSON object');
    return {};
  }
  if (Object.keys(value).every((name) => value[name] === undefined || TESTS.get(name)?.(value[name]) !== false)) return value;
  let bad: Set<string> | null = null;
  for (const [name, test, expected] of FIELDS) {
    const field = value[name];
    if (field === undefined || test(field)) continue;
    notes?.note(`opts.${name}: expected ${expected}, got ${Array.isArray(field) ? 'a list' : typeof field}`);
    (bad ??= new Set()).add(name);
  }
  return bad === null ? value : Object.fromEntries(Object.entries(value).filter(([name]) => !bad.has(name)));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isMark(value: unknown): boolean {
  return (
    isObject(value) && isString(value['id']) && OVERLAP_POLICIES.some((policy) => policy === value['overlap']) && isCount(value['jitterMs'])
  );
}

/** The part of a definition that determines its job options. */
interface Kept extends Pick<AnyDefinition, 'retry'> {
  /** A definition made by an older copy of this package has no limits for cancelled tasks. */
  readonly retention: Omit<RetentionPolicy, 'cancelled'> & Partial<RetentionPolicy>;
  readonly shards?: number;
}

const cache = new WeakMap<Kept, JobsOptions & TaskJobOptions>();

/**
 * Returns BullMQ's options for a definition's jobs, the same object each time. Defaults are not stated: {@link retentionOf} knows them, and
 * Redis stores a job compactly only while its options have at most 64 bytes.
 */
export function jobOptions(definition: Kept): JobsOptions & TaskJobOptions {
  let options = cache.get(definition);
  if (!options) {
    const { retry, retention, shards = 1 } = definition;
    const limits = (kind: EndedKind): StoredLimits | undefined =>
      limitsUnlessDefault(kind, storedLimits(retention[kind] ?? DEFAULT_RETENTION[kind], shards));
    const [removeOnComplete, removeOnFail, keepCancelled] = [limits('completed'), limits('failed'), limits('cancelled')];
    options = Object.freeze({
      ...(retry.attempts > 1 && { attempts: retry.attempts, backoff: backoffOf(retry), stackTraceLimit: MAX_STACKS }),
      ...(removeOnComplete && { removeOnComplete }),
      ...(removeOnFail && { removeOnFail }),
      ...(keepCancelled && { keepCancelled }),
    });
    cache.set(definition, options);
  }
  return options;
}

/** Adds an upper limit of the delay, which plain BullMQ workers ignore. */
export type TaskBackoff = BackoffOptions & { readonly maxDelay?: number };

function backoffOf({ backoff: { type, delayMs, maxDelayMs, jitter } }: RetryPolicy): TaskBackoff {
  return { type, delay: delayMs, jitter, ...(type === 'exponential' && { maxDelay: maxDelayMs }) };
}

/** Returns a task's lists and indexes in the registry, by its job's options and name. */
export function membershipsOf({ item = '', childOf, tags }: TaskJobOptions, name: string | null | undefined): Memberships {
  return { item, parent: childOf?.id, tags, name: name ?? undefined };
}
