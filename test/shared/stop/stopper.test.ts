import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { deferred } from '../../support/deferred.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

test('a stop that fails on one queue is not over before the others are settled', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const tasks = await Promise.all(['slow.task', 'refused.task'].map((name) => producer.enqueue(new ScriptedTask(name).definition, {})));
  const store = fleet.store({ keyPrefix });
  const [held, refused] = [deferred(), deferred()];
  const record = store.redis.recordStop.bind(store.redis);
  store.redis.recordStop = async (...words) => {
    if (!String(words[0]).startsWith(store.keys.jobs('slow'))) {
      refused.resolve();
      throw new Error('refused');
    }
    await held.promise;
    return record(...words);
  };
  const stopping = assert.rejects(
    store.stopper.request(
      tasks.map(({ id }) => id),
      { reason: null, by: null },
    ),
    /refused/,
  );
  await refused.promise;
  let isIdle = false;
  const idle = store.stopper.idle().then(() => (isIdle = true));
  await nextTurn();
  assert.equal(isIdle, false);
  held.resolve();
  await Promise.all([stopping, idle]);
  assert.deepEqual(await Promise.all(tasks.map(async ({ id }) => (await producer.get(id))?.state)), ['cancelled', 'queued']);
});

test('recorded stops of one queue are settled although those of another cannot be taken', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const store = fleet.store({ keyPrefix });
  const byQueue = new Map<string, string[]>();
  for (const queue of ['taken', 'refused']) {
    const { id } = await producer.enqueue(new ScriptedTask(`${queue}.task`).definition, {});
    byQueue.set(queue, [id]);
    // A job with a deduplication key does not end in the script that takes it.
    await fleet.client.hset(store.keys.jobs(queue) + id, 'stop', '{"at":1}', 'deid', 'key');
  }
  const record = store.redis.recordStop.bind(store.redis);
  store.redis.recordStop = async (...words) => {
    if (String(words[0]).startsWith(store.keys.jobs('refused'))) throw new Error('refused');
    return record(...words);
  };
  await assert.rejects(store.stopper.settleStopped(byQueue, []), /refused/);
  const states = [...byQueue.values()].flat().map(async (id) => (await producer.get(id))?.state);
  assert.deepEqual(await Promise.all(states), ['cancelled', 'stopping']);
});
