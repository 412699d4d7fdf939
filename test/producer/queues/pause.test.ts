import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import { type Producer, type QueueView, queueToJson } from '../../../producer/index.js';
import { isFleetError } from '../../../shared/errors.js';
import { defineTask } from '../../../shared/task/definition.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const input = z.object({});
const chat = defineTask({ name: 'chat.answer', queue: 'chat', input, shards: 3, retention: KEEP });

async function chatQueue(producer: Producer): Promise<QueueView> {
  const queue = (await producer.queues.list()).find(({ name }) => name === 'chat');
  assert.ok(queue);
  return queue;
}

/** Enqueues until each shard of the queue has had a task. */
async function fill(producer: Producer, count = 12): Promise<void> {
  await producer.enqueueMany(
    chat,
    Array.from({ length: count }, (_, n) => ({ id: `task-${n}`, input: {} })),
  );
}

const bullPaused = async (producer: Producer, shard: string): Promise<boolean> => producer.store.queues.get(shard).isPaused();
const SHARDS = ['chat', 'chat.shard-1', 'chat.shard-2'];

test('a queue is paused over all its shards, says by whom, when and why, and keeps the first pause', async () => {
  const producer = fleet.producer();
  await fill(producer);
  assert.equal((await chatQueue(producer)).paused, null);
  const before = producer.store.clock.now();
  const paused = await producer.queues.pause('chat', { by: 'alice', reason: 'the model is down' });
  assert.deepEqual(await Promise.all(SHARDS.map((shard) => bullPaused(producer, shard))), [true, true, true]);
  const { at, ...rest } = paused.paused as NonNullable<QueueView['paused']>;
  assert.deepEqual(rest, { by: 'alice', reason: 'the model is down', shards: SHARDS });
  assert.ok(at !== null && at.getTime() >= before && at.getTime() <= producer.store.clock.now());
  assert.equal(paused.counts.queued, 12);
  assert.deepEqual((await producer.queues.pause('chat', { by: 'bob' })).paused, paused.paused);
  assert.deepEqual((await chatQueue(producer)).paused, paused.paused);
  const json = queueToJson(paused) as { paused: unknown };
  assert.deepEqual(json.paused, { by: 'alice', at: at.toISOString(), reason: 'the model is down', shards: SHARDS });
  assert.equal((await producer.queues.resume('chat')).paused, null);
  assert.deepEqual(await Promise.all(SHARDS.map((shard) => bullPaused(producer, shard))), [false, false, false]);
  assert.equal(await fleet.client.exists(producer.store.keys.pausedQueues), 0);
});

test('a pause by another client of BullMQ has no name, and a resume there clears ours', async () => {
  const producer = fleet.producer();
  await fill(producer);
  const { queues, pauses, keys } = producer.store;
  await queues.get('chat.shard-1').pause();
  const nobody = { by: null, at: null, reason: null };
  assert.deepEqual((await chatQueue(producer)).paused, { ...nobody, shards: ['chat.shard-1'] });
  // Our pause takes the foreign one over.
  assert.deepEqual((await producer.queues.pause('chat', { by: 'alice' })).paused?.by, 'alice');
  await queues.get('chat').resume();
  assert.deepEqual((await chatQueue(producer)).paused?.shards, ['chat.shard-1', 'chat.shard-2']);
  await pauses.tend();
  assert.equal(await bullPaused(producer, 'chat'), false, 'a shard that another client resumed runs');
  for (const shard of SHARDS) await queues.get(shard).resume();
  assert.equal((await chatQueue(producer)).paused, null);
  await pauses.tend();
  assert.equal(await fleet.client.exists(keys.pausedQueues), 0);
  await queues.get('chat').pause();
  assert.deepEqual((await chatQueue(producer)).paused, { ...nobody, shards: ['chat'] });
  assert.equal((await producer.queues.resume('chat')).paused, null);
});

test('a new shard of a paused queue is paused too, and an interrupted pause is completed', async () => {
  const producer = fleet.producer();
  const { keys, pauses, redis } = producer.store;
  await producer.enqueue(defineTask({ name: 'chat.answer', queue: 'chat', input }), {});
  await producer.queues.pause('chat', { by: 'alice' });
  await fill(producer);
  await pauses.tend();
  assert.deepEqual((await chatQueue(producer)).paused?.shards, SHARDS);
  assert.deepEqual(await Promise.all(SHARDS.map((shard) => bullPaused(producer, shard))), [true, true, true]);
  await producer.queues.resume('chat');
  await redis.hset(keys.pausedQueues, 'chat', JSON.stringify({ by: 'bob', at: Date.now(), reason: null, shards: [] }));
  assert.equal((await chatQueue(producer)).paused, null);
  await pauses.tend();
  const { by, shards } = (await chatQueue(producer)).paused ?? {};
  assert.deepEqual([by, shards], ['bob', SHARDS]);
});

test('a queue that does not exist, a shard, and bad texts are refused', async () => {
  const producer = fleet.producer();
  await fill(producer);
  const refused = async (code: string, message: RegExp, call: () => Promise<unknown>): Promise<void> => {
    await assert.rejects(call, (error: unknown) => isFleetError(error) && error.code === code && message.test(error.message));
  };
  await refused('QUEUE_NOT_FOUND', /No queue "chats"/, () => producer.queues.pause('chats'));
  await refused('QUEUE_NOT_FOUND', /No queue "chats"/, () => producer.queues.resume('chats'));
  await refused('INVALID_OPTION', /"chat.shard-1" is a shard; pause or resume its queue, "chat"/, () =>
    producer.queues.pause('chat.shard-1'),
  );
  await refused('INVALID_OPTION', /Bad queue/, () => producer.queues.pause('a:b'));
  await refused('INVALID_OPTION', /Bad reason/, () => producer.queues.pause('chat', { reason: 'x'.repeat(501) }));
  await refused('INVALID_OPTION', /Bad by/, () => producer.queues.pause('chat', { by: 7 as unknown as string }));
  assert.equal((await chatQueue(producer)).paused, null);
});
