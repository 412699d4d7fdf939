import { z } from 'zod';
import {
  type EnqueueOptions,
  type EnqueuedTask,
  type ListOptions,
  type Producer,
  type TaskView,
  receiptToJson,
  taskToJson,
} from '../../../producer/index.js';
import { FleetError } from '../../../shared/errors.js';
import { MAX_PAGE_SIZE } from '../../../shared/limits.js';
import { noteItem } from '../../auth/audit.js';
import { type Principal, callerKeyOf, checkMayStop, checkMayUseItem, noTask, requireVisible, seesItem } from '../../auth/principal.js';
import { canonical, idOfKey, withKey } from '../idempotency.js';
import { type Answer, type Route, defineRoute } from '../route.js';
import { item, knownId, name, reason, wholeText } from '../schemas/fields.js';
import { enqueueBody, enqueued, idempotencyHeaders, receipt, task, taskPage, taskState } from '../schemas/task.js';

const byId = z.strictObject({ id: knownId });

const enqueue = defineRoute({
  method: 'post',
  path: '/tasks',
  role: 'submitter',
  operation: 'enqueueTask',
  summary: 'Enqueue a task',
  description:
    'Accepts tasks listed by `GET /definitions`. `Idempotency-Key` makes retries safe: the same key and body yield the same task.',
  headers: idempotencyHeaders,
  body: enqueueBody,
  replies: { 202: { about: 'Enqueued, or a duplicate.', schema: enqueued, headers: { Location: 'URL of the task.' } } },
  errors: [
    'UNKNOWN_TASK',
    'INVALID_ID',
    'INVALID_ITEM',
    'INVALID_INPUT',
    'INVALID_OPTION',
    'INPUT_TOO_LARGE',
    'ITEM_BUSY',
    'IDEMPOTENCY_CONFLICT',
    'IDEMPOTENCY_IN_PROGRESS',
    'NOT_REPLICATED',
  ],
  audit: ({ body }) => ({ action: 'task.enqueue', target: body.id ?? body.item ?? body.name }),
  handle: async ({ api, principal, headers, body, req, res }) => {
    const { name: taskName, input = {}, item: itemOfTask, id, delay, priority, deadline, on_busy: onBusy } = body;
    const definition = api.definitions.find(taskName);
    checkMayUseItem(principal, itemOfTask ?? null);
    noteItem(res, itemOfTask ?? null);
    if (onBusy === 'stop-previous') checkMayStop(principal, itemOfTask ?? null);
    const add = async (options: EnqueueOptions): Promise<Answer> => {
      const added = await api.producer.enqueue(definition, input, {
        ...options,
        item: itemOfTask,
        delay,
        priority,
        deadline: deadline === undefined ? undefined : new Date(deadline),
        onBusy,
      });
      return answerTo(principal, added, req.baseUrl);
    };
    const key = headers['idempotency-key'];
    if (key === undefined) return add({ id });
    const request = { key, caller: callerKeyOf(principal), body: canonical(body) };
    return withKey(api.store, request, () => add({ id: id ?? idOfKey(request) }));
  },
});

function answerTo(
  principal: Principal,
  { id, name: taskName, queue, item: itemOfTask, duplicate, superseded }: EnqueuedTask,
  baseUrl: string,
): Answer {
  // The id belongs to another caller's task, whose details must not be disclosed.
  if (!seesItem(principal, itemOfTask))
    throw new FleetError('FORBIDDEN', `${principal.name} may not use this id.`, { details: { field: 'id' } });
  return {
    status: 202,
    headers: { Location: `${baseUrl}/tasks/${encodeURIComponent(id)}` },
    body: { id, name: taskName, queue, item: itemOfTask, duplicate, superseded },
    outcome: duplicate ? `${id} was there` : id,
  };
}

