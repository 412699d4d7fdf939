import { z } from 'zod';
import { messageOf } from '../../../../shared/errors.js';
import { MAX_SHOWN_INPUT_BYTES } from '../../../../shared/limits.js';
import type { Store } from '../../../../shared/store.js';
import { requireVisible } from '../../../auth/principal.js';
import { type Route, defineRoute } from '../../route.js';
import { knownId } from '../../schemas/fields.js';
import { type ShownValue, shownValue } from './shown-value.js';

/** A longer input, which only a plain BullMQ client can add by default, is not read. */
const MAX_READ_BYTES = 8 * 1_048_576;

const taskInput = z
  .strictObject({
    input: z.unknown().meta({ description: 'Null for a foreign task, and for an input that is unreadable or over 8 MiB.' }),
    bytes: z.int().min(0).nullable().meta({ description: 'Its size as JSON; null for a foreign task.' }),
    cut: z
      .boolean()
      .meta({ description: 'Whether parts were left out, because the input is over 64 KiB. A mark in their place has the size.' }),
    censored: z.array(z.string()).meta({ description: 'The paths of the secrets that are shown as `***`, named as in logs.' }),
    problem: z.string().nullable().meta({ description: 'Why the input is unreadable; else null.' }),
  })
  .meta({ id: 'TaskInput' });

export type TaskInput = z.output<typeof taskInput>;

const input = defineRoute({
  method: 'get',
  path: '/tasks/{id}/input',
  role: 'operator',
  itemTokens: true,
  operation: 'readTaskInput',
  summary: 'Read the input of a live or retained task',
  description: 'An input over 64 KiB is cut: long strings, lists and objects end in a mark with their size. Secrets are censored.',
  params: z.strictObject({ id: knownId }),
  replies: { 200: { about: 'The input.', schema: taskInput } },
  errors: ['INVALID_ID', 'TASK_NOT_FOUND'],
  handle: async ({ api, principal, params: { id } }) => {
    const { queue } = requireVisible(principal, id, await api.producer.get(id));
    return { status: 200, body: await readInput(api.store, queue, id) };
  },
});

const NOTHING: ShownValue = { value: null, cut: false, censored: [] };

async function readInput({ redis, keys, unreadable }: Store, queue: string | null, id: string): Promise<TaskInput> {
  if (queue === null) return answerOf(NOTHING, null, null);
  const key = keys.jobs(queue) + id;
  const bytes = await unreadable.read(key, 'hash', redis.hstrlen(key, 'data'), null);
  if (bytes === null || bytes > MAX_READ_BYTES) return answerOf({ ...NOTHING, cut: bytes !== null }, bytes, null);
  const text = (await redis.hget(key, 'data')) ?? '';
  try {
    return answerOf(shownValue(text === '' ? null : JSON.parse(text), bytes, MAX_SHOWN_INPUT_BYTES), bytes, null);
  } catch (error) {
    const problem = `data: expected JSON: ${messageOf(error)}`;
    unreadable.report({ key, problem });
    return answerOf(NOTHING, bytes, problem);
  }
}

function answerOf({ value, cut, censored }: ShownValue, bytes: number | null, problem: string | null): TaskInput {
  return { input: value, bytes, cut, censored: [...censored], problem };
}

export const inputRoutes: readonly Route[] = [input];
