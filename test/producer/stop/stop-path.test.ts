import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createKeys } from '../../../shared/keys.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { StepGate } from '../../support/task/step-gate.js';
import { until } from '../../support/until.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const NO_POLL = { stopPollMs: 3_600_000, stopGraceMs: 60_000 };

function setUp(config: Parameters<TestFleet['producer']>[0] = {}) {
  const keyPrefix = fleet.newPrefix();
  return {
    keyPrefix,
    keys: createKeys(keyPrefix),
    producer: fleet.producer({ keyPrefix, ...config }),
    task: new ScriptedTask('stop.task'),
  };
}

/** Collects the messages on the channel of stop commands. */
async function listen(channel: string) {
  const subscriber = fleet.redis.client();
  await subscriber.subscribe(channel);
  const messages: Record<string, unknown>[] = [];
  subscriber.on('message', (_channel: string, message: string) => messages.push(JSON.parse(message) as Record<string, unknown>));
  return {
    messages,
    /** Messages arrive in order, so all earlier ones have been received. */
    flush: async () => {
      await fleet.client.publish(channel, '{"end":true}');
      await until(() => messages.at(-1)?.['end'], Boolean);
      messages.pop();
      return messages;
    },
  };
}

test('a stop of up to 16 tasks is announced before it is recorded, a larger one is not', async () => {
  const { keys, producer, task } = setUp();
  for (const [count, announced] of [
    [16, [true, undefined]],
    [17, [undefined]],
  ] as const) {
    const tasks = await producer.enqueueMany(
      task.definition,
      Array.from({ length: count }, () => ({ input: {} })),
    );
    const { flush } = await listen(keys.commands);
    await producer.stop(tasks, { reason: 'enough', by: 'alice' });
    const messages = await flush();
    assert.deepEqual(
      messages.map((message) => message['announced']),
      announced,
    );
    assert.deepEqual(
      messages.map((message) => typeof message['recorded_at']),
      announced.map((early) => (early ? 'undefined' : 'number')),
    );
    for (const message of messages)
      assert.deepEqual([(message['task_ids'] as string[]).length, message['reason'], message['by']], [count, 'enough', 'alice']);
  }
});

test('an announced stop aborts the run before it is recorded, and holds even if its announcer dies', async () => {
  const { keyPrefix, keys, producer, task } = setUp();
  await fleet.worker(keyPrefix, [task.handler], NO_POLL);
  const { id } = await producer.enqueue(task.definition, {});
  const call = await task.call();
  await fleet.client.publish(
    keys.commands,
    JSON.stringify({ action: 'stop', task_id: id, reason: 'enough', by: 'alice', announced: true }),
  );
  const cause = await call.aborted;
  assert.equal(cause.message, 'Stopped by alice: enough');
  assert.equal(await fleet.client.hget(keys.jobs('stop') + id, 'stop'), null, 'the announcer of a stop records it');
  call.throws(cause);
  await assert.rejects(producer.result(id), { code: 'TASK_CANCELLED' });
  const view = await producer.get(id);
  assert.deepEqual([view?.stop?.reason, view?.stop?.by, view?.stop?.via], ['enough', 'alice', 'signal']);
});

test('a task that is not kept ends once its announced stop is recorded, or without a record after a while', async () => {
  const gate = new StepGate();
  const { keyPrefix, keys, producer } = setUp();
  const brief = new ScriptedTask('brief.task', { retention: { ...KEEP, cancelled: { ageMs: 1_000, count: 0 } } });
  await fleet.worker(keyPrefix, [brief.handler], { ...NO_POLL, onStep: gate.onStep });
  const announced = async (index: number): Promise<string> => {
    const { id } = await producer.enqueue(brief.definition, {});
    const call = await brief.call(index);
    const ended = gate.holdNext('worker:ended', id);
    await fleet.client.publish(keys.commands, JSON.stringify({ action: 'stop', task_ids: [id], announced: true }));
    call.throws(await call.aborted);
    await ended.reached;
    ended.release();
    // The worker could have settled it meanwhile.
    for (let look = 0; look < 10; look += 1) assert.equal((await producer.get(id))?.state, 'running');
    return id;
  };
  const receipt = await producer.stop(await announced(0), { reason: 'enough', waitMs: 60_000 });
  assert.deepEqual([receipt.outcome, receipt.via, receipt.reason], ['cancelled', 'signal', 'enough']);
  const orphan = await announced(1);
  await until(
    () => producer.get(orphan),
    (view) => view === null,
  );
});

