import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { defineTask } from 'taskfleet';
import { type Producer, type TaskState, createProducer } from 'taskfleet/producer';
import { createWorker, defineHandler } from 'taskfleet/worker';
import { z } from 'zod';

const PREFIX = 'mix';
const BATCH = 500;
const PATIENCE_MS = 120_000;
const kept = { ageMs: 3_600_000, count: 1_000_000 };

const mixed = defineTask({
  name: 'bench.mixed',
  queue: 'bench',
  input: z.object({ n: z.number() }),
  retry: { attempts: 2, backoff: { delayMs: 1 } },
  retention: { completed: kept, failed: kept, cancelled: kept },
});

/** The result of a mixed load, and the remaining entries of the registry, which should be none. */
export interface Mix {
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Remaining keys of the registry. */
  readonly left: readonly string[];
}

/** Enqueues tasks on 50 items; a third fails after a retry, and every fifth is stopped in any state. */
export async function runMix(redisUrl: string, redis: Redis, tasks: number): Promise<Mix> {
  const producer = createProducer({ redisUrl, keyPrefix: PREFIX });
  const handler = defineHandler(mixed, ({ input }) => {
    if (input.n % 3 === 0) throw new Error('a third fails');
    return null;
  });
  const worker = await createWorker({ redisUrl, keyPrefix: PREFIX, concurrency: 64, handlers: [handler], logLevel: 'silent' });
  await worker.start();
  const stops: Promise<unknown>[] = [];
  for (let n = 0; n < tasks; n += BATCH) {
    const batch = Array.from({ length: BATCH }, (_, index) => ({ input: { n: n + index }, item: `item-${index % 50}` }));
    const added = await producer.enqueueMany(mixed, batch);
    stops.push(producer.stop(added.filter((_, index) => index % 5 === 0)));
  }
  await Promise.all(stops);
  const deadline = Date.now() + PATIENCE_MS;
  while ((await redis.zcard(`${PREFIX}:tasks:live`)) > 0 && Date.now() < deadline) await delay(20);
  await worker.stop();
  const [completed, failed, cancelled] = await Promise.all([
    count(producer, 'completed'),
    count(producer, 'failed'),
    count(producer, 'cancelled'),
  ]);
  await producer.close();
  return { completed, failed, cancelled, left: await leftovers(redis) };
}

async function count(producer: Producer, state: TaskState): Promise<number> {
  let total = 0;
  let after: string | undefined;
  do {
    const page = await producer.list({ state, limit: 1_000, after });
    total += page.tasks.length;
    after = page.next ?? undefined;
  } while (after !== undefined);
  return total;
}

async function leftovers(redis: Redis): Promise<string[]> {
  const registry = [`${PREFIX}:tasks`, `${PREFIX}:tasks:queues`, `${PREFIX}:tasks:live`];
  const held = await Promise.all(registry.map((key) => redis.exists(key)));
  return [
    ...registry.filter((_, index) => held[index] === 1),
    ...(await redis.keys(`${PREFIX}:tasks:item:*`)),
    ...(await redis.keys(`${PREFIX}:items:*`)),
  ];
}
