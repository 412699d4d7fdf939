import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { createProducer } from 'taskfleet/producer';
import { redisCpuUs } from '../harness/cpu.js';
import { type Env, type Row, defineSuite } from '../harness/suite.js';
import { endChild, startChild, waitForStop } from './stop-latency.js';

const SUBSCRIBED = [1, 50, 500];

/** CPU time for one stop, in µs, without that of the same time without stops. */
interface Cost {
  readonly redis: number;
  readonly bystander: number;
}

export const subscribers = defineSuite({
  name: 'subscribers',
  about: 'CPU time of a stop by the number of workers subscribed, in Redis and in each worker that it does not concern',
  sizes: { rounds: { full: 3, quick: 1 }, 'counted-stops': { full: 500, quick: 200 } },
  async run(env) {
    const rows: Row[] = [];
    for (const subscribed of SUBSCRIBED) {
      const costs: Cost[] = [];
      for (let round = 1; round <= env.sizes.rounds; round += 1) {
        env.step(`${subscribed} subscribed, round ${round} of ${env.sizes.rounds}`);
        costs.push(await measure(env, subscribed));
      }
      const sides = { Redis: costs.map(({ redis }) => redis), 'a bystander': costs.map(({ bystander }) => bystander) };
      rows.push({ name: `${subscribed} workers`, unit: 'µs/stop', sides });
    }
    return { rows };
  },
});

async function measure({ redis, client, sizes }: Env<'counted-stops'>, subscribed: number): Promise<Cost> {
  await client.flushall();
  const child = startChild('./stop-worker.ts', [redis.url, '600']);
  await once(child, 'message');
  const bystander = startChild('./bystander.ts', [redis.url, String(subscribed - 1)]);
  await once(bystander, 'message');
  const producer = createProducer({ redisUrl: redis.url });
  const cpu = async (): Promise<Cost> => {
    bystander.send('cpu');
    const [own] = (await once(bystander, 'message')) as [number];
    return { redis: await redisCpuUs(client), bystander: own };
  };
  try {
    const stops = sizes['counted-stops'];
    const tasks = await producer.enqueueMany(
      waitForStop,
      Array.from({ length: stops }, () => ({ input: {} })),
    );
    await sleep(1_000);
    const [from, at] = [await cpu(), performance.now()];
    for (const task of tasks) await producer.stop(task);
    const [to, tookMs] = [await cpu(), performance.now() - at];
    await sleep(500);
    const [idleFrom, idleAt] = [await cpu(), performance.now()];
    await sleep(tookMs);
    const [idleTo, idleMs] = [await cpu(), performance.now() - idleAt];
    const cost = (side: keyof Cost): number => (to[side] - from[side] - ((idleTo[side] - idleFrom[side]) * tookMs) / idleMs) / stops;
    return { redis: cost('redis'), bystander: cost('bystander') };
  } finally {
    await producer.close();
    await Promise.all([child, bystander].map(endChild));
  }
}
