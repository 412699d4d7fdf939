import { z } from 'zod';
import { type QueueView, queueToJson } from '../../../producer/index.js';
import { FleetError } from '../../../shared/errors.js';
import { MAX_REASON_LENGTH } from '../../../shared/limits.js';
import type { Principal } from '../../auth/principal.js';
import { type Answer, type Route, defineRoute } from '../route.js';
import { name, time } from '../schemas/fields.js';

const count = z.int().min(0);

/** Who paused a queue, when and why. */
export const pause = z
  .strictObject({
    by: z.string().nullable().meta({ description: 'Null, like the others, if Bull Board or another client of BullMQ paused it.' }),
    at: time.nullable(),
    reason: z.string().nullable(),
    shards: z.array(z.string()).meta({ description: 'The paused BullMQ queues; fewer than all if another client paused or resumed some.' }),
  })
  .meta({ id: 'Pause' });

const queue = z
  .strictObject({
    name: z.string(),
    shards: z.array(z.string()).meta({ description: 'Its BullMQ queues; the name alone for a queue without shards.' }),
    built_in: z.boolean().meta({
      description: "True for the fleet's own queue: while that is paused, nothing is repaired after a crash, and no bulk makes progress.",
    }),
    paused: pause.nullable().meta({ description: 'Null for a queue that runs.' }),
    counts: z
      .strictObject({
        queued: count.meta({ description: 'Ready to run: waiting for a free slot.' }),
        in_line: count.meta({ description: 'Queued too, but waiting for a limit.' }),
        scheduled: count.meta({ description: 'Delayed: before the first attempt, or before a retry.' }),
        waiting: count.meta({ description: 'Waiting for children of a BullMQ flow.' }),
        running: count,
        completed: count.meta({ description: 'Kept ones, with the skipped ones.' }),
        failed: count,
        cancelled: count.meta({ description: 'By the indexes of the retention.' }),
      })
      .meta({ id: 'QueueCounts' }),
    oldest_wait_ms: z.number().min(0).nullable().meta({ description: 'Of the tasks ready to run; null if none waits.' }),
    oldest_wait_task: z.strictObject({ id: z.string(), name: z.string().nullable() }).nullable().meta({ description: 'That task.' }),
    in_per_minute: count.meta({ description: 'Enqueued and retried tasks in the last minute.' }),
    out_per_minute: count.meta({ description: 'Ended tasks in the last minute.' }),
    limits: count.meta({ description: 'Limits of the definitions of its tasks: see `GET /limits`.' }),
    concurrency: z.int().min(0).nullable().meta({ description: "BullMQ's limit on running tasks, of each shard; null for none." }),
    workers: z.array(z.string()).meta({ description: 'Live workers that fetch from it.' }),
    slots: count.meta({ description: 'Total concurrency of these workers, which they share between their queues.' }),
    problem: z.string().nullable().meta({ description: 'Keys of the wrong type, whose tasks are not counted; null if there are none.' }),
  })
  .meta({ id: 'Queue', description: 'A logical queue, summed over its shards.' });

export type Queue = z.output<typeof queue>;

const byName = z.strictObject({
  name: name.meta({ description: 'As in the definitions, without the number of a shard.', example: 'chat' }),
});

const list = defineRoute({
  method: 'get',
  path: '/queues',
  role: 'viewer',
  operation: 'listQueues',
  summary: 'List the queues, with who paused them',
  description: 'Covers all tasks; requires access to all items.',
  replies: {
    200: {
      about: 'Every queue that ever had a task or a worker, sorted by name.',
      schema: z.strictObject({ queues: z.array(queue) }).meta({ id: 'Queues' }),
    },
  },
  handle: async ({ api, principal }) => {
    requireAllItems(principal);
    return { status: 200, body: { queues: (await api.producer.queues.list()).map(queueToJson) } };
  },
});

const pauseBody = z
  .strictObject({ reason: z.string().max(MAX_REASON_LENGTH).optional().meta({ description: 'Why; shown wherever the pause is.' }) })
  .meta({ id: 'PauseQueue' });

const CHANGE = {
  method: 'post',
  role: 'operator',
  params: byName,
  replies: { 200: { about: 'The queue.', schema: queue } },
  errors: ['QUEUE_NOT_FOUND', 'INVALID_OPTION'],
} as const;

const pauseQueue = defineRoute({
  ...CHANGE,
  path: '/queues/{name}/pause',
  operation: 'pauseQueue',
  summary: 'Pause a queue with all its shards',
  description:
    'Workers start no further task of it; running tasks go on, and stops settle as ever. A queue that is paused already keeps the record of ' +
    'who paused it, unless another client of BullMQ did. Requires access to all items.',
  body: pauseBody,
  audit: ({ params, body }) => ({ action: 'queue.pause', target: params.name, reason: body.reason ?? null }),
  handle: async ({ api, principal, params, body }) => {
    requireAllItems(principal);
    return answer(await api.producer.queues.pause(params.name, { reason: body.reason, by: principal.name }));
  },
});

const resumeQueue = defineRoute({
  ...CHANGE,
  path: '/queues/{name}/resume',
  operation: 'resumeQueue',
  summary: 'Resume a queue, no matter who paused it',
  description: 'Requires access to all items.',
  body: z.strictObject({}),
  audit: ({ params }) => ({ action: 'queue.resume', target: params.name }),
  handle: async ({ api, principal, params }) => {
    requireAllItems(principal);
    return answer(await api.producer.queues.resume(params.name));
  },
});

function answer(view: QueueView): Answer {
  return { status: 200, body: queueToJson(view), outcome: view.paused === null ? 'running' : 'paused' };
}

/** A queue has the tasks of all items. @throws FleetError `FORBIDDEN` */
function requireAllItems({ items, name: caller }: Principal): void {
  if (items !== null) throw new FleetError('FORBIDDEN', `Queues cover all tasks, but ${caller} may see certain items only.`);
}

export const queueRoutes: readonly Route[] = [list, pauseQueue, resumeQueue];
