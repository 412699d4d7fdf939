import { z } from 'zod';
import { type WorkerRecord, readWorkers } from '../../../shared/records/heartbeats.js';
import type { Store } from '../../../shared/store.js';
import { type Principal, seesItem } from '../../auth/principal.js';
import { type Route, defineRoute } from '../route.js';
import { time } from '../schemas/fields.js';

const count = z.int().min(0).nullable();
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
  handle: async ({ api, principal }) => ({ status: 200, body: { workers: await visibleWorkers(api.store(), principal) } }),
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

export const workerRoutes: readonly Route[] = [listWorkers];
