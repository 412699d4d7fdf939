import { z } from 'zod';
import { type WorkerView, workerToJson } from '../../../../producer/index.js';
import { FleetError } from '../../../../shared/errors.js';
import { quote } from '../../../../shared/keys.js';
import type { Store } from '../../../../shared/store.js';
import { type Principal, seesItem } from '../../../auth/principal.js';
import type { ApiContext } from '../../context.js';
import { type Answer, type Route, defineRoute } from '../../route.js';
import { reason, time } from '../../schemas/fields.js';

/** Null if unreadable, or not reported. */
const count = z.int().min(0).nullable();
const ms = z.number().min(0).nullable();
const flag = z.boolean().nullable();

const worker = z
  .strictObject({
    id: z.string(),
    alive: z.boolean().meta({
      description: 'False for a worker that died within a week: its heartbeats stopped without a shutdown, or it ended by a fault.',
    }),
    host: z.string().nullable(),
    pid: count,
    queues: z.array(z.string()),
    maintenance: flag.meta({ description: 'Whether it takes the maintenance queue, which is not among its `queues`.' }),
    slots: count.meta({ description: 'Concurrency across all its queues.' }),
    running: z
      .array(z.string())
      .meta({ description: 'Running tasks that the caller may see; of a dead worker, those of its last heartbeat.' }),
    zombies: count.meta({ description: 'Abandoned handlers that have not returned.' }),
    draining: flag.meta({ description: 'Whether it shuts down.' }),
    fetching: flag.meta({ description: 'Whether it fetches tasks, by its last heartbeat: not while it is drained or shuts down.' }),
    drained: z
      .strictObject({ by: z.string().nullable(), at: time.nullable(), reason: z.string().nullable() })
      .nullable()
      .meta({ description: 'Who asked that it stops fetching tasks, when and why; null if nobody did.' }),
    subscribed: flag.meta({ description: 'Whether it is subscribed to stop commands; otherwise it polls for them.' }),
    stops: count,
    stop_p50_ms: ms,
    stop_p99_ms: ms,
    stop_max_ms: ms,
    memory_bytes: count.meta({ description: 'Resident memory of its process.' }),
    heap_bytes: count.meta({ description: 'Used heap of its main thread.' }),
    heap_limit_bytes: count,
    loop_delay_ms: ms.meta({ description: "99th percentile of the event loop's delay between its last two heartbeats." }),
    threads: count.meta({ description: 'Live threads for isolated handlers.' }),
    version: z.string().nullable().meta({ description: 'Version of taskfleet.' }),
    node: z.string().nullable().meta({ description: 'Version of Node.js.' }),
    definitions: count.meta({ description: 'Number of its definitions.' }),
    definitions_differ: z
      .array(z.string())
      .meta({ description: 'Names of its definitions that another worker, or a producer of the last hour, has otherwise.' }),
    broken: z
      .array(z.strictObject({ queue: z.string(), problem: z.string() }))
      .meta({ description: 'Queues that it cannot fetch from, each with the problem and the repair.' }),
    log_error: z.string().nullable().meta({ description: 'Why it cannot write its log; null if it can.' }),
    clock_ms: z.number().nullable().meta({ description: "How far its machine's clock is ahead of Redis'." }),
    started_at: time.nullable(),
    beat_at: time.nullable(),
    last_words: z.string().nullable().meta({ description: 'Of a dead worker: its last error, or how it ended.' }),
    problem: z
      .string()
      .nullable()
      .meta({ description: 'The unreadable part of its heartbeat, which is null here; null for a valid heartbeat.' }),
  })
  .meta({ id: 'Worker' });

export type Worker = z.output<typeof worker>;

const difference = z
  .strictObject({
    name: z.string().meta({ description: 'The name of the task.' }),
    fields: z.array(z.string()).meta({ description: 'The options that differ; empty if unknown.' }),
    versions: z.array(
      z.strictObject({
        digest: z.string(),
        workers: z.array(z.string()),
        producers: z.boolean().meta({ description: 'Whether a producer enqueued with it within the last hour.' }),
      }),
    ),
  })
  .meta({ id: 'DefinitionDifference' });

export type Difference = z.output<typeof difference>;

const detail = worker
  .extend({
    all_definitions: z.array(
      z.strictObject({
        name: z.string(),
        digest: z.string(),
        options: z
          .record(z.string(), z.unknown())
          .nullable()
          .meta({ description: 'Its options, with hashes of its schemas; null if unknown.' }),
      }),
    ),
  })
  .meta({ id: 'WorkerDetail' });

