import { type JobsOptions, Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { defineTask } from 'taskfleet';
import { type ProducerConfig, createProducer } from 'taskfleet/producer';
import { uuidv7 } from 'uuidv7';
import { z } from 'zod';
import { chunks } from '../../shared/limits.js';
import { type Row, defineSuite } from '../harness/suite.js';

const input = z.object({ n: z.number() });
const noop = defineTask({ name: 'bench.noop', queue: 'bench', input });
/** Its options are longer than the 64 bytes up to which Redis stores a job compactly. */
const kept = defineTask({
  name: 'bench.kept',
  queue: 'bench',
  input,
  retention: { completed: { count: 10_000 }, failed: { count: 10_000 } },
});
const BATCH = 10_000;
const TASKS_PER_ITEM = 100;

/** The keys of a task by their kind, in the order in which they are deleted. */
const KINDS = {
  /** Entries that open-webui has too: `p:tasks` and `p:tasks:item:…`. */
  shared: ['weigh:tasks', 'weigh:tasks:item:*'],
  /** The other entries that other programs may rely on. */
  registry: ['weigh:tasks:queues', 'weigh:tasks:live'],
  items: ['weigh:items:*'],
  indexes: ['weigh:find:*'],
} as const;
type Kind = keyof typeof KINDS;

export const memory = defineSuite({
  name: 'memory',
  about: 'Redis memory of a live task on an item with 100',
  sizes: { rounds: { full: 1, quick: 1 }, live: { full: 100_000, quick: 10_000 } },
  async run({ redis, client, sizes }) {
    const bare = await weighJobs(redis.url, client, sizes.live);
    const rows: Row[] = [];
    for (const [name, definition] of [
      ['a live task', noop],
      ['a live task with its own retention', kept],
    ] as const) {
      await client.flushall();
      const { total, kinds } = await weighTasks(redis.url, client, sizes.live, {}, definition);
      const ours = Object.values(kinds).reduce((sum, bytes) => sum + bytes, 0);
      const sides = { 'bare BullMQ': [bare], total: [total], job: [total - ours], ...mapped(kinds) };
      rows.push({ name, unit: 'bytes', sides, ratios: [{ of: 'total', to: 'bare BullMQ', better: 'lower' }] });
    }
    return { rows };
  },
});

/** Redis memory per live task in bytes. */
export interface TaskMemory {
  /** The total: BullMQ's job and our keys. */
  readonly total: number;
  /** The parts freed by deleting our keys of each kind. */
  readonly kinds: Readonly<Record<Kind, number>>;
}

/** Enqueues tasks, a hundred per item, and measures their memory. */
export async function weighTasks(
  redisUrl: string,
  redis: Redis,
  tasks: number,
  settings: Pick<ProducerConfig, 'openWebui'> = {},
  definition = noop,
): Promise<TaskMemory> {
  const producer = createProducer({ redisUrl, keyPrefix: 'weigh', ...settings });
  await producer.ping();
  const before = await usedMemory(redis);
  for (let from = 0; from < tasks; from += BATCH) {
    await producer.enqueueMany(
      definition,
      Array.from({ length: Math.min(BATCH, tasks - from) }, (_, index) => ({
        input: { n: from + index },
        item: `chat-${Math.floor((from + index) / TASKS_PER_ITEM)}`,
      })),
    );
  }
  const total = ((await usedMemory(redis)) - before) / tasks;
  const kinds: Record<Kind, number> = { shared: 0, registry: 0, items: 0, indexes: 0 };
  for (const [kind, patterns] of Object.entries(KINDS) as [Kind, readonly string[]][])
    kinds[kind] = (await freedBy(redis, patterns)) / tasks;
  await producer.close();
  return { total, kinds };
}

/** What the fleet's defaults are in a bare queue. */
const SAME_AS_DEFAULT = {
  attempts: 1,
  removeOnComplete: { age: 3_600, count: 1_000 },
  removeOnFail: { age: 7 * 24 * 3_600, count: 5_000 },
};

/** Adds jobs with the same ids, and returns the memory of one. */
export async function weighJobs(redisUrl: string, redis: Redis, jobs: number, options: JobsOptions = SAME_AS_DEFAULT): Promise<number> {
  const connection = new Redis(redisUrl, { maxRetriesPerRequest: null, protocol: 2 });
  const queue = new Queue('bench', { connection, prefix: 'bare:bull' });
  await queue.waitUntilReady();
  const before = await usedMemory(redis);
  for (let from = 0; from < jobs; from += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, jobs - from) }, (_, index) => ({ n: from + index }));
    await queue.addBulk(batch.map((data) => ({ name: 'bench.noop', data, opts: { ...options, jobId: uuidv7() } })));
  }
  const used = ((await usedMemory(redis)) - before) / jobs;
  await queue.close();
  connection.disconnect();
  return used;
}

async function freedBy(redis: Redis, patterns: readonly string[]): Promise<number> {
  const before = await usedMemory(redis);
  for (const pattern of patterns) {
    const keys = pattern.endsWith('*') ? await redis.keys(pattern) : [pattern];
    for (const some of chunks(keys, BATCH)) await redis.del(...some);
  }
  return before - (await usedMemory(redis));
}

async function usedMemory(redis: Redis): Promise<number> {
  return Number(/used_memory_dataset:(\d+)/.exec(await redis.info('memory'))?.[1]);
}

function mapped(kinds: TaskMemory['kinds']): Record<Kind, number[]> {
  const { shared, registry, items, indexes } = kinds;
  return { shared: [shared], registry: [registry], items: [items], indexes: [indexes] };
}
