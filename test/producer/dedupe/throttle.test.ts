import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const HOUR_MS = 3_600_000;
const THROTTLE = { dedupe: { key: 'k', mode: 'throttle', withinMs: HOUR_MS } } as const;

function setUp() {
  const keyPrefix = fleet.newPrefix();
  const task = new ScriptedTask('note.take', { retention: { ...KEEP, completed: { ageMs: 1_000, count: 0 } } });
  const producer = fleet.producer({ keyPrefix });
  const key = `${fleet.keys(keyPrefix).jobs('note')}de:note.take:k`;
  const add = (options: object = {}) => producer.enqueue(task.definition, {}, { ...THROTTLE, ...options });
  return { keyPrefix, task, producer, key, add };
}

test('a throttled task stands for its time from the enqueue, although it has ended and is no longer stored', async () => {
  const { keyPrefix, task, producer, key, add } = setUp();
  await fleet.worker(keyPrefix, [task.handler]);
  const first = await add({ item: 'a' });
  const ttl = await fleet.client.pttl(key);
  assert.ok(ttl > HOUR_MS - 60_000 && ttl <= HOUR_MS, `${ttl}`);
  (await task.call()).returns(1);
  await fleet.emptied(keyPrefix);
  assert.equal(await producer.get(first), null);
  // The item of a task that is no longer stored is unknown.
  assert.deepEqual(await add(), { ...first, item: null, duplicate: true });
  assert.ok((await fleet.client.pttl(key)) <= ttl, 'a duplicate does not extend the time');
  // For another mode, an ended task does not stand.
  const live = await add({ dedupe: { key: 'k' } });
  assert.deepEqual([live.duplicate, await fleet.client.pttl(key)], [false, -1]);
  assert.deepEqual(await add(), { ...live, duplicate: true });
  (await task.call(1)).returns(2);
  await fleet.emptied(keyPrefix);
  const third = await add();
  assert.equal(third.duplicate, false);
  await fleet.client.pexpire(key, 1);
  assert.equal((await add({ dedupe: { ...THROTTLE.dedupe, key: 'other' } })).duplicate, false);
  assert.equal((await add()).duplicate, false, 'after its time');
});

test('a stop frees the key of a throttled task in any state, and a missed stop does not', async () => {
  const { keyPrefix, task, producer, key, add } = setUp();
  const waiting = await add();
  assert.equal((await producer.stop(waiting)).outcome, 'cancelled');
  assert.equal(await fleet.client.exists(key), 0);
  const second = await add();
  assert.equal(second.duplicate, false);
  await fleet.worker(keyPrefix, [task.handler], { stopGraceMs: 60_000 });
  const call = await task.call();
  await producer.stop(second);
  const third = await add();
  assert.equal(third.duplicate, false, 'while the stopped task is still running');
  call.throws(await call.aborted);
  await assert.rejects(producer.result(second), { code: 'TASK_CANCELLED' });
  assert.equal(await fleet.client.get(key), third.id);
  (await task.call(1)).returns();
  await fleet.emptied(keyPrefix);
  assert.notEqual((await producer.stop(third)).outcome, 'cancelled');
  assert.deepEqual(await add(), { ...third, duplicate: true });
});

test('a stop that only its worker has received frees the key once the task has ended', async () => {
  const { keyPrefix, task, key, add } = setUp();
  const keys = fleet.keys(keyPrefix);
  await fleet.worker(keyPrefix, [task.handler]);
  const first = await add();
  const call = await task.call();
  await fleet.client.publish(keys.commands, JSON.stringify({ action: 'stop', task_id: first.id }));
  call.throws(await call.aborted);
  await fleet.emptied(keyPrefix);
  assert.equal(await fleet.client.exists(key), 0);
});
