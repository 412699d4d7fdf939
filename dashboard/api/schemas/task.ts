import { z } from 'zod';
import { ERROR_CODES, type ErrorCode } from '../../../shared/errors.js';
import { STOP_WAYS } from '../../../shared/stop/receipt.js';
import { TASK_STATES } from '../../../shared/task/state.js';
import { item, newId, time } from './fields.js';

const nullableText = z.string().nullable();
const count = z.int().min(0);

export const taskState = z.enum(TASK_STATES).meta({
  id: 'TaskState',
  description:
    '`completed`, `failed` and `cancelled` are terminal. `waiting`: the parent of a BullMQ flow waits for its children. ' +
    '`stopping`: a stop is not settled yet. `unreadable`: the record is malformed; `error` says why.',
});

export const task = z
  .strictObject({
    id: z.string(),
    name: nullableText.meta({ description: 'Null for a foreign task.' }),
    queue: nullableText.meta({ description: 'The BullMQ queue; one of the shards if its definition has shards.' }),
    item: nullableText,
    state: taskState,
    attempt: count.meta({ description: 'The current or last attempt; 0 before the first.' }),
    attempts: z.int().min(1).nullable().meta({ description: 'Maximum number of attempts.' }),
    progress: z
      .unknown()
      .meta({ description: "The handler's last progress report: a number or an object. In a list, null if over 4 KiB." }),
    result: z.unknown().meta({ description: "The handler's return value; null unless completed, and in lists: see `GET /tasks/{id}`." }),
    error: nullableText.meta({ description: 'Truncated to 1,024 characters in a list.' }),
    problem: nullableText.meta({ description: 'The unreadable part of its record, which is null here; null for a valid record.' }),
    stop: z.strictObject({ reason: nullableText, by: nullableText, at: time.nullable(), via: z.enum(STOP_WAYS).nullable() }).nullable(),
    worker: nullableText,
    enqueued_at: time.nullable(),
    started_at: time.nullable(),
    finished_at: time.nullable(),
  })
  .meta({ id: 'Task', description: 'A task, without its input. Absent values are null.' });

export const taskPage = z
  .strictObject({
    tasks: z.array(task),
    next: nullableText.meta({
      description: 'Pass as `after` for the next page; null on the last. A page may be short or empty and still have a next one.',
    }),
  })
  .meta({ id: 'TaskPage' });

export const enqueued = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    queue: z.string(),
    item: nullableText,
    duplicate: z.boolean().meta({ description: 'A task with this id existed already; nothing was enqueued.' }),
    superseded: z.array(z.string()).meta({ description: 'Tasks of the item that this one replaced.' }),
  })
  .meta({ id: 'Enqueued' });

export const receipt = z
  .strictObject({
    id: z.string(),
    outcome: z.enum(['cancelled', 'requested', 'finished', 'not_found']),
    ended_as: z.enum(['completed', 'failed', 'cancelled']).nullable(),
    via: z.enum(STOP_WAYS).nullable(),
    reason: nullableText,
    by: nullableText,
    requested_at: time.nullable(),
    settled_at: time.nullable(),
    latency_ms: z.number().min(0).nullable(),
  })
  .meta({
    id: 'Receipt',
    description:
      'The response to a stop. `cancelled`: the task has ended. `requested`: the stop is recorded but did not settle within the wait.',
  });

/** The body of `POST /tasks`. */
export const enqueueBody = z
  .strictObject({
    name: z.string().min(1).max(64).meta({ description: 'Task name: see `GET /definitions`.', example: 'fleet.canary' }),
    input: z
      .unknown()
      .optional()
      .meta({ description: "Must match the task's schema: see `GET /definitions`. Default `{}`.", example: { run_ms: 1_000 } }),
    item: item.optional(),
    id: newId.optional(),
    delay: z.int().min(0).max(315_360_000_000).optional().meta({ description: 'Delay before the start, in ms.' }),
    priority: z
      .int()
      .min(0)
      .max(2_097_151)
      .optional()
      .meta({ description: '1 is the highest priority, 2,097,151 the lowest; 0, the default, precedes all of them.' }),
    deadline: z.iso
      .datetime({ offset: true })
      .optional()
      .meta({ description: 'Latest start of an attempt; a task that has not started by then fails.' }),
    on_busy: z
      .enum(['stop-previous', 'reject'])
      .optional()
      .meta({ description: 'If the item has live tasks: stop them, or reject this task. Default: run concurrently.' }),
  })
  .meta({ id: 'Enqueue' });

/** `Idempotency-Key`, with or without the quotes of a structured header. */
export const idempotencyHeaders = z.object({
  'idempotency-key': z
    .string()
    .regex(
      /^(?:"[\x21\x23-\x5b\x5d-\x7e]{1,255}"|[\x21\x23-\x5b\x5d-\x7e]{1,255})$/,
      'expected 1 to 255 visible ASCII characters without " and \\',
    )
    .transform((key) => key.replaceAll('"', ''))
    .optional()
    .meta({
      type: 'string',
      description: 'The same key and body yield the same task within 24 hours.',
      example: '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
    }),
});

const codes = [...(Object.keys(ERROR_CODES) as ErrorCode[]), 'INTERNAL_ERROR'] as const;

export const problem = z
  .strictObject({
    type: z.literal('about:blank'),
    title: z.string().meta({ description: 'The reason phrase of the status.' }),
    status: z.int().min(400).max(599),
    detail: z.string().meta({ description: 'For humans; programs decide by `code`.' }),
    code: z.enum(codes),
    request_id: z.string().nullable(),
    errors: z
      .array(z.strictObject({ field: z.string(), message: z.string() }))
      .optional()
      .meta({ description: 'One entry per invalid field.' }),
    ids: z
      .array(z.string())
      .optional()
      .meta({ description: 'With `ITEM_BUSY`: the live tasks. With `NOT_REPLICATED`: the tasks enqueued or stopped.' }),
    id: z.string().optional().meta({ description: 'With `exists`: the id of the task to be enqueued.' }),
    exists: z
      .union([z.boolean(), z.literal('unknown')])
      .optional()
      .meta({ description: 'With a Redis error after `POST /tasks`: whether the task exists.' }),
    known: z.array(z.string()).optional().meta({ description: 'With `UNKNOWN_TASK`: the known names.' }),
    receipt: receipt.optional().meta({ description: 'With `TASK_FINISHED`.' }),
    receipts: z.array(receipt).optional().meta({ description: 'With `NOT_REPLICATED` after a stop.' }),
    replicas: z.int().optional().meta({ description: 'With `NOT_REPLICATED`: replicas that acknowledged the write.' }),
    wanted: z.int().optional().meta({ description: 'With `NOT_REPLICATED`: replicas required.' }),
    state: taskState.optional().meta({ description: 'With `TASK_NOT_RETRYABLE`.' }),
  })
  .meta({ id: 'Problem', description: 'An RFC 9457 problem.' });
