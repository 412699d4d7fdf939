import { z } from 'zod';
import { ATTEMPT_OUTCOMES } from '../../../shared/attempt/attempt.js';
import { WHEN_BUSY } from '../../../shared/limiter/policy.js';
import { MAX_TAGS } from '../../../shared/limits.js';
import { STOP_WAYS } from '../../../shared/stop/receipt.js';
import { DEDUPE_MODES } from '../../../shared/task/dedupe.js';
import { TASK_STATES, TERMINAL_STATES } from '../../../shared/task/state.js';
import { item, newId, tag, time } from './fields.js';

const nullableText = z.string().nullable();
const count = z.int().min(0);

export const taskState = z.enum(TASK_STATES).meta({
  id: 'TaskState',
  description:
    '`completed`, `failed`, `cancelled` and `skipped` are terminal. `skipped`: a scheduled task that did not run, because it overlapped ' +
    'another task of its schedule. `waiting`: the parent of a BullMQ flow waits for its children. ' +
    '`stopping`: a stop is not settled yet. `unreadable`: the record is malformed; `error` says why.',
});

/** What a failed attempt threw. */
export interface FailureJson {
  readonly name: string;
  readonly message: string;
  readonly code: string | null;
  readonly stack: string | null;
  readonly cause: FailureJson | null;
  readonly errors: readonly FailureJson[];
}

export const failure: z.ZodType<FailureJson> = z
  .strictObject({
    name: z.string().meta({ description: "The error's name; for another value than an Error, its type." }),
    message: z.string(),
    code: nullableText,
    stack: nullableText.meta({ description: 'Null for callers below the role operator.' }),
    cause: z.lazy(() => failure.nullable()),
    errors: z.lazy(() => z.array(failure)).meta({ description: 'The members of an AggregateError.' }),
  })
  .meta({ id: 'Failure', description: 'An error with its causes, at most 16 KiB; longer texts are cut with a mark.' });

export const attempt = z
  .strictObject({
    number: z.int().min(0).meta({ description: 'From 1. An attempt that does not count has the number of the next one.' }),
    worker: z.strictObject({ id: z.string(), host: nullableText, pid: z.int().nullable() }).nullable(),
    started_at: time.nullable(),
    ended_at: time.nullable(),
    outcome: z
      .enum(ATTEMPT_OUTCOMES)
      .nullable()
      .meta({
        description:
          'Null while it runs. `requeued`: handed back at a shutdown. `worker_lost`: its worker died or froze. ' +
          '`lock_lost`: its worker lost the lock of the task and dropped the result.',
      }),
    error: failure.nullable(),
    retry_at: time.nullable().meta({ description: 'When the next attempt was due.' }),
  })
  .meta({ id: 'Attempt' });

const limitWait = z
  .strictObject({
    kind: z.enum(['concurrency', 'fair', 'rate']).meta({ description: 'The option of the definition that sets the limit.' }),
    name: z.string().meta({ description: 'The owner of the limit: a task name, `group:<name>`, or for a fair queue `queue:<name>`.' }),
    key: nullableText.meta({ description: 'The key that the task lines up by; null for a limit on all tasks of the owner.' }),
    limit: z.number().min(0),
    running: count.meta({ description: 'Tasks that hold a place of the key; 0 for a rate.' }),
    position: count.meta({ description: 'Position in line, from 1.' }),
    length: count.meta({ description: 'Tasks in line.' }),
    next_at: time.nullable().meta({ description: 'When the rate admits its next task; null for another kind.' }),
    behind: z
      .array(z.string())
      .nullable()
      .meta({ description: 'Up to three tasks that hold a place of the key and that the caller may see. Null in lists and events.' }),
  })
  .meta({ id: 'LimitWait', description: 'The limit that a queued task waits for.' });

const pauseWait = z
  .strictObject({
    kind: z.literal('paused'),
    queue: z.string().meta({ description: 'The logical queue: see `GET /queues`.' }),
    since: time.nullable().meta({ description: 'Null, like `by` and `reason`, if another client of BullMQ paused it.' }),
    by: nullableText,
    reason: nullableText,
    limit_wait: limitWait.nullable().meta({ description: 'The limit that the task waits for too.' }),
  })
  .meta({ id: 'PauseWait', description: 'The paused queue that a task waits for.' });

export const waitingFor = z.discriminatedUnion('kind', [limitWait, pauseWait]).meta({ id: 'WaitingFor' });

const limit = z
  .strictObject({
    kind: z.enum(['concurrency', 'fair', 'rate']),
    name: z.string().meta({ description: 'The owner of the limit: a task name, `group:<name>`, or for a fair queue `queue:<name>`.' }),
    key: nullableText.meta({ description: 'Null for a limit on all tasks of the owner.' }),
    limit: z.number().min(0).meta({ description: 'As at the enqueue: `GET /limits` has the current one.' }),
    per_ms: z.number().nullable().meta({ description: 'The period of a rate; null for another kind.' }),
  })
  .meta({ id: 'TaskLimit', description: 'A limit that applies to a task.' });

