import type { BackoffOptions, JobsOptions } from 'bullmq';
import type { Memberships } from '../registry/merged-writes.js';
import type { AnyDefinition, Retention, RetryPolicy } from './definition.js';
import { type TaskJobOptions, readOptions } from './options-record.js';

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
