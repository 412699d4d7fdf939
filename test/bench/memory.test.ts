import assert from 'node:assert/strict';
import { test } from 'node:test';
import { weighJobs, weighTasks } from '../../bench/memory/memory.js';
import { startTestRedis } from '../support/redis/test-redis.js';

/** A hundred tasks per item: the parts of an item are shared, and hash tables are as full as with millions. */
const TASKS = 10_000;

test('a live task takes at most 3.7 times the memory of a job of a bare BullMQ queue, and the indexes 1.1 times', async (t) => {
  const redis = await startTestRedis();
  t.after(() => redis.stop());
  const client = redis.client();
  const bare = await weighJobs(redis.url, client, TASKS, {});
  await client.flushall();
  const { total, kinds } = await weighTasks(redis.url, client, TASKS);
  const ours = kinds.items + kinds.indexes;
  t.diagnostic(JSON.stringify({ bare, total, kinds }));
  assert.ok(bare > 0 && ours > 0);
  assert.ok(total / bare < 3.7, `${total} of ${bare} bytes`);
  assert.ok(ours / bare < 1.1, `${ours} of ${bare} bytes`);
});
