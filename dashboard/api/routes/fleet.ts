import { z } from 'zod';
import { FleetError } from '../../../shared/errors.js';
import { problemOfItem } from '../../../shared/keys.js';
import { MAX_ITEM_LENGTH } from '../../../shared/limits.js';
import { type WorkerRecord, readWorkers } from '../../../shared/records/heartbeats.js';
import type { Store } from '../../../shared/store.js';
import { type Principal, seesItem } from '../../auth/principal.js';
import { readHistory } from '../../metrics/history.js';
import { type Route, defineRoute } from '../route.js';
import { text, time, wholeText } from '../schemas/fields.js';

/** Null if unreadable. */
const count = z.int().min(0).nullable();
/** Null if unknown. */
const ms = z.number().min(0).nullable();

const worker = z
  .strictObject({
    id: z.string(),
    alive: z.boolean().meta({
      description:
        'False for a worker lost within the last hour: its heartbeats stopped without a shutdown, and only the last one is known.',
    }),
    host: z.string().nullable(),
    pid: count,
    queues: z.array(z.string()),
    slots: count.meta({ description: 'Concurrency across all its queues.' }),
    running: z.array(z.string()).meta({ description: 'Running tasks that the caller may see.' }),
    zombies: count.meta({ description: 'Abandoned handlers that have not returned.' }),
    draining: z.boolean().nullable(),
    subscribed: z.boolean().nullable().meta({ description: 'Whether it is subscribed to stop commands; otherwise it polls for them.' }),
    stops: count,
    stop_p50_ms: ms,
    stop_p99_ms: ms,
    stop_max_ms: ms,
    started_at: time.nullable(),
    beat_at: time.nullable(),
    problem: z
      .string()
      .nullable()
      .meta({ description: 'The unreadable part of its heartbeat, which is null here; null for a valid heartbeat.' }),
  })
  .meta({ id: 'Worker' });

export type Worker = z.output<typeof worker>;

const listWorkers = defineRoute({
  method: 'get',
  path: '/workers',
  role: 'viewer',
  operation: 'listWorkers',
  summary: 'List the workers with their last heartbeats',
  replies: { 200: { about: 'All workers, sorted by host.', schema: z.strictObject({ workers: z.array(worker) }).meta({ id: 'Workers' }) } },
  handle: async ({ api, principal }) => ({ status: 200, body: { workers: await visibleWorkers(api.store, principal) } }),
});

async function visibleWorkers(store: Store, principal: Principal): Promise<Record<string, unknown>[]> {
  const workers = await readWorkers(store);
  const visible = await visibleOf(
    store,
    principal,
    workers.flatMap(({ running }) => running),
  );
  return workers
    .toSorted((a, b) => (sortKeyOf(a) < sortKeyOf(b) ? -1 : 1))
    .map((one) =>
      workerToJson(
        one,
        one.running.filter((task) => visible.has(task)),
      ),
    );
}

async function visibleOf({ reader }: Store, principal: Principal, ids: readonly string[]): Promise<ReadonlySet<string>> {
  if (principal.items === null) return new Set(ids);
  const items = await reader.itemsOf(ids);
  return new Set(ids.filter((id) => seesItem(principal, items.get(id) ?? null)));
}

function workerToJson(
  { id, alive, host, pid, queues, slots, zombies, draining, subscribed, stops, startedAt, beatAt, problem }: WorkerRecord,
  running: readonly string[],
): Record<string, unknown> {
  const timeOf = (at: number | null): string | null => (at === null ? null : new Date(at).toISOString());
  return {
    ...{ id, alive, host, pid, queues, slots, running, zombies, draining, subscribed },
    ...{ stops: stops.count, stop_p50_ms: stops.p50Ms, stop_p99_ms: stops.p99Ms, stop_max_ms: stops.maxMs },
    ...{ started_at: timeOf(startedAt), beat_at: timeOf(beatAt), problem },
  };
}

function sortKeyOf({ host, id }: WorkerRecord): string {
  return `${host ?? '\uffff'}\0${id}`;
}

const tasks = z.int().min(0);

const stats = z
  .strictObject({
    minutes: z.array(
      z.strictObject({
        at: time,
        completed: tasks,
        failed: tasks,
        cancelled: tasks,
        stop_p50_ms: ms,
        stop_p99_ms: ms,
      }),
    ),
  })
  .meta({
    id: 'Stats',
    description:
      'One entry per minute, oldest first; the last minute is incomplete. ' +
      'Stop latency is measured from the recorded stop to the end of the task.',
  });

export type Stats = z.output<typeof stats>;

const readStats = defineRoute({
  method: 'get',
  path: '/stats',
  role: 'viewer',
  operation: 'readStats',
  summary: 'Read finished tasks and stop latency of the last minutes',
  description: 'Covers all tasks; requires access to all items.',
  query: z.strictObject({ minutes: wholeText(1, 120, 'Number of minutes. Default 60.').optional() }),
  replies: { 200: { about: 'The last minutes.', schema: stats } },
  handle: async ({ api, principal, query }) => {
    if (principal.items !== null)
      throw new FleetError('FORBIDDEN', 'Statistics cover all tasks, but this caller may see certain items only.');
    return { status: 200, body: { minutes: await readHistory(api.store, query.minutes ?? 60) } };
  },
});

const usagePart = (description: string) =>
  text(problemOfItem, 'INVALID_INPUT').meta({ description, minLength: 1, maxLength: MAX_ITEM_LENGTH });

const listUsage = defineRoute({
  method: 'get',
  path: '/usage',
  role: 'viewer',
  operation: 'listModelsInUse',
  summary: 'List the models in use, as of the last clean-up',
  replies: { 200: { about: 'Model ids, sorted.', schema: z.strictObject({ models: z.array(z.string()) }).meta({ id: 'Usage' }) } },
  errors: ['MALFORMED_DATA'],
  handle: async ({ api }) => ({ status: 200, body: { models: await api.producer.usage.inUse() } }),
});

/** Not audited: sessions send it about every second, and it changes nothing of interest to an audit. */
const touchUsage = defineRoute({
  method: 'put',
  path: '/usage/{model}/{session}',
  role: 'submitter',
  operation: 'touchUsage',
  summary: 'Report that a session is using a model',
  description: 'Repeat before `USAGE_POOL_TIMEOUT` expires. Encode slashes as `%2F`.',
  params: z.strictObject({ model: usagePart('The id of the model.'), session: usagePart('The id of the session.') }),
  replies: { 204: { about: 'Recorded.', schema: null } },
  errors: ['INVALID_INPUT', 'MALFORMED_DATA'],
  handle: async ({ api, params: { model, session } }) => {
    await api.producer.usage.touch(model, session);
    return { status: 204 };
  },
});

/** The state of the fleet: workers, statistics, models in use. */
export const fleetRoutes: readonly Route[] = [listWorkers, readStats, listUsage, touchUsage];
