import type { BackoffOptions, JobsOptions } from 'bullmq';
import { type HashReader, isTime } from '../records/hash-reader.js';
import type { Memberships } from '../registry/merged-writes.js';
import { OVERLAP_POLICIES, type ScheduleMark } from '../schedule/schedule.js';
import type { AnyDefinition, Retention, RetryPolicy } from './definition.js';

/** Our part of a job's options, which BullMQ stores unchanged. Absent on jobs of other programs. */
export interface TaskJobOptions {
  /** `''` for none. */
  readonly item?: string;
  /** Tells two enqueues of one id apart: the one whose nonce was stored made the task. */
  readonly nonce?: string;
  /** The task whose handler enqueued this one. */
  readonly childOf?: JobAddress;
  /** No attempt starts after this time, in ms since the epoch. */
  readonly deadline?: number;
  /** Time of the last retry after its end, in ms since the epoch: the start of its wait. */
  readonly retriedAt?: number;
  /** Set on scheduled tasks, and on runs of a schedule on demand. */
  readonly schedule?: ScheduleMark;
}

/** The address of a job. */
export interface JobAddress {
  readonly queue: string;
  readonly id: string;
}

type Test = (value: unknown) => boolean;

/** Checks of our fields, and of the BullMQ fields that we read. Other fields are ignored. */
const FIELDS: Readonly<Record<string, readonly [test: Test, expected: string]>> = {
  item: [isString, 'a string'],
  nonce: [isString, 'a string'],
  childOf: [(value) => isObject(value) && isString(value['queue']) && isString(value['id']), 'the queue and id of a task'],
  deadline: [isTime, 'ms since the epoch'],
  retriedAt: [isTime, 'ms since the epoch'],
  schedule: [isMark, 'the mark of a schedule'],
  attempts: [isCount, 'a whole number'],
  delay: [isCount, 'a whole number'],
  priority: [isCount, 'a whole number'],
};

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
  const bad = Object.entries(FIELDS).filter(([name, [test]]) => value[name] !== undefined && !test(value[name]));
  for (const [name, [, expected]] of bad)
    notes?.note(`opts.${name}: expected ${expected}, got ${Array.isArray(value[name]) ? 'a list' : typeof value[name]}`);
  const names = new Set(bad.map(([name]) => name));
  return names.size === 0 ? value : Object.fromEntries(Object.entries(value).filter(([name]) => !names.has(name)));
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
type Kept = Pick<AnyDefinition, 'retry' | 'retention'> & { readonly shards?: number };

const cache = new WeakMap<Kept, JobsOptions>();

/** Returns BullMQ's options for a definition's jobs, the same object each time. */
export function jobOptions(definition: Kept): JobsOptions {
  let options = cache.get(definition);
  if (!options) {
    const { retry, retention, shards = 1 } = definition;
    options = Object.freeze({
      attempts: retry.attempts,
      ...(retry.attempts > 1 ? { backoff: backoffOf(retry) } : {}),
      removeOnComplete: keepJobs(retention.completed, shards),
      removeOnFail: keepJobs(retention.failed, shards),
      stackTraceLimit: 3,
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

/** BullMQ applies the count to each queue, so each shard keeps its share. */
function keepJobs({ ageMs, count }: Retention, shards: number): { age: number; count: number } {
  return { age: Math.ceil(ageMs / 1_000), count: Math.ceil(count / shards) };
}

/** Returns our part of a job's options, without unreadable fields; empty for a foreign job. */
export function taskOptions(options: JobsOptions): TaskJobOptions {
  return readOptions(options);
}

/** Returns a task's lists in the registry, by its job's options. */
export function membershipsOf({ item = '', childOf }: TaskJobOptions): Memberships {
  return { item, parent: childOf?.id };
}
