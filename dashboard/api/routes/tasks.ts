import { z } from 'zod';
import {
  type CountOptions,
  type EnqueueOptions,
  type EnqueuedTask,
  type ListOptions,
  type Producer,
  type TaskView,
  receiptToJson,
  taskToJson,
} from '../../../producer/index.js';
import { FleetError } from '../../../shared/errors.js';
import { MAX_COUNTED } from '../../../shared/limits.js';
import type { Store } from '../../../shared/store.js';
import { filterOfJson } from '../../../shared/task/filter/filter-json.js';
import type { TaskFilter } from '../../../shared/task/filter/filter.js';
import { noteItem } from '../../auth/audit.js';
import {
  type Principal,
  checkMayStop,
  checkMayUseItem,
  idempotencyScopeOf,
  noTask,
  requireVisible,
  seesItem,
} from '../../auth/principal.js';
import { checkItemToken, checkMayStopOthers } from '../enqueue-rights.js';
import { canonical, idOfKey, withKey } from '../idempotency.js';
import { type Answer, type Route, defineRoute } from '../route.js';
import { knownId, reason, wholeText } from '../schemas/fields.js';
import { filterFields, listQuery } from '../schemas/filter.js';
import { enqueueBody, enqueued, idempotencyHeaders, receipt, task, taskCount, taskPage } from '../schemas/task.js';
import { SharedCounts } from '../shared-counts.js';
import { visibleFailure, visibleIds, visibleTask } from '../visible-task.js';

const byId = z.strictObject({ id: knownId });

const enqueue = defineRoute({
  method: 'post',
  path: '/tasks',
  role: 'submitter',
  itemTokens: true,
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
    const {
      name: taskName,
      input = {},
      item: itemOfTask,
      tags,
      id,
      delay,
      priority,
      deadline,
      when_busy: whenBusy,
      on_busy: onBusy,
      dedupe,
    } = body;
    checkItemToken(principal, body);
    const definition = api.definitions.find(taskName);
    checkMayUseItem(principal, itemOfTask ?? null);
    noteItem(res, itemOfTask ?? null);
    checkMayStopOthers(principal, definition, body);
    const add = async (options: EnqueueOptions): Promise<Answer> => {
      const adding = api.producer.enqueue(definition, input, {
        ...options,
        item: itemOfTask,
        tags,
        delay,
        priority,
        deadline: deadline === undefined ? undefined : new Date(deadline),
        whenBusy,
        onBusy,
        dedupe: dedupe && { key: dedupe.key, mode: dedupe.mode, withinMs: dedupe.within_ms },
        sees: (of) => seesItem(principal, of),
      });
      const added = await adding.catch(async (error: unknown) => {
        throw await visibleFailure(api.store.reader, principal, error);
      });
      const superseded = await visibleIds(api.store.reader, principal, added.superseded);
      return answerTo(principal, { ...added, superseded }, req.baseUrl);
    };
    const key = headers['idempotency-key'];
    if (key === undefined) return add({ id });
    const request = { key, caller: idempotencyScopeOf(principal), body: canonical(body) };
    return withKey(api.store, request, () => add({ id: id ?? idOfKey(request) }));
  },
});

function answerTo(
  principal: Principal,
  { id, name: taskName, queue, item: itemOfTask, duplicate, superseded }: EnqueuedTask,
  baseUrl: string,
): Answer {
  // The id or the deduplication key belongs to another caller's task, whose details must not be disclosed.
  if (!seesItem(principal, itemOfTask))
    throw new FleetError('FORBIDDEN', `${principal.name} may not use this id or deduplication key.`, { details: { field: 'id' } });
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
  itemTokens: true,
  operation: 'listTasks',
  summary: 'List tasks, newest first',
  description:
    'Live tasks, or those that the filter selects: all conditions apply. Finished tasks are found while retained. Lists have no inputs or results.',
  query: listQuery,
  replies: { 200: { about: 'A page of tasks.', schema: taskPage } },
  errors: ['INVALID_ITEM', 'INVALID_OPTION'],
  handle: async ({ api, principal, query: { after, limit, ...filter } }) => ({
    status: 200,
    body: await pageOf(api.producer, principal, { ...filterOfJson(filter, api.store.clock.now()), after, limit }),
  }),
});

