import type { Redis } from 'ioredis';
import { defineTask } from 'taskfleet';
import { type ProducerConfig, createProducer } from 'taskfleet/producer';
import { z } from 'zod';
import { chunks } from '../shared/limits.js';

const kept = defineTask({
  name: 'bench.kept',
  queue: 'bench',
  input: z.object({ n: z.number() }),
  retention: { completed: { ageMs: 3_600_000, count: 10_000 }, failed: { ageMs: 7 * 24 * 3_600_000, count: 10_000 } },
});
const BATCH = 10_000;
const ITEMS = 1_000;

/** Redis memory per live task in bytes. */
export interface TaskMemory {
  /** The total: BullMQ's job and the registry. */
  readonly total: number;
  /** The part freed by deleting the keys of the registry. */
  readonly registry: number;
}

/** Enqueues tasks on a thousand items and measures their memory. */
export async function weighTasks(
  redisUrl: string,
  redis: Redis,
  tasks: number,
  settings: Pick<ProducerConfig, 'openWebui'> = {},
): Promise<TaskMemory> {
  const producer = createProducer({ redisUrl, keyPrefix: 'weigh', ...settings });
  await producer.ping();
  const before = await usedMemory(redis);
  for (let from = 0; from < tasks; from += BATCH) {
    await producer.enqueueMany(
      kept,
      Array.from({ length: BATCH }, (_, index) => ({ input: { n: from + index }, item: `chat-${index % ITEMS}` })),
    );
  }
  const full = await usedMemory(redis);
  const registry = [...(await redis.keys('weigh:tasks*')), ...(await redis.keys('weigh:items:*'))];
  for (const some of chunks(registry, BATCH)) await redis.del(...some);
  const without = await usedMemory(redis);
  await producer.close();
  return { total: (full - before) / tasks, registry: (full - without) / tasks };
}

async function usedMemory(redis: Redis): Promise<number> {
  return Number(/used_memory_dataset:(\d+)/.exec(await redis.info('memory'))?.[1]);
}
