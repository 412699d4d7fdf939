import type { Redis } from 'ioredis';
import { defineTask } from 'taskfleet';
import { type ListOptions, type Producer, createProducer } from 'taskfleet/producer';
import { z } from 'zod';
import { createLoggerFactory } from '../../shared/log/logger.js';
import { resolveSettings } from '../../shared/settings/settings.js';
import { Reconciler } from '../../worker/builtin/reconcile/reconciler.js';
import { type SlowestScript, SlowScripts } from '../harness/slow-scripts.js';

/** The cost of a page: the budget of the last query ends it, the others find everything. */
export interface FindCost {
  readonly query: string;
  readonly tasks: number;
  /** Commands in Redis, those of scripts included, and bytes in both directions. */
  readonly commands: number;
  readonly bytes: number;
  readonly ms: number;
}

export interface FindReport {
  readonly costs: readonly FindCost[];
  /** The slowest script of all queries. */
  readonly slowest: SlowestScript;
}

const PREFIX = 'find';
const BATCH = 1_000;
const RARE = 10;
const KEPT = { ageMs: 86_400_000, count: 1_000_000 };
const retention = { completed: KEPT, failed: KEPT, cancelled: KEPT };
const input = z.object({});
const common = defineTask({ name: 'common', queue: 'common', input, retention });
const rare = defineTask({ name: 'rare', queue: 'rare', input, retention });

/** The queries, by what they show. */
const QUERIES: readonly (readonly [query: string, options: ListOptions])[] = [
  ['first page of 100', {}],
  ['name=nope&limit=1', { name: 'nope', limit: 1 }],
  ['name=nope&limit=1, item patterns', { name: 'nope', limit: 1, visibleItems: ['mine-*'] }],
  ['first page, item patterns', { visibleItems: ['mine-*'] }],
  ['queue=rare behind the others', { queue: 'rare' }],
  ['tag=tenant:7', { tag: 'tenant:7' }],
  ['q=mine-', { search: 'mine-' }],
  ['state=cancelled&name=rare', { state: 'cancelled', name: 'rare' }],
  ['state=ended&name=nope', { state: 'ended', name: 'nope' }],
  ['state=ended, item patterns', { state: 'ended', visibleItems: ['mine-*'] }],
  ['state=ended&tag=tenant:7', { state: 'ended', tag: 'tenant:7' }],
  ['state=ended&error=nothing', { state: 'ended', error: 'nothing' }],
];

/** Measures pages of a fleet with many live and many ended tasks, ten of each being the ones that the queries look for. */
export async function measureFind(redisUrl: string, redis: Redis, { live, ended }: { live: number; ended: number }): Promise<FindReport> {
  const producer = createProducer({ redisUrl, keyPrefix: PREFIX, logLevel: 'error' });
  try {
    // Reading an empty registry marks its indexes as complete, as the reconciler does.
    await producer.list();
    await addEnded(producer, ended);
    await producer.enqueueMany(rare, rareTasks());
    await addCommon(producer, live);
    await reconcile(producer);
    const scripts = await SlowScripts.open(redis, producer.store.redis);
    await scripts.slowest();
    const costs: FindCost[] = [];
    for (const [query, options] of QUERIES) {
      await producer.list(options);
      costs.push(await costOf(producer, redis, query, options));
    }
    const slowest = await scripts.slowest();
    await scripts.close();
    return { costs, slowest };
  } finally {
    await producer.close();
  }
}

/** Ends tasks by stopping them while they are queued. */
async function addEnded(producer: Producer, count: number): Promise<void> {
  const stop = async (tasks: readonly { id: string }[]): Promise<unknown> => producer.stop(tasks.map(({ id }) => id));
  await stop(await producer.enqueueMany(rare, rareTasks()));
  for (let n = 0; n < count; n += BATCH) await stop(await producer.enqueueMany(common, commonTasks(Math.min(BATCH, count - n))));
}

/** Marks the indexes of ended tasks as complete, as the workers' schedule does. */
async function reconcile({ store }: Producer): Promise<void> {
  const logger = createLoggerFactory({ settings: resolveSettings({ logLevel: 'error' }) })('worker');
  await new Reconciler({ store, graceMs: 10_000, logger, limit: 10_000_000 }).run();
}

async function addCommon(producer: Producer, count: number): Promise<void> {
  for (let n = 0; n < count; n += BATCH) await producer.enqueueMany(common, commonTasks(Math.min(BATCH, count - n)));
}

function commonTasks(count: number): { input: object; item: string }[] {
  return Array.from({ length: count }, (_, n) => ({ input: {}, item: `other-${n}` }));
}

function rareTasks(): { input: object; item: string; tags: string[] }[] {
  return Array.from({ length: RARE }, (_, n) => ({ input: {}, item: `mine-${n}`, tags: ['tenant:7'] }));
}

async function costOf(producer: Producer, redis: Redis, query: string, options: ListOptions): Promise<FindCost> {
  const before = await counters(redis);
  const startedAt = performance.now();
  const { tasks } = await producer.list(options);
  const ms = performance.now() - startedAt;
  const after = await counters(redis);
  return { query, tasks: tasks.length, ms, commands: after.commands - before.commands - 1, bytes: after.bytes - before.bytes };
}

async function counters(redis: Redis): Promise<{ commands: number; bytes: number }> {
  const stats = await redis.info('stats');
  const read = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(stats)?.[1] ?? 0);
  return { commands: read('total_commands_processed'), bytes: read('total_net_input_bytes') + read('total_net_output_bytes') };
}
