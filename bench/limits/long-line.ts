import type { Redis } from 'ioredis';
import { defineTask } from 'taskfleet';
import { createProducer } from 'taskfleet/producer';
import { z } from 'zod';
import { createLoggerFactory } from '../../shared/log/logger.js';
import { resolveSettings } from '../../shared/settings/settings.js';
import { type ConnectedSettings, openStore } from '../../shared/store.js';
import { Reconciler } from '../../worker/builtin/reconcile/reconciler.js';
import { type SlowestScript, SlowScripts } from '../harness/slow-scripts.js';

const BATCH = 500;
const ITEM = 'line';
const lined = defineTask({
  name: 'bench.lined',
  queue: 'bench',
  input: z.object({ n: z.number() }),
  concurrency: { by: 'item', limit: 1 },
});

/** One phase of a measurement. */
export interface LinePhase {
  readonly name: string;
  readonly tookMs: number;
  readonly slowest: SlowestScript;
}

/** Lets tasks wait for one key: their enqueue, a reconciliation, the stop of one in the middle, and the stop of all. */
export async function measureLine(redisUrl: string, redis: Redis, tasks: number): Promise<LinePhase[]> {
  const settings = resolveSettings({ redisUrl, keyPrefix: 'line', logLevel: 'warn' }) as ConnectedSettings;
  const loggers = createLoggerFactory({ settings });
  const store = openStore({ settings, policy: 'wait', loggers, name: 'bench' });
  const producer = createProducer({ redisUrl, keyPrefix: 'line', logLevel: 'warn' });
  await producer.ping();
  // BullMQ defines its scripts when a queue is opened.
  await store.queues.get('bench').waitUntilReady();
  const scripts = await SlowScripts.open(redis, store.redis);
  const phases: LinePhase[] = [];
  const phase = async (name: string, work: () => Promise<unknown>): Promise<void> => {
    await scripts.slowest();
    const startedAt = performance.now();
    await work();
    phases.push({ name, tookMs: performance.now() - startedAt, slowest: await scripts.slowest() });
  };
  try {
    const ids: string[] = [];
    await phase('enqueue all', async () => {
      for (let from = 0; from < tasks; from += BATCH) {
        const some = Array.from({ length: Math.min(BATCH, tasks - from) }, (_, index) => ({ input: { n: from + index }, item: ITEM }));
        ids.push(...(await producer.enqueueMany(lined, some)).map(({ id }) => id));
      }
    });
    const reconciler = new Reconciler({ store, graceMs: 60_000, logger: loggers('cleanup') });
    await phase('reconcile', async () => {
      while (!(await reconciler.run()).complete);
    });
    await phase('tend the line 100 times', async () => {
      for (let n = 0; n < 100; n += 1) await store.limiter.tend({ graceMs: 60_000, atOnce: true });
    });
    await phase('stop one in the middle', () => producer.stop(ids[Math.floor(tasks / 2)] as string));
    await phase('stop all', () => producer.stopItem(ITEM));
    const left = (await redis.keys(`${store.keys.limiter('')}*`)).map((key) => key.slice(store.keys.limiter('').length));
    if (left.some((key) => !['defined', 'seq', 'sweep', 'tended'].includes(key))) throw new Error(`left behind: ${left.join()}`);
  } finally {
    await scripts.close();
    await producer.close();
    await store.close();
  }
  return phases;
}
