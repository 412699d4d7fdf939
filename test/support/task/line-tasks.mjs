// A task that runs once at a time for each item, and notes in Redis whether it does.
import { setTimeout as delay } from 'node:timers/promises';
import { Cluster, Redis } from 'ioredis';
import { z } from 'zod';
import { defineHandler, defineTask } from '../../../dist/worker/index.js';

const kept = { ageMs: 3_600_000, count: 1_000_000 };
export const message = defineTask({
  name: 'line.message',
  input: z.object({}),
  retention: { completed: kept, failed: kept },
  concurrency: { by: 'item', limit: 1 },
});

let opened = null;
function connection() {
  const { REDIS_URL: url, REDIS_CLUSTER: cluster } = process.env;
  return (opened ??= cluster === 'true' ? new Cluster([url]) : new Redis(url));
}

/** The keys that the test reads and writes. */
const key = (name) => `line-test:${process.env.REDIS_KEY_PREFIX}:${name}`;

export default [
  defineHandler(message, async ({ id, signal, attempt }) => {
    const redis = connection();
    const mine = `${id} ${process.pid} ${attempt}`;
    if ((await redis.set(key('running'), mine, 'NX')) === null)
      await redis.rpush(key('overlaps'), `${mine} beside ${await redis.get(key('running'))}`);
    await redis.rpush(key('started'), id);
    try {
      while (await redis.sismember(key('held'), id)) await delay(20, undefined, { signal });
    } finally {
      if ((await redis.get(key('running'))) === mine) await redis.del(key('running'));
    }
  }),
];
