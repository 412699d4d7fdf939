import { z } from 'zod';
import { MAX_FILTER_LENGTH, MAX_NAME_LENGTH, MAX_PAGE_SIZE, MAX_TAGS } from '../../../shared/limits.js';
import { STATE_GROUPS, TASK_ORDERS } from '../../../shared/task/filter/filter.js';
import { TASK_STATES } from '../../../shared/task/state.js';
import { wholeText } from './fields.js';

const STATES = new Set<string>([...STATE_GROUPS, ...TASK_STATES]);
const expected = [...STATES].join(', ');

const text = z.string().min(1).max(MAX_FILTER_LENGTH);
const start = 'Exactly this, or with `*` at its end, everything that starts with the text before it. `\\*` at the end is a literal `*`.';
const moment = (about: string) => text.meta({ description: `${about}: ISO 8601, or a duration back from now, such as \`1h\`.` });

/** The conditions of a filter, in queries and in bodies. `filterOfJson` converts them. */
export const filterFields = {
  state: z
    .string()
    .refine((states) => states.split(',').every((state) => STATES.has(state.trim())), `expected ${expected}`)
    .optional()
    .meta({ description: 'A state, several separated by commas, or `live` (the default), `ended` or `all`.', example: 'failed,cancelled' }),
  name: z
    .string()
    .min(1)
    .max(MAX_NAME_LENGTH + 2)
    .optional()
    .meta({ description: `The task name. ${start}` }),
  item: text.optional().meta({ description: `The item. ${start}`, example: 'chat-7' }),
  queue: z.string().min(1).max(MAX_NAME_LENGTH).optional().meta({ description: 'A queue including its shards, or a single shard.' }),
  tag: z
    .union([text, z.array(text).min(1).max(MAX_TAGS)])
    .optional()
    .meta({ description: 'A tag. Repeat the parameter for tasks that have all of several tags.', example: 'tenant:7' }),
  worker: text.optional().meta({ description: 'The id of the worker that runs the task, or ran its last attempt.' }),
  error: text.optional().meta({ description: "Text that the task's error contains, ignoring ASCII case." }),
  enqueued_after: moment('Enqueued after this time').optional(),
  enqueued_before: moment('Enqueued before this time').optional(),
  finished_after: moment('Ended after this time').optional(),
  finished_before: moment('Ended before this time').optional(),
  older_than: text.optional().meta({ description: 'Enqueued (live tasks) or ended (ended ones) longer ago than this duration: `1h`.' }),
  q: text.optional().meta({ description: "The start of the task's id, item, name or one of its tags." }),
  order: z.enum(TASK_ORDERS).optional().meta({ description: 'Live tasks by their enqueue, ended ones by their end. Default `newest`.' }),
} as const;

/** The position and size of a page of tasks, in a query. */
export const pageFields = {
  after: z.string().min(1).max(2_000).optional().meta({ description: 'The `next` of the previous page.' }),
  limit: wholeText(1, MAX_PAGE_SIZE, 'Maximum number of tasks. Default 100.').optional(),
} as const;

/** The query of `GET /tasks`. */
export const listQuery = z.strictObject({ ...filterFields, ...pageFields });
