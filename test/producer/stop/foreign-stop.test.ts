import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import { createKeys } from '../../../shared/keys.js';
import { defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { until } from '../../support/until.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const note = defineTask({ name: 'note.take', input: z.object({}), retention: KEEP });

/** Subscribes; `heard` resolves with the next command that other programs act on. */
async function nextForeignStop(channel: string): Promise<{ readonly heard: Promise<unknown> }> {
  const subscriber = fleet.redis.client();
  await subscriber.subscribe(channel);
  const heard = new Promise((resolve) => {
    subscriber.on('message', (_channel, message) => {
      if ('task_id' in (JSON.parse(message) as object)) resolve(null);
    });
  });
  return { heard };
}

test("the stop of a foreign task is forwarded in open-webui's format once the task was looked up", async () => {
  const keyPrefix = fleet.newPrefix();
  const keys = createKeys(keyPrefix);
  const producer = fleet.producer({ keyPrefix });
  await fleet.client.multi().hset(keys.tasks, 'theirs', 'chat-1').sadd(keys.item('chat-1'), 'theirs').exec();
  const subscriber = fleet.redis.client();
  await subscriber.subscribe(keys.commands);
  const messages: Record<string, unknown>[] = [];
  subscriber.on('message', (_channel, message) => messages.push(JSON.parse(message) as Record<string, unknown>));
  const [receipt] = await producer.stopItem('chat-1');
  await until(
    () => messages.length,
    (count) => count === 2,
  );
  const fleetId = await fleet.client.get(keys.fleet);
  assert.deepEqual(messages, [
    { action: 'stop', task_ids: ['theirs'], announced: true, fleet: fleetId },
    { action: 'stop', task_id: 'theirs', fleet: fleetId },
  ]);
  assert.deepEqual([receipt?.id, receipt?.outcome], ['theirs', 'requested']);
  assert.equal(await fleet.client.hget(keys.tasks, 'theirs'), 'chat-1', 'its owner removes it');
});

test('a task that looks foreign, because its queue is not registered yet, is stopped as ours', async () => {
  const keyPrefix = fleet.newPrefix();
  const keys = createKeys(keyPrefix);
  const producer = fleet.producer({ keyPrefix });
  const { id, queue } = await producer.enqueue(note, {});
  await fleet.client.hdel(keys.taskQueues, id);
  const { heard } = await nextForeignStop(keys.commands);
  const stopping = producer.stop(id, { waitMs: 60_000 });
  await heard;
  await fleet.client.hset(keys.taskQueues, id, queue);
  const { outcome, via } = await stopping;
  assert.deepEqual([outcome, via], ['cancelled', 'queue']);
  assert.equal((await producer.get(id))?.state, 'cancelled');
});

test('a finished task that looks foreign, because its removal was reordered, is not cancelled', async () => {
  const keyPrefix = fleet.newPrefix();
  const keys = createKeys(keyPrefix);
  const producer = fleet.producer({ keyPrefix });
  const worker = await fleet.worker(keyPrefix, [defineHandler(note, () => null)]);
  const { id } = await producer.enqueue(note, {});
  await producer.waitUntilFinished(id);
  await worker.stop();
  await fleet.client.hset(keys.tasks, id, '');
  const { heard } = await nextForeignStop(keys.commands);
  const stopping = producer.stop(id, { waitMs: 60_000 });
  await heard;
  await fleet.client.hdel(keys.tasks, id);
  const { outcome, endedAs } = await stopping;
  assert.deepEqual([outcome, endedAs], ['finished', 'completed']);
});