test('an earlier record overrides an announcement', async () => {
  const gate = new StepGate();
  const { keyPrefix, producer, task } = setUp();
  await fleet.worker(keyPrefix, [task.handler], { ...NO_POLL, onStep: gate.onStep });
  const { id } = await producer.enqueue(task.definition, {});
  const call = await task.call();
  const ended = gate.holdNext('worker:ended', id);
  await fleet.client.publish(
    createKeys(keyPrefix).commands,
    JSON.stringify({ action: 'stop', task_id: id, reason: 'heard', announced: true }),
  );
  call.throws(await call.aborted);
  assert.equal(await ended.reached, id);
  const receipt = await producer.stop(id, { reason: 'recorded', by: 'alice' });
  assert.deepEqual([receipt.outcome, receipt.reason], ['requested', 'recorded']);
  ended.release();
  const settled = await producer.stop(id, { reason: 'third', waitMs: 60_000 });
  assert.deepEqual(
    [settled.outcome, settled.reason, settled.by, settled.requestedAt],
    ['cancelled', 'recorded', 'alice', receipt.requestedAt],
  );
  assert.equal((await producer.get(id))?.error, 'Stopped by alice: recorded');
});

test('after two concurrent stops of a running task, receipts and task name the first', async () => {
  const { keyPrefix, producer, task } = setUp();
  const other = fleet.producer({ keyPrefix });
  await other.ping();
  await fleet.worker(keyPrefix, [task.handler], NO_POLL);
  for (let round = 0; round < 60; round += 1) {
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call(round);
    void call.aborted.then((cause) => call.throws(cause));
    const receipts = await Promise.all([producer.stop(id, { reason: 'one', by: 'alice' }), other.stop(id, { reason: 'two', by: 'bob' })]);
    const view = await until(
      () => producer.get(id),
      (now) => now?.state === 'cancelled',
    );
    for (const { reason, by, requestedAt } of receipts) {
      assert.deepEqual([reason, by, requestedAt], [view?.stop?.reason, view?.stop?.by, view?.stop?.at], `round ${round}`);
    }
    assert.equal(view?.error, `Stopped by ${view?.stop?.by}: ${view?.stop?.reason}`);
  }
});

test('a stop of an item drops stale entries from the item without a receipt', async () => {
  const { keyPrefix, keys, producer, task } = setUp();
  const { id } = await producer.enqueue(task.definition, {}, { item: 'chat-1' });
  await fleet.client.sadd(keys.item('chat-1'), 'ghost', 'other-ghost');
  assert.deepEqual(
    (await producer.stopItem('chat-1', { dryRun: true })).map((receipt) => receipt.id),
    [id],
  );
  assert.equal(await fleet.client.scard(keys.item('chat-1')), 3, 'a dry run changes nothing');
  const receipts = await producer.stopItem('chat-1');
  assert.deepEqual(
    receipts.map((receipt) => [receipt.id, receipt.outcome]),
    [[id, 'cancelled']],
  );
  assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
  assert.equal(await producer.hasActiveTasks('chat-1'), false);
});

/** A worker that may not subscribe, and a stopped task running there whose stop was not received. */
async function unheard() {
  const { keyPrefix, keys, producer, task } = setUp();
  await fleet.client.acl('SETUSER', 'deaf', 'on', 'nopass', '~*', '&*', '+@all', '-subscribe');
  await fleet.worker(keyPrefix, [task.handler], { ...NO_POLL, redisUrl: fleet.redis.url.replace('redis://', 'redis://deaf:x@') });
  const { id } = await producer.enqueue(task.definition, {});
  const call = await task.call();
  assert.equal((await producer.stop(id, { reason: 'enough' })).outcome, 'requested');
  return { keys, producer, id, call };
}

test('a stop that no worker received is rechecked, and settled if the owner has died', async () => {
  const { keys, producer, id, call } = await unheard();
  await fleet.client.del(`${keys.jobs('stop')}${id}:lock`);
  const view = await until(
    () => producer.get(id),
    (task) => task?.state === 'cancelled',
  );
  assert.deepEqual([view?.stop?.via, view?.stop?.reason], ['fence', 'enough']);
  call.returns();
});

test('a stop that no worker received is published again', async () => {
  const { keys, producer, id, call } = await unheard();
  const { messages } = await listen(keys.commands);
  await until(
    () => messages.length,
    (count) => count > 0,
  );
  assert.deepEqual(
    messages.map(({ action, task_id: taskId, recorded_at: at }) => [action, taskId, typeof at]),
    [['stop', id, 'number']],
  );
  assert.equal((await producer.get(id))?.state, 'stopping');
  call.returns();
});

test('a stop of a foreign task that cannot be forwarded is an error', async () => {
  const { keyPrefix, keys } = setUp();
  await fleet.client.hset(keys.tasks, 'theirs', '');
  await fleet.client.acl('SETUSER', 'mute', 'on', 'nopass', '~*', 'resetchannels', '+@all');
  const muted = fleet.producer({ keyPrefix, redisUrl: fleet.redis.url.replace('redis://', 'redis://mute:x@') });
  await assert.rejects(muted.stop('theirs'), /NOPERM/);
});
