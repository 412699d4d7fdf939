import { z } from 'zod';
import { STOP_WAYS } from '../../../shared/stop/record.js';
import { TASK_STATES } from '../../../shared/task/state.js';
import { time } from './fields.js';

const nullableText = z.string().nullable();
const count = z.int().min(0);

export const taskState = z.enum(TASK_STATES).meta({
  id: 'TaskState',
  description:
    '`completed`, `failed` and `cancelled` are terminal. `waiting`: the parent of a BullMQ flow waits for its children. `stopping`: a stop was requested and is not settled yet. `unreadable`: its record is not what it should be; `error` says why.',
});

export const task = z
  .strictObject({
    id: z.string(),
    name: nullableText.meta({ description: 'Null for a task that another program runs.' }),
    queue: nullableText.meta({ description: 'The BullMQ queue that it is on: if its definition has shards, one of them.' }),
    item: nullableText,
    state: taskState,
    attempt: count.meta({ description: 'The attempt that runs or ran last; 0 before the first.' }),
    attempts: z.int().min(1).nullable().meta({ description: 'How many it may have in all.' }),
    progress: z
      .unknown()
      .meta({ description: 'What its handler said last: a number, or an object. In a list, null for one of more than 4 KiB.' }),
    result: z
      .unknown()
      .meta({ description: 'What the handler returned; null unless completed, and in every list: `GET /tasks/{id}` has it.' }),
    error: nullableText.meta({ description: 'In a list, its first 1,024 characters.' }),
    problem: nullableText.meta({ description: 'What of its record cannot be read, and is null here; null for a record that is whole.' }),
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
      description: 'Pass it as `after` for the next page; null on the last. A page may be short, or empty, and still have a next one.',
    }),
  })
  .meta({ id: 'TaskPage' });

export const enqueued = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    queue: z.string(),
    item: nullableText,
    duplicate: z.boolean().meta({ description: 'There was a task with this id already; nothing was added.' }),
    superseded: z.array(z.string()).meta({ description: 'Tasks of the item that were stopped in favour of this one.' }),
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
      'The answer to a stop. `cancelled` is never said before it is true; `requested`: it holds, and was not settled within the wait.',
  });
