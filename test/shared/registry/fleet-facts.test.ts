import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';

let fleet: TestFleet;
before(async () => {
  fleet = await TestFleet.start();
});
after(() => fleet.stop());

test('all processes of a fleet share one id, and another database has another id', async () => {
  const keyPrefix = fleet.newPrefix();
  const stores = Array.from({ length: 5 }, () => fleet.store({ keyPrefix }));
  const ids = new Set(await Promise.all(stores.map(({ facts }) => facts.readId())));
  assert.deepEqual([...ids], [await fleet.client.get(fleet.keys(keyPrefix).fleet)]);
  if (fleet.redis.topology === 'cluster') return;
  const elsewhere = await fleet.store({ keyPrefix, redisUrl: `${fleet.redis.url}/1` }).facts.readId();
  assert.ok(elsewhere !== null && !ids.has(elsewhere));
});

test('facts that Redis lost are written again, unless a new process was first', async () => {
  const keyPrefix = fleet.newPrefix();
  const keys = fleet.keys(keyPrefix);
  const { facts } = fleet.store({ keyPrefix, openWebui: 'on' });
  const id = await facts.readId();
  await fleet.client.del(keys.fleet, keys.openWebui);
  await facts.refresh();
  assert.deepEqual(await fleet.client.mget(keys.fleet, keys.openWebui), [id, '1']);
  await fleet.client.set(keys.fleet, 'of a new process');
  await facts.refresh();
  assert.equal(facts.id, 'of a new process');
});

test('a process takes the mark of complete indexes from an older version, which finds no tasks by their items', async () => {
  const keyPrefix = fleet.newPrefix();
  const { findComplete, findCompleteBefore } = fleet.keys(keyPrefix);
  await fleet.client.set(findCompleteBefore, '1');
  await fleet.store({ keyPrefix }).facts.readId();
  assert.deepEqual(await fleet.client.mget(findComplete, findCompleteBefore), ['1', null]);
});

test('a fleet without a readable id still enqueues and stops', async () => {
  const keyPrefix = fleet.newPrefix();
  await fleet.client.lpush(fleet.keys(keyPrefix).fleet, 'a list');
  const task = new ScriptedTask('facts.task');
  const worker = await fleet.worker(keyPrefix, [task.handler], { stopPollMs: 3_600_000 });
  const producer = fleet.producer({ keyPrefix });
  const { id } = await producer.enqueue(task.definition, {});
  const call = await task.call();
  void call.aborted.then((cause) => call.throws(cause));
  assert.deepEqual([(await producer.stop(id, { waitMs: 60_000 })).outcome, worker.status().running], ['cancelled', []]);
});