export const task = z
  .strictObject({
    id: z.string(),
    name: nullableText.meta({ description: 'Null for a foreign task.' }),
    queue: nullableText.meta({ description: 'The BullMQ queue; one of the shards if its definition has shards.' }),
    item: nullableText,
    tags: z.array(z.string()).meta({ description: 'Labels for filters: its own, those of its definition and of its parent task.' }),
    state: taskState,
    waiting_for: waitingFor
      .nullable()
      .meta({ description: 'The limit or the paused queue that the task waits for; null if neither keeps it from starting.' }),
    attempt: count.meta({ description: 'The current or last attempt; 0 before the first. Attempts of lost workers count.' }),
    max_attempts: z
      .int()
      .min(1)
      .nullable()
      .meta({ description: 'Maximum number of attempts, including those of lost workers, which use up no retry.' }),
    attempts: z
      .array(attempt)
      .nullable()
      .meta({ description: 'The last 20 attempts, oldest first; the last may be running. Null in lists: see `GET /tasks/{id}`.' }),
    next_attempt_at: time.nullable().meta({ description: 'When a delayed task is due, before its first attempt or before a retry.' }),
    progress: z
      .unknown()
      .meta({ description: "The handler's last progress report: a number or an object. In a list, null if over 4 KiB." }),
    result: z.unknown().meta({ description: "The handler's return value; null unless completed, and in lists: see `GET /tasks/{id}`." }),
    error: nullableText.meta({ description: 'Truncated to 1,024 characters in a list.' }),
    problem: nullableText.meta({ description: 'The unreadable part of its record, which is null here; null for a valid record.' }),
    stop: z.strictObject({ reason: nullableText, by: nullableText, at: time.nullable(), via: z.enum(STOP_WAYS).nullable() }).nullable(),
    skipped_for: nullableText.meta({ description: 'The task of the same schedule that a skipped task overlapped; else null.' }),
    dedupe_key: nullableText.meta({ description: 'The key of its deduplication.' }),
    priority: count.meta({ description: '1 is the highest priority; 0, the default, precedes all of them.' }),
    deadline: time.nullable().meta({ description: 'Latest start of an attempt.' }),
    limits: z.array(limit).nullable().meta({ description: 'The limits that apply to the task. Null in lists: see `GET /tasks/{id}`.' }),
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
    searched: count.meta({ description: 'Number of tasks examined for this page; for an item token, of those listed.' }),
    reached: time
      .nullable()
      .meta({ description: 'How far the search got, if it examined the most that a page may before the page was full; else null.' }),
  })
  .meta({ id: 'TaskPage' });

export const taskCount = z
  .strictObject({
    count,
    complete: z.boolean().meta({ description: 'False: the search ended at `at_most` or at its budget, and there may be more tasks.' }),
    states: z
      .partialRecord(taskState, z.strictObject({ count, complete: z.boolean() }))
      .optional()
      .meta({ description: 'With `by=state`: the same for each state of the filter.' }),
  })
  .meta({ id: 'TaskCount' });

export const enqueued = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    queue: z.string(),
    item: nullableText,
    duplicate: z.boolean().meta({ description: 'A task with this id existed, or stood for the key of `dedupe`; nothing was enqueued.' }),
    superseded: z.array(z.string()).meta({ description: 'Tasks of the item that this one replaced.' }),
  })
  .meta({ id: 'Enqueued' });

export const receipt = z
  .strictObject({
    id: z.string(),
    outcome: z.enum(['cancelled', 'requested', 'finished', 'not_found']),
    ended_as: z.enum(TERMINAL_STATES).nullable(),
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

/** The receipts of an item's stop; empty for an item outside the caller's patterns. */
export const receipts = z.strictObject({ dry_run: z.boolean(), receipts: z.array(receipt) }).meta({
  id: 'Receipts',
  description: 'One receipt per live task of the item, including tasks enqueued by their handlers.',
});

const dedupe = z
  .strictObject({
    key: z.string().min(1).max(256).meta({ description: 'Keys belong to the task name: equal keys of two names do not meet.' }),
    mode: z
      .enum(DEDUPE_MODES)
      .optional()
      .meta({
        description:
          '`while-live`, the default: until the task ends or is stopped. `throttle`: for `within_ms` from its enqueue. `debounce`: until it ' +
          'starts, `within_ms` after the last enqueue, with the input of that.',
      }),
    within_ms: z.int().min(1).max(315_360_000_000).optional().meta({ description: 'Required for `throttle` and `debounce`.' }),
  })
  .meta({ id: 'Dedupe', description: 'Adds no task while another one stands for the same key; the reply is then that task.' });

/** The body of `POST /tasks`. */
export const enqueueBody = z
  .strictObject({
    name: z.string().min(1).max(64).meta({ description: 'Task name: see `GET /definitions`.', example: 'fleet.canary' }),
    input: z
      .unknown()
      .optional()
      .meta({ description: "Must match the task's schema: see `GET /definitions`. Default `{}`.", example: { run_ms: 1_000 } }),
    item: item.optional(),
    tags: z.array(tag).max(MAX_TAGS).optional().meta({ description: 'Tags beside those of the definition; at most 10 together.' }),
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
    when_busy: z
      .enum(WHEN_BUSY)
      .optional()
      .meta({
        description:
          'If a key of the definition is taken: `wait` (default), `reject` this task, stop the previous tasks, or replace those in line. ' +
          'Without `concurrency`, `stop-previous` and `reject` are about the live tasks of the item.',
      }),
    on_busy: z.enum(WHEN_BUSY).optional().meta({ description: 'The older name of `when_busy`.' }),
    dedupe: dedupe.nullable().optional().meta({ description: "Default: the task's own; null for none." }),
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
