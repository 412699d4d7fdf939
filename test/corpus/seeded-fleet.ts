import { z } from 'zod';
import type { Producer } from '../../producer/index.js';
import { defineTask } from '../../shared/task/definition.js';
import type { TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';
import type { BadKey, Seeded } from './corpus.js';

export const QUEUE = 'corpus';
export const ITEM = 'item-1';
export const corpusTask = defineTask({ name: 'corpus.task', queue: QUEUE, input: z.object({}), retention: KEEP });

/** Seeds a fleet with records of every kind, as after some work. */
export async function seed({ client }: TestFleet, producer: Producer): Promise<Seeded> {
  const { keys } = producer.store;
  for (const id of ['good', 'one-waiting', 'one-completed', 'one-failed']) await producer.enqueue(corpusTask, {}, { id, item: ITEM });
  const jobs = keys.jobs(QUEUE);
  const now = Date.now();
  for (const place of ['completed', 'failed'] as const) {
    const id = `one-${place}`;
    await client
      .multi()
      .lrem(`${jobs}wait`, 0, id)
      .zadd(`${jobs}${place}`, now, id)
      .hset(jobs + id, { processedOn: now, finishedOn: now, atm: 1 })
      .exec();
    await client.multi().hdel(keys.tasks, id).hdel(keys.taskQueues, id).zrem(keys.live, id).exec();
  }
  await producer.schedules.upsert('nightly', corpusTask, {}, { every: 3_600_000 });
  await client.zadd(keys.workers, now, 'w1');
  await client.hset(keys.worker('w1'), {
    host: 'h',
    pid: 1,
    queues: '["corpus"]',
    slots: 2,
    running: '[]',
    zombies: 0,
    draining: 0,
    subscribed: 1,
    started_at: now,
    beat_at: now,
  });
  await client.hset(keys.reconcile, { at: now, took_ms: 1 });
  return { queue: QUEUE, item: ITEM, good: 'good', waiting: 'one-waiting', completed: 'one-completed', failed: 'one-failed', worker: 'w1' };
}

/** Corrupts a key, does the work, and restores the key. Errors name the key. */
export async function whileSpoilt({ client }: TestFleet, bad: BadKey, work: () => Promise<void>): Promise<void> {
  const kept = await client.dumpBuffer(bad.key);
  try {
    await bad.write(client);
    await work();
  } catch (error) {
    throw new Error(`${bad.name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  } finally {
    // The work may have written the key.
    if (kept) await client.restore(bad.key, 0, kept, 'REPLACE');
    else await client.del(bad.key);
  }
}
