import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { UnrecoverableError } from 'bullmq';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { ScriptedTask } from '../support/task/scripted-task.js';
import { until } from '../support/until.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

/** Null for an id that BullMQ generates, a whole number. */
const IDS = ['report for müller/42', '😀', 'x'.repeat(500), null, 'a%2Fb?c#d', ' ', 'it\'s "quoted"', '__proto__', '\u001b[31mred'];

test('finds, watches, stops and retries a plain BullMQ job with any id', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const task = new ScriptedTask('plain.work');
  await fleet.worker(keyPrefix, [task.handler]);
  const queue = producer.store.queues.get(task.definition.queue);
  for (const [index, given] of IDS.entries()) {
    const { id = '' } = await queue.add('plain.work', {}, given === null ? {} : { jobId: given });
    const call = await task.call(2 * index);
    assert.equal((await producer.get(id))?.state, 'running', id);
    await until(
      () => producer.list(),
      ({ tasks }) => tasks.some((one) => one.id === id),
    );
    const end = producer.waitUntilFinished(id);
    call.throws(new UnrecoverableError('for once'));
    assert.equal((await end).state, 'failed', id);
    assert.equal((await producer.retry(id)).id, id);
    await task.call(2 * index + 1);
    const receipt = await producer.stop(id, { waitMs: 60_000 });
    assert.deepEqual([receipt.id, receipt.outcome], [id, 'cancelled']);
    assert.equal((await producer.get(id))?.state, 'cancelled', id);
  }
});

test('finds and stops a job whose id contains colons', async () => {
  const producer = fleet.producer();
  await producer.ping();
  const { keys, redis } = producer.store;
  await redis.sadd(keys.queues, 'plain');
  await redis.hset(`${keys.jobs('plain')}a:b:c`, { name: 'x', data: '{}', opts: '{}', timestamp: Date.now() });
  await redis.lpush(`${keys.jobs('plain')}wait`, 'a:b:c');
  assert.equal((await producer.get('a:b:c'))?.state, 'queued');
  assert.equal((await producer.stop('a:b:c')).outcome, 'cancelled');
});