const byId = z.strictObject({ id: z.string().min(1).max(512) });

const list = defineRoute({
  method: 'get',
  path: '/workers',
  role: 'viewer',
  operation: 'listWorkers',
  summary: 'List the workers with their last heartbeats',
  description: 'Live workers sorted by host, then those that died within a week, the latest first.',
  replies: {
    200: {
      about: 'All workers, and the definitions that differ among them.',
      schema: z.strictObject({ workers: z.array(worker), differences: z.array(difference) }).meta({ id: 'Workers' }),
    },
  },
  handle: async ({ api, principal }) => {
    const { workers, differences } = await api.producer.workers.all();
    return { status: 200, body: { workers: await shown(api.store, principal, workers), differences } };
  },
});

const read = defineRoute({
  method: 'get',
  path: '/workers/{id}',
  role: 'viewer',
  operation: 'readWorker',
  summary: 'Read a worker with its definitions',
  params: byId,
  replies: { 200: { about: 'The worker.', schema: detail } },
  errors: ['WORKER_NOT_FOUND'],
  handle: async ({ api, principal, params: { id } }) => {
    const found = await api.producer.workers.get(id);
    if (!found) throw new FleetError('WORKER_NOT_FOUND', `No worker ${quote(id)}.`, { details: { id } });
    const [json] = await shown(api.store, principal, [found]);
    return { status: 200, body: { ...json, all_definitions: found.allDefinitions } };
  },
});

const drain = defineRoute({
  method: 'post',
  path: '/workers/{id}/drain',
  role: 'operator',
  operation: 'drainWorker',
  summary: 'Drain a worker: it ends its running tasks and fetches no others',
  description: 'Durable until resumed, or until the worker ends. Requires access to all items.',
  params: byId,
  body: z.strictObject({ reason: reason.optional() }).meta({ id: 'DrainWorker' }),
  replies: { 200: { about: 'The worker. `fetching` turns false once it follows.', schema: worker } },
  errors: ['WORKER_NOT_FOUND', 'INVALID_OPTION'],
  audit: ({ params, body }) => ({ action: 'worker.drain', target: params.id, ...(body.reason !== undefined && { reason: body.reason }) }),
  handle: async ({ api, principal, params: { id }, body }) => {
    requireAllItems(principal);
    return answer(api, principal, await api.producer.workers.drain(id, { ...body, by: principal.name }), 'drained');
  },
});

const resume = defineRoute({
  method: 'post',
  path: '/workers/{id}/resume',
  role: 'operator',
  operation: 'resumeWorker',
  summary: 'Let a drained worker fetch tasks again',
  description: 'Requires access to all items.',
  params: byId,
  body: z.strictObject({}),
  replies: { 200: { about: 'The worker. `fetching` turns true once it follows.', schema: worker } },
  errors: ['WORKER_NOT_FOUND', 'INVALID_OPTION'],
  audit: ({ params }) => ({ action: 'worker.resume', target: params.id }),
  handle: async ({ api, principal, params: { id } }) => {
    requireAllItems(principal);
    return answer(api, principal, await api.producer.workers.resume(id), 'resumed');
  },
});

async function answer({ store }: ApiContext, principal: Principal, view: WorkerView, outcome: string): Promise<Answer> {
  const [body] = await shown(store, principal, [view]);
  return { status: 200, body, outcome };
}

/** Converts workers to JSON, with the running tasks that the caller may see. */
async function shown(store: Store, principal: Principal, workers: readonly WorkerView[]): Promise<Record<string, unknown>[]> {
  const visible = await visibleOf(
    store,
    principal,
    workers.flatMap(({ running }) => running),
  );
  return workers.map((one) => workerToJson({ ...one, running: one.running.filter((task) => visible.has(task)) }));
}

async function visibleOf({ reader }: Store, principal: Principal, ids: readonly string[]): Promise<ReadonlySet<string>> {
  if (principal.items === null) return new Set(ids);
  const items = await reader.itemsOf(ids);
  return new Set(ids.filter((id) => seesItem(principal, items.get(id) ?? null)));
}

/** A worker runs tasks of all items. @throws FleetError `FORBIDDEN` */
function requireAllItems({ items, name }: Principal): void {
  if (items !== null) throw new FleetError('FORBIDDEN', `A worker runs tasks of all items, but ${name} may see certain items only.`);
}

export const workerRoutes: readonly Route[] = [list, read, drain, resume];
