import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import { shardOf } from '../../../shared/task/shards.js';
import { endOf } from '../../support/fleet/own-worker.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

describe('A paused queue', () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  it('lets the running task end, starts none until it is resumed, and settles stops and retries meanwhile', async () => {
    const task = new ScriptedTask('talk', { retention: KEEP });
    const prefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix: prefix });
    await fleet.worker(prefix, [task.handler], { concurrency: 1 });
    const first = await producer.enqueue(task.definition, {});
    const running = await task.call();
    const [second, third] = await producer.enqueueMany(task.definition, [{ input: {} }, { input: {} }]);
    assert.ok(second && third);
    await producer.queues.pause(task.definition.queue, { by: 'alice' });
    running.returns('done');
    assert.equal((await endOf(producer, first.id)).state, 'completed');
    const receipt = await producer.stop(second.id);
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'queue']);
    const again = await producer.retry(second.id);
    assert.equal(again.state, 'queued');
    assert.equal((await producer.get(second.id))?.waitingFor?.kind, 'paused');
    assert.equal(task.calls.length, 1);
    await producer.queues.resume(task.definition.queue);
    for (const index of [1, 2]) (await task.call(index)).returns('done');
    assert.deepEqual([(await endOf(producer, second.id)).state, (await endOf(producer, third.id)).state], ['completed', 'completed']);
  });

  it('stays paused for a worker that brings more shards', async () => {
    const ran: string[] = [];
    const options = { name: 'chat', input: z.object({}), retention: KEEP } as const;
    const [one, three] = [defineTask(options), defineTask({ ...options, shards: 3 })];
    const prefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix: prefix });
    await producer.enqueue(one, {});
    await producer.queues.pause('chat', { by: 'alice' });
    const ids = ['a', 'b', 'c', 'd', 'e', 'f'];
    assert.deepEqual(new Set(ids.map((id) => shardOf(three, id))).size, 3);
    await producer.enqueueMany(
      three,
      ids.map((id) => ({ id, input: {} })),
    );
    const handler = defineHandler(three, ({ id }) => {
      ran.push(id);
      return Promise.resolve();
    });
    const canary = new ScriptedTask('other', { retention: KEEP });
    await fleet.worker(prefix, [handler, canary.handler]);
    const { id } = await producer.enqueue(canary.definition, {});
    (await canary.call()).returns('done');
    await endOf(producer, id);
    assert.deepEqual(ran, []);
    const queue = (await producer.queues.list()).find(({ name }) => name === 'chat');
    assert.deepEqual([queue?.paused?.by, queue?.paused?.shards, queue?.workers.length], ['alice', queue?.shards, 1]);
    await producer.queues.resume('chat');
    await until(
      () => ran.length,
      (count) => count === 7,
    );
  });

  it('is forgotten by the reconciler once another client has resumed it', async () => {
    const prefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix: prefix });
    const task = new ScriptedTask('talk', { retention: KEEP });
    await producer.enqueue(task.definition, {});
    await producer.queues.pause(task.definition.queue, { by: 'alice' });
    await producer.store.queues.get(task.definition.queue).resume();
    await fleet.worker(prefix, [], { reconcileMs: 200 });
    await until(
      () => fleet.client.exists(producer.store.keys.pausedQueues),
      (count) => count === 0,
    );
  });
});
