import { z } from 'zod';
import type { BulkAction } from '../../../shared/bulk/bulk-filter.js';
import { MAINTENANCE_QUEUE, MAINTENANCE_RETENTION } from '../../../shared/schedule/schedule.js';
import { defineTask } from '../../../shared/task/definition.js';

const count = z.int().min(0);
const nullableText = z.string().nullable();

/** The act of a bulk, and its caller for the audit. */
export const bulkInput = z.strictObject({
  /** A filter with fixed times, as `filterToJson` returns it; null for a list of ids. */
  filter: z.record(z.string(), z.union([z.string(), z.array(z.string())])).nullable(),
  ids: z.array(z.string()).nullable(),
  reason: nullableText,
  by: nullableText,
  /** Patterns of the items that the caller may see. */
  visible_items: z.array(z.string()).nullable(),
  caller: z.strictObject({
    /** See `callerKeyOf`. */
    key: z.string(),
    /** What the caller asked for, in one line. */
    target: z.string(),
    /** Fields of an audit entry. */
    audit: z.record(z.string(), nullableText),
  }),
});
export type BulkInput = z.output<typeof bulkInput>;

const bulkOutput = z.strictObject({ matched: count, outcomes: z.record(z.string(), count) });
export type BulkOutput = z.output<typeof bulkOutput>;

const bulk = {
  queue: MAINTENANCE_QUEUE,
  input: bulkInput,
  output: bulkOutput,
  retry: { attempts: 10, backoff: { type: 'exponential', delayMs: 1_000, maxDelayMs: 60_000 } },
  // It continues where the lost worker was.
  onWorkerLost: { retries: 100 },
  retention: MAINTENANCE_RETENTION,
} as const;

/** Stops the tasks that a filter selects. The dashboard enqueues it for `POST /tasks/stop`. */
const fleetStopTasks = defineTask({ ...bulk, name: 'fleet.stop-tasks' });

/** Retries the tasks that a filter selects. The dashboard enqueues it for `POST /tasks/retry`. */
const fleetRetryTasks = defineTask({ ...bulk, name: 'fleet.retry-tasks' });

/** The definition of a bulk's task, by its action. */
export const BULK_DEFINITIONS = { stop: fleetStopTasks, retry: fleetRetryTasks } as const satisfies Record<BulkAction, unknown>;