/** Reads a page of the tasks visible to the caller, as JSON. */
export async function pageOf(producer: Producer, principal: Principal, options: ListOptions): Promise<z.output<typeof taskPage>> {
  const { tasks, next, searched, reached } = await producer.list({ ...options, visibleItems: principal.items });
  return {
    tasks: tasks.map(taskToJson) as z.output<typeof taskPage>['tasks'],
    next,
    // The number of tasks examined would tell the bearer of an item token how many tasks another item has.
    searched: principal.itemToken ? tasks.length : searched,
    reached: reached?.toISOString() ?? null,
  };
}

const count = defineRoute({
  method: 'get',
  path: '/tasks/count',
  role: 'viewer',
  itemTokens: true,
  operation: 'countTasks',
  summary: 'Count tasks',
  description:
    'Counts the tasks that `GET /tasks` lists with the same filter, up to `at_most`; with `by=state`, for each of its states, which may be a few seconds old.',
  query: z.strictObject({
    ...filterFields,
    at_most: wholeText(1, MAX_COUNTED, `Stop counting here. Default ${MAX_COUNTED.toLocaleString('en')}.`).optional(),
    by: z.literal('state').optional().meta({ description: 'Counts each state by itself. `at_most` is then per state.' }),
  }),
  replies: { 200: { about: 'The number of tasks.', schema: taskCount } },
  errors: ['INVALID_ITEM', 'INVALID_OPTION'],
  handle: async ({ api, principal, query: { at_most: atMost, by, ...json } }) => {
    const filter = filterOfJson(json, api.store.clock.now());
    const options = { atMost, visibleItems: principal.items };
    if (by === undefined) return { status: 200, body: await api.producer.count(filter, options) };
    const key = canonical({ ...json, atMost, items: principal.items });
    return { status: 200, body: await countsOf(api.store).read(key, () => countByState(api.producer, filter, options)) };
  },
});

const shared = new WeakMap<Store, SharedCounts<z.output<typeof taskCount>>>();

function countsOf(store: Store): SharedCounts<z.output<typeof taskCount>> {
  const known = shared.get(store) ?? new SharedCounts();
  shared.set(store, known);
  return known;
}

async function countByState(producer: Producer, filter: TaskFilter, options: CountOptions): Promise<z.output<typeof taskCount>> {
  const counts = await producer.countByState(filter, options);
  const all = [...counts.values()];
  return {
    count: all.reduce((sum, { count: number }) => sum + number, 0),
    complete: all.every(({ complete }) => complete),
    states: Object.fromEntries(counts),
  };
}

const get = defineRoute({
  method: 'get',
  path: '/tasks/{id}',
  role: 'viewer',
  itemTokens: true,
  operation: 'getTask',
  summary: 'Read a live or retained task',
  description: 'Callers below the role operator get the errors of its attempts without stack traces.',
  params: byId,
  replies: { 200: { about: 'The task.', schema: task } },
  errors: ['INVALID_ID', 'TASK_NOT_FOUND'],
  handle: async ({ api, principal, params: { id } }) => ({
    status: 200,
    body: taskToJson(await visibleTask(api.store.reader, principal, requireVisible(principal, id, await api.producer.get(id)))),
  }),
});

const stop = defineRoute({
  method: 'post',
  path: '/tasks/{id}/stop',
  role: 'submitter',
  itemTokens: true,
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
  itemTokens: true,
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
    return { status: 200, body: taskToJson(await visibleTask(api.store.reader, principal, retried)), outcome: retried.state };
  },
});

export const taskRoutes: readonly Route[] = [enqueue, list, count, get, stop, retry];