const list = defineRoute({
  method: 'get',
  path: '/tasks',
  role: 'viewer',
  operation: 'listTasks',
  summary: 'List tasks, newest first',
  description: 'Live tasks, or tasks in one `state`. Finished tasks are listed only by state, while retained.',
  query: z.strictObject({
    item: item.optional(),
    state: taskState.optional(),
    name: name.optional(),
    queue: name.optional().meta({ description: 'A queue including its shards, or a single shard.' }),
    after: z.string().min(1).max(200).optional().meta({ description: 'The `next` of the previous page.' }),
    limit: wholeText(1, MAX_PAGE_SIZE, 'Maximum number of tasks. Default 100.').optional(),
  }),
  replies: { 200: { about: 'A page of tasks.', schema: taskPage } },
  errors: ['INVALID_ITEM', 'INVALID_OPTION'],
  handle: async ({ api, principal, query }) => ({ status: 200, body: await pageOf(api.producer, principal, query) }),
});

/** Reads a page of the tasks visible to the caller, as JSON. */
export async function pageOf(
  producer: Producer,
  principal: Principal,
  options: ListOptions,
): Promise<{ tasks: unknown[]; next: string | null }> {
  const sees = principal.items === null ? undefined : (of: string | null): boolean => seesItem(principal, of);
  const { tasks, next } = await producer.list({ ...options, sees });
  return { tasks: tasks.map(taskToJson), next };
}

const get = defineRoute({
  method: 'get',
  path: '/tasks/{id}',
  role: 'viewer',
  operation: 'getTask',
  summary: 'Read a live or retained task',
  params: byId,
  replies: { 200: { about: 'The task.', schema: task } },
  errors: ['INVALID_ID', 'TASK_NOT_FOUND'],
  handle: async ({ api, principal, params: { id } }) => ({
    status: 200,
    body: taskToJson(requireVisible(principal, id, await api.producer.get(id))),
  }),
});

const stop = defineRoute({
  method: 'post',
  path: '/tasks/{id}/stop',
  role: 'submitter',
  operation: 'stopTask',
  summary: 'Stop a task, queued or running',
  description:
    'The stop is durable once this responds. A queued task is cancelled by then; for a running one, set `wait_ms`. ' +
    'Requires the role operator, or submitter with a matching item pattern.',
  params: byId,
  query: z.strictObject({ wait_ms: wholeText(0, 60_000, 'How long to wait for a running task to settle, in ms. Default 0.').optional() }),
  body: z.strictObject({ reason: reason.optional() }),
  replies: {
    200: { about: 'Settled: the task is cancelled.', schema: receipt },
    202: { about: 'Requested: the stop is recorded but did not settle within the wait.', schema: receipt },
  },
  errors: ['INVALID_ID', 'TASK_NOT_FOUND', 'TASK_FINISHED', 'NOT_REPLICATED'],
  audit: ({ params, body }) => ({ action: 'task.stop', target: params.id, reason: body.reason ?? null }),
  handle: async ({ api, principal, params: { id }, query, body, res }) => {
    const authorize = (found: TaskView | null): void => {
      const { item: itemOfTask } = requireVisible(principal, id, found);
      noteItem(res, itemOfTask);
      checkMayStop(principal, itemOfTask);
    };
    const stopped = await api.producer.stop(id, { reason: body.reason, by: principal.name, waitMs: query.wait_ms, authorize });
    const { outcome } = stopped;
    if (outcome === 'not_found') throw noTask(id);
    if (outcome === 'finished')
      throw new FleetError('TASK_FINISHED', `Task ${id} already ${stopped.endedAs ?? 'finished'}.`, {
        details: { receipt: receiptToJson(stopped) },
      });
    return { status: outcome === 'cancelled' ? 200 : 202, body: receiptToJson(stopped), outcome };
  },
});

const retry = defineRoute({
  method: 'post',
  path: '/tasks/{id}/retry',
  role: 'operator',
  operation: 'retryTask',
  summary: 'Retry a failed or cancelled task',
  params: byId,
  body: z.strictObject({}),
  replies: { 200: { about: 'The retried task.', schema: task } },
  errors: ['INVALID_ID', 'TASK_NOT_FOUND', 'TASK_NOT_RETRYABLE'],
  audit: ({ params }) => ({ action: 'task.retry', target: params.id }),
  handle: async ({ api, principal, params: { id }, res }) => {
    noteItem(res, requireVisible(principal, id, await api.producer.get(id)).item);
    const retried = await api.producer.retry(id);
    return { status: 200, body: taskToJson(retried), outcome: retried.state };
  },
});

export const taskRoutes: readonly Route[] = [enqueue, list, get, stop, retry];
