import type { z } from 'zod';
import type { taskEvents } from '../dashboard/api/schemas/event.js';
import type { listQuery } from '../dashboard/api/schemas/filter.js';
import type { logLine, logPage } from '../dashboard/api/schemas/log.js';
import type { problem } from '../dashboard/api/schemas/problem.js';
import type { attempt, enqueueBody, enqueued, failure, receipt, task, taskPage, taskState } from '../dashboard/api/schemas/task.js';
import type { TerminalState } from '../shared/task/state.js';

/** The JSON of the API, derived from the schemas of its OpenAPI document: snake_case, times in ISO 8601, absent values null. */
export type Task = z.output<typeof task>;
export type TaskState = z.output<typeof taskState>;
export type TaskPage = z.output<typeof taskPage>;
export type Attempt = z.output<typeof attempt>;
export type Failure = z.output<typeof failure>;
export type Receipt = z.output<typeof receipt>;
export type Enqueued = z.output<typeof enqueued>;
export type LogLine = z.output<typeof logLine>;
export type LogPage = z.output<typeof logPage>;
export type Problem = z.output<typeof problem>;

/** A task to be enqueued. */
export type EnqueueBody<Input = unknown> = Omit<z.input<typeof enqueueBody>, 'input'> & { readonly input?: Input };

/** The conditions of a list of tasks. */
export type TaskFilter = Omit<z.input<typeof listQuery>, 'after' | 'limit'>;

/** The conditions of a page of tasks: `after` is the `next` of the previous one. */
export type ListQuery = TaskFilter & { readonly after?: string | undefined; readonly limit?: number | undefined };

/** An event of a task. `id` is its position in the task's stream, null for a change of state that is not in the stream. */
export type TaskEvent<Chunk = unknown> =
  | ({ readonly type: 'state'; readonly id: string | null } & z.output<(typeof taskEvents)['state']>)
  | ({ readonly type: 'progress'; readonly id: string } & z.output<(typeof taskEvents)['progress']>)
  | ({ readonly type: 'chunk'; readonly id: string; readonly chunk: Chunk } & Omit<z.output<(typeof taskEvents)['chunk']>, 'chunk'>);

/** The JSON type of a definition's chunks, without codecs: `client.events<ChunkOf<typeof chat>>(id)`. */
export type ChunkOf<Definition> = Definition extends { readonly chunk: z.ZodType<infer Chunk> | null } ? Chunk : never;
/** The type of a definition's input, as it is enqueued. */
export type InputOf<Definition> = Definition extends { readonly input: z.ZodType<unknown, infer Input> } ? Input : never;
/** The JSON type of a definition's output, without codecs. */
export type OutputOf<Definition> = Definition extends { readonly output: z.ZodType<infer Output> | null } ? Output : never;

/** A change of a task's state. */
export type StateEvent = Extract<TaskEvent, { type: 'state' }>;

/** The last event of a task, with the finished task, or null without retention. */
export type EndEvent = StateEvent & { readonly state: TerminalState };
