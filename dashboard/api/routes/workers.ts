import { z } from 'zod';
import type { Store } from '../../../shared/store.js';
import { type Principal, seesItem } from '../../auth/principal.js';
import { type Route, defineRoute } from '../route.js';
import { time } from '../schemas/fields.js';

const count = z.int().min(0).nullable();
const ms = z.number().min(0).nullable();

const worker = z
  .strictObject({
    id: z.string(),
    alive: z.boolean().meta({ description: 'False for one that fell silent within the last hour, without a farewell; of that one only the last beat is known.' }),
    host: z.string().nullable(),
    pid: count,
    queues: z.array(z.string()),
    slots: count.meta({ description: 'Tasks that it runs at once, on all its queues.' }),
    running: z.array(z.string()).meta({ description: 'The tasks that it runs and the caller may see.' }),
    zombies: count.meta({ description: 'Handlers that were given up and have not returned.' }),
    draining: z.boolean().nullable(),
    subscribed: z.boolean().nullable().meta({ description: 'Whether it hears stop commands; without that it finds them by polling.' }),
    stops: count,
    stop_p50_ms: ms,
    stop_p99_ms: ms,
    stop_max_ms: ms,
    started_at: time.nullable(),
    beat_at: time,
  })
  .meta({ id: 'Worker' });

export type Worker = z.output<typeof worker>;

const list = defineRoute({
  method: 'get',
  path: '/workers',
  role: 'viewer',
  operation: 'listWorkers',
  summary: 'The workers, by their last heartbeats',
  replies: { 200: { about: 'All workers, by host.', schema: z.strictObject({ workers: z.array(worker) }).meta({ id: 'Workers' }) } },
  handle: async ({ api, principal }) => ({ status: 200, body: { workers: await readWorkers(api.store(), principal) } }),
});

async function readWorkers(store: Store, principal: Principal): Promise<Record<string, unknown>[]> {
  const { redis, keys } = store;
  const flat = await redis.zrange(keys.workers, '0', '-1', 'WITHSCORES');
  const ids = flat.filter((_, index) => index % 2 === 0);
  const beats = await Promise.all(ids.map((id) => redis.hgetall(keys.worker(id))));
  const running = beats.map((beat) => listOf(beat['running']));
  const visible = await visibleOf(store, principal, running.flat());
  return ids
    .map((id, index) => workerToJson(id, Number(flat[index * 2 + 1]), beats[index] ?? {}, (running[index] ?? []).filter((task) => visible.has(task))))
    .toSorted((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
}

async function visibleOf({ reader }: Store, principal: Principal, ids: readonly string[]): Promise<ReadonlySet<string>> {
  if (principal.items === null) return new Set(ids);
  const items = await reader.itemsOf(ids);
  return new Set(ids.filter((id) => seesItem(principal, items.get(id) ?? null)));
}

function workerToJson(id: string, beatAt: number, beat: Readonly<Record<string, string>>, running: readonly string[]): Record<string, unknown> {
  const number = (field: string): number | null => (beat[field] ? Number(beat[field]) : null);
  const flag = (field: string): boolean | null => (beat[field] === undefined ? null : beat[field] === '1');
  const startedAt = number('started_at');
  return {
    ...{ id, alive: Object.keys(beat).length > 0, host: beat['host'] ?? null, pid: number('pid'), queues: listOf(beat['queues']), slots: number('slots'), running },
    ...{ zombies: number('zombies'), draining: flag('draining'), subscribed: flag('subscribed'), stops: number('stops') },
    ...{ stop_p50_ms: number('stop_p50_ms'), stop_p99_ms: number('stop_p99_ms'), stop_max_ms: number('stop_max_ms') },
    started_at: startedAt === null ? null : new Date(startedAt).toISOString(),
    beat_at: new Date(beatAt).toISOString(),
  };
}

function listOf(json: string | undefined): string[] {
  try {
    const parsed: unknown = JSON.parse(json ?? '[]');
    return Array.isArray(parsed) ? parsed.map(String) : [];
  } catch {
    return [];
  }
}

function placeOf(one: Readonly<Record<string, unknown>>): string {
  return `${String(one['host'])}\0${String(one['id'])}`;
}

export const workerRoutes: readonly Route[] = [list];
