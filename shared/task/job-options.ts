import type { BackoffOptions, JobsOptions } from 'bullmq';
import type { Memberships } from '../registry/merged-writes.js';
import type { AnyDefinition, Retention, RetryPolicy } from './definition.js';
import { type TaskJobOptions, readOptions } from './options-record.js';

/** What they are made from. */
type Kept = Pick<AnyDefinition, 'retry' | 'retention'> & { readonly shards?: number };

const cache = new WeakMap<Kept, JobsOptions>();

/** BullMQ's options for every job of a definition, the same object each time. */
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

/** What doubling stops at, which BullMQ does not know: a plain worker of it goes on doubling. */
export type TaskBackoff = BackoffOptions & { readonly maxDelay?: number };

function backoffOf({ backoff: { type, delayMs, maxDelayMs, jitter } }: RetryPolicy): TaskBackoff {
  return { type, delay: delayMs, jitter, ...(type === 'exponential' && { maxDelay: maxDelayMs }) };
}

/** BullMQ counts what each queue keeps. */
function keepJobs({ ageMs, count }: Retention, shards: number): { age: number; count: number } {
  return { age: Math.ceil(ageMs / 1_000), count: Math.ceil(count / shards) };
}

/** Our part of a job's options, without what cannot be read; empty for a job that was not enqueued by us. */
export function taskOptions(options: JobsOptions): TaskJobOptions {
  return readOptions(options);
}

/** Where the registry lists a task, by its job's options. */
export function membershipsOf({ item = '', childOf }: TaskJobOptions): Memberships {
  return { item, parent: childOf?.id };
}
