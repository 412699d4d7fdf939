/**
 * The contract with open-webui: the keys and the channel of its `backend/open_webui/tasks.py`, used with plain Redis commands as by an
 * open-webui process.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../producer/index.js';
import { fleetCanary } from '../../worker/builtin/definitions.js';
import type { FleetWorker } from '../../worker/index.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { until } from '../support/until.js';

const keyPrefix = 'open-webui';

describe('Under the prefix open-webui', () => {
  let fleet: TestFleet;
  let producer: Producer;
  let worker: FleetWorker;

  before(async () => {
    fleet = await TestFleet.start();
    producer = fleet.producer({ keyPrefix });
    // Without polls: only a command stops a task.
    worker = await fleet.worker(keyPrefix, [], { stopGraceMs: 60_000, stopPollMs: 3_600_000, reconcileMs: 3_600_000 });
  });
  after(() => fleet.stop());

  async function runningCanary(item: string): Promise<string> {
    const { id } = await producer.enqueue(fleetCanary, { run_ms: 60_000 }, { item });
    await until(
      () => worker.status().running,
      (ids) => ids.includes(id),
    );
    return id;
  }

  it('a task of an item is listed, and a published stop cancels it, in the first of five attempts', async () => {
    const id = await runningCanary('chat-1');
    assert.equal(await fleet.client.hget('open-webui:tasks', id), 'chat-1');
    assert.deepEqual(await fleet.client.smembers('open-webui:tasks:item:chat-1'), [id]);

    await fleet.client.publish('open-webui:tasks:commands', JSON.stringify({ action: 'stop', task_id: id }));
    await assert.rejects(producer.result(id), { code: 'TASK_CANCELLED' });

    const view = await producer.get(id);
    assert.deepEqual([view?.state, view?.attempt, view?.stop?.via, view?.stop?.reason], ['cancelled', 1, 'signal', null]);
    assert.equal(JSON.parse((await fleet.client.hget(`open-webui:bull:fleet:${id}`, 'opts')) ?? '').attempts, 5);
    await until(
      () => fleet.client.exists('open-webui:tasks', 'open-webui:tasks:item:chat-1'),
      (keys) => keys === 0,
    );
  });

  it('a task without an item is listed with an empty item, as in open-webui', async () => {
    const { id } = await producer.enqueue(fleetCanary, { run_ms: 60_000 });
    assert.equal(await fleet.client.hget('open-webui:tasks', id), '');
    await producer.stop(id, { waitMs: 60_000 });
  });

  it("the set of an item has its tasks, and open-webui's stop of each empties it", async () => {
    const ids = [
      await runningCanary('chat-2'),
      await runningCanary('chat-2'),
      (await producer.enqueue(fleetCanary, {}, { item: 'chat-2', delay: 60_000 })).id,
    ];
    const members = await fleet.client.smembers('open-webui:tasks:item:chat-2');
    assert.deepEqual(members.toSorted(), ids.toSorted());
    for (const id of members) await fleet.client.publish('open-webui:tasks:commands', JSON.stringify({ action: 'stop', task_id: id }));
    await until(
      () => fleet.client.scard('open-webui:tasks:item:chat-2'),
      (left) => left === 0,
    );
    for (const id of ids) assert.equal((await producer.get(id))?.state, 'cancelled');
  });

  it('a task registered by open-webui is listed, stopped by its own command, and left to its owner', async () => {
    // The writes of tasks.py for its own task.
    await fleet.client.multi().hset('open-webui:tasks', 'owui-task', 'chat-3').sadd('open-webui:tasks:item:chat-3', 'owui-task').exec();
    const subscriber = fleet.redis.client();
    const messages: string[] = [];
    await subscriber.subscribe('open-webui:tasks:commands');
    subscriber.on('message', (_channel: string, message: string) => messages.push(message));

    assert.deepEqual(
      (await producer.list()).tasks.map(({ id, item, queue }) => [id, item, queue]),
      [['owui-task', 'chat-3', null]],
    );
    const [receipt] = await producer.stopItem('chat-3');
    assert.equal(receipt?.outcome, 'requested');
    await until(
      () => messages,
      ({ length }) => length > 1,
    );
    // It reads `task_id` only: one message, sent after the look-up of the task.
    const named = messages.map((message) => (JSON.parse(message) as Record<string, unknown>)['task_id'] ?? null);
    assert.deepEqual(named, [null, 'owui-task']);
    assert.equal(await fleet.client.hget('open-webui:tasks', 'owui-task'), 'chat-3');

    // The owner ends the task and removes its entry.
    const stopped = producer.stop('owui-task', { waitMs: 60_000 });
    await fleet.client.multi().hdel('open-webui:tasks', 'owui-task').srem('open-webui:tasks:item:chat-3', 'owui-task').exec();
    assert.deepEqual([(await stopped).outcome, (await stopped).via], ['cancelled', 'signal']);
    subscriber.disconnect();
  });
});
