import { z } from 'zod';
import { type TaskView, taskToJson } from '../../../../producer/index.js';
import { MAX_KEPT_CHILDREN } from '../../../../shared/limits.js';
import type { Store } from '../../../../shared/store.js';
import { readOptions } from '../../../../shared/task/job-options.js';
import { type Principal, requireVisible, seesItem, shownTo } from '../../../auth/principal.js';
import { type Route, defineRoute } from '../../route.js';
import { knownId } from '../../schemas/fields.js';
import { task } from '../../schemas/task.js';

const relatedTasks = z
  .strictObject({
    parent: task.nullable().meta({ description: 'The task whose handler enqueued this one, or its parent in a BullMQ flow.' }),
    children: z
      .array(task)
      .meta({ description: `The newest ${MAX_KEPT_CHILDREN} children, oldest first, with those that ended while retained.` }),
    complete: z.boolean().meta({ description: 'False if the task has older children.' }),
  })
  .meta({ id: 'RelatedTasks', description: 'Tasks as in lists, and only those that the caller may see.' });

export type RelatedTasks = z.output<typeof relatedTasks>;

const related = defineRoute({
  method: 'get',
  path: '/tasks/{id}/related',
  role: 'viewer',
  itemTokens: true,
  operation: 'listRelatedTasks',
  summary: 'List the parent and the children of a task',
  params: z.strictObject({ id: knownId }),
  replies: { 200: { about: 'The related tasks.', schema: relatedTasks } },
  errors: ['INVALID_ID', 'TASK_NOT_FOUND'],
  handle: async ({ api: { producer, store }, principal, params: { id } }) => {
    const { queue } = requireVisible(principal, id, await producer.get(id));
    const { parent, children } = queue === null ? { parent: null, children: [] } : await relativesOf(store, queue, id);
    const newest = children.slice(-MAX_KEPT_CHILDREN);
    const found = await store.reader.read(parent === null ? newest : [...newest, parent]);
    const shown = (view: TaskView | undefined): Record<string, unknown> | null => (view ? visibleJson(principal, view) : null);
    return {
      status: 200,
      body: {
        parent: parent === null ? null : shown(found.get(parent)),
        children: byEnqueue(newest.flatMap((child) => found.get(child) ?? [])).flatMap((child) => shown(child) ?? []),
        complete: children.length < MAX_KEPT_CHILDREN,
      },
    };
  },
});

/** Returns the ids of a task's parent and of its newest children, in a flow or enqueued by its handler. */
async function relativesOf(
  { redis, keys, unreadable }: Store,
  queue: string,
  id: string,
): Promise<{ readonly parent: string | null; readonly children: readonly string[] }> {
  const job = keys.jobs(queue) + id;
  const [pending, processed, failed, unsuccessful] = ['dependencies', 'processed', 'failed', 'unsuccessful'].map(
    (name) => `${job}:${name}`,
  ) as [string, string, string, string];
  const live = keys.children(id);
  const [[kids, parentKey, options], ...found] = await Promise.all([
    unreadable.read(job, 'hash', redis.hmget(job, 'kid_ids', 'parentKey', 'opts'), []),
    unreadable.read(live, 'set', redis.srandmember(live, MAX_KEPT_CHILDREN), []),
    unreadable.read(pending, 'set', redis.srandmember(pending, MAX_KEPT_CHILDREN), []),
    unreadable.read(processed, 'hash', firstFields(redis, processed), []),
    unreadable.read(failed, 'hash', firstFields(redis, failed), []),
    unreadable.read(unsuccessful, 'sorted set', redis.zrange(unsuccessful, String(-MAX_KEPT_CHILDREN), '-1'), []),
  ]);
  const [enqueued, ...inFlow] = found;
  // A flow may include queues under another prefix, which belong to another fleet.
  const flow = inFlow.flat().flatMap((key) => keys.jobAt(key)?.id ?? []);
  const parent = readOptions(options ?? null).childOf?.id ?? keys.jobAt(parentKey ?? '')?.id ?? null;
  // The newest children in order of enqueue. The other reads are unordered and come first, so that a cut drops them first.
  const newest = new Set((kids ?? '').split(' ').filter(Boolean));
  const others = new Set([...enqueued, ...flow].filter((child) => !newest.has(child)));
  return { parent, children: [...others, ...newest] };
}

/** Returns some fields of a hash, without its values, which may be results. */
async function firstFields(redis: Store['redis'], key: string): Promise<string[]> {
  const [, pairs] = await redis.hscan(key, 0, 'COUNT', MAX_KEPT_CHILDREN);
  return pairs.filter((_, index) => index % 2 === 0);
}

function byEnqueue(tasks: readonly TaskView[]): TaskView[] {
  return tasks.toSorted((a, b) => (a.enqueuedAt?.getTime() ?? 0) - (b.enqueuedAt?.getTime() ?? 0));
}

function visibleJson(principal: Principal, view: TaskView): Record<string, unknown> | null {
  return seesItem(principal, view.item) ? taskToJson(shownTo(principal, view)) : null;
}

export const relatedRoutes: readonly Route[] = [related];
