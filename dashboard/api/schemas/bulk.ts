import { z } from 'zod';
import { BULK_ACTIONS } from '../../../shared/bulk/bulk-filter.js';
import { MAX_PAGE_SIZE } from '../../../shared/limits.js';
import { TASK_STATES } from '../../../shared/task/state.js';
import { knownId, reason, time } from './fields.js';
import { filterFields } from './filter.js';
import { receipt, task, taskState } from './task.js';

const nullableText = z.string().nullable();
const count = z.int().min(0);
const { state } = filterFields;

const filter = z
  .strictObject({
    ...filterFields,
    state: z
      .union([state.unwrap(), z.array(z.enum(TASK_STATES)).min(1)])
      .optional()
      .transform((states) => (Array.isArray(states) ? states.join(',') : states))
      .meta({
        type: 'string',
        description:
          'Live states of tasks to stop (default: all), or `failed` (the default), `cancelled` or `skipped` of tasks to retry; several separated by commas.',
      }),
  })
  .meta({ id: 'Filter', description: 'The conditions of `GET /tasks`, in the same form: all of them apply.' });

/** The body of a bulk: a filter, or the ids of tasks. */
export const bulkBody = z
  .strictObject({
    filter: filter.optional(),
    ids: z.array(knownId).min(1).max(MAX_PAGE_SIZE).optional().meta({ description: 'Task ids, instead of a filter.' }),
    all: z.boolean().optional().meta({ description: 'Allow a filter without a condition. Default false.' }),
    reason: reason.optional(),
    dry_run: z.boolean().optional().meta({ description: 'Count the tasks and return the first ten, and change none. Default false.' }),
  })
  .refine(({ filter: given, ids }) => given === undefined || ids === undefined, { path: ['ids'], message: 'expected either filter or ids' })
  .meta({ id: 'BulkRequest' });

export const bulkPreview = z
  .strictObject({
    dry_run: z.literal(true),
    matched: count,
    complete: z.boolean().meta({ description: 'False if there are more tasks than were counted.' }),
    first: z.array(task).meta({ description: 'The first ten tasks.' }),
  })
  .meta({ id: 'BulkPreview' });

export const bulk = z
  .strictObject({
    id: z.string(),
    action: z.enum(BULK_ACTIONS),
    state: taskState.meta({ description: 'The state of the bulk, which is itself a task.' }),
    filter: z
      .record(z.string(), z.union([z.string(), z.array(z.string())]))
      .nullable()
      .meta({ description: 'With the times that were fixed at its start; null for a list of ids.' }),
    reason: nullableText,
    by: nullableText,
    total: count.nullable().meta({ description: 'Tasks counted at its start; null before, or if there were too many.' }),
    matched: count.meta({ description: 'Tasks known to match so far; at the end, all of them.' }),
    done: count.meta({ description: 'Tasks that have a receipt.' }),
    outcomes: z.record(z.string(), count).meta({
      description: 'Tasks by outcome. `stop`: cancelled, requested, finished, not_found. `retry`: retried, not_retryable, not_found.',
    }),
    error: nullableText.meta({ description: 'Why the bulk or its last attempt failed, or was stopped.' }),
    enqueued_at: time.nullable(),
    started_at: time.nullable(),
    finished_at: time.nullable(),
  })
  .meta({ id: 'Bulk', description: 'A stop or retry of many tasks as one act.' });
export type Bulk = z.output<typeof bulk>;

const retryReceipt = z
  .strictObject({
    id: z.string(),
    outcome: z.enum(['retried', 'not_retryable', 'not_found']),
    state: taskState.nullable().meta({ description: 'The state that forbade the retry; else null.' }),
  })
  .meta({ id: 'RetryReceipt', description: 'The response of a bulk to the retry of one task.' });

export const bulkReceipts = z
  .strictObject({
    receipts: z.array(z.union([receipt, retryReceipt])),
    next: nullableText.meta({ description: 'Pass as `after` for the next page; null on the last page so far.' }),
  })
  .meta({ id: 'BulkReceipts' });
