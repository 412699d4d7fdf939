import type { JobsOptions } from 'bullmq';
import type { Memberships } from '../registry/merged-writes.js';
import type { AnyDefinition, Retention } from './definition.js';
import type { TaskJobOptions } from './view.js';

const cache = new WeakMap<AnyDefinition, JobsOptions>();

/** BullMQ's options for every job of a definition, the same object each time. */
export function jobOptions(definition: AnyDefinition): JobsOptions {
  let options = cache.get(definition);
  if (!options) {
    const { retry, retention } = definition;
    options = Object.freeze({
      attempts: retry.attempts,
      ...(retry.attempts > 1 ? { backoff: { type: retry.backoff.type, delay: retry.backoff.delayMs, jitter: retry.backoff.jitter } } : {}),
      removeOnComplete: keepJobs(retention.completed),
      removeOnFail: keepJobs(retention.failed),
      stackTraceLimit: 3,
    });
    cache.set(definition, options);
  }
  return options;
}

function keepJobs({ ageMs, count }: Retention): { age: number; count: number } {
  return { age: Math.ceil(ageMs / 1_000), count };
}

/** Our part of a job's options; empty for a job that was not enqueued by us. */
export function taskOptions(options: JobsOptions): TaskJobOptions {
  return options as TaskJobOptions;
}

/** Where the registry lists a task, by its job's options. */
export function membershipsOf({ item = '', childOf }: TaskJobOptions): Memberships {
  return { item, parent: childOf?.id };
}
