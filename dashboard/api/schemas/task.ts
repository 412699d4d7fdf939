import { z } from 'zod';
import { STOP_WAYS } from '../../../shared/stop/receipt.js';
import { TASK_STATES } from '../../../shared/task/state.js';
import { time } from './fields.js';

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
