import assert from 'node:assert/strict';
import { after, afterEach, test } from 'node:test';
import { Queue } from 'bullmq';
import { z } from 'zod';
import { defineTask } from '../../../shared/task/definition.js';
import { ReconcileFleet, reconciledTask } from '../../support/fleet/reconcile-fleet.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());
const queues: Queue[] = [];
afterEach(() => Promise.all(queues.splice(0).map((queue) => queue.close())));

const note = defineTask({ name: 'note.take', input: z.unknown(), retention: KEEP });
const other = defineTask({ name: 'note.make', input: z.unknown(), retention: KEEP });
const KEY = 'doc {7}: é';
const LIVE = { dedupe: { key: KEY } } as const;

function setUp() {
  const keyPrefix = fleet.newPrefix();
  const keys = fleet.keys(keyPrefix);
  const jobs = keys.jobs('note');
  const holder = (name = 'note.take'): Promise<string | null> => fleet.client.get(`${jobs}de:${name}:${KEY}`);
  return { keyPrefix, keys, jobs, holder, producer: fleet.producer({ keyPrefix }) };
}

const byText = (a: string, b: string): number => a.localeCompare(b);

test('while a task is live, an enqueue with its key returns it and leaves no trace', async () => {
  const { keyPrefix, jobs, holder, keys, producer } = setUp();
  const first = await producer.enqueue(note, { n: 1 }, { ...LIVE, item: 'a' });
  assert.equal(first.duplicate, false);
  assert.deepEqual(await producer.enqueue(note, { n: 2 }, { ...LIVE, item: 'b', delay: 60_000 }), { ...first, duplicate: true });
  assert.deepEqual(await fleet.registrySize(keyPrefix), { ...EMPTY_REGISTRY, tasks: 1, queues: 1, live: 1, items: 1 });
  assert.equal(await holder(), first.id);
  // A key belongs to its definition.
  const made = await producer.enqueue(other, {}, LIVE);
  assert.deepEqual([made.duplicate, await holder('note.make')], [false, made.id]);
  // A task without a key, or with another one, does not count.
  assert.equal((await producer.enqueue(note, {})).duplicate, false);
  assert.equal((await producer.enqueue(note, {}, { dedupe: { key: 'doc 8', mode: 'while-live' } })).duplicate, false);
  assert.equal(await fleet.client.llen(`${jobs}wait`), 4);
  const views = (await producer.list()).tasks.map(({ dedupeKey }) => dedupeKey);
  assert.deepEqual(views.map(String).toSorted(byText), [KEY, KEY, 'doc 8', 'null'].toSorted(byText));
  assert.equal((await producer.get(first))?.dedupeKey, KEY);
  const queue = new Queue('note', { connection: fleet.redis.client(), prefix: keys.bull('note') });
  queues.push(queue);
  const job = await queue.getJob(first.id);
  assert.deepEqual([job?.deduplicationId, job?.opts.deduplication], [`note.take:${KEY}`, { id: `note.take:${KEY}` }]);
  await queue.remove(first.id);
  assert.equal((await producer.enqueue(note, {}, LIVE)).duplicate, false, 'after the task was removed on the board');
});

test('a running, retrying or delayed task is live; a completed or failed one is not', async () => {
  const { keyPrefix, holder, producer } = setUp();
  const retry = { attempts: 2, backoff: { type: 'fixed', delayMs: 60_000, jitter: 0 } } as const;
  const task = new ScriptedTask('note.take', { retry, retention: { ...KEEP, completed: { ageMs: 1_000, count: 0 } } });
  const add = () => producer.enqueue(task.definition, {}, LIVE);
  await fleet.worker(keyPrefix, [task.handler], { concurrency: 1 });
  const first = await add();
  const call = await task.call();
  assert.deepEqual(await add(), { ...first, duplicate: true });
  call.throws(new Error('once'));
  await until(
    async () => (await producer.get(first))?.state,
    (state) => state === 'retrying',
  );
  assert.deepEqual(await add(), { ...first, duplicate: true });
  assert.equal((await producer.stop(first)).outcome, 'cancelled');
  const second = await add();
  assert.equal(second.duplicate, false);
  (await task.call(1)).returns(2);
  await fleet.emptied(keyPrefix);
  const third = await add();
  assert.equal(third.duplicate, false, 'a completed task without retention');
  const final = Object.assign(new Error('for good'), { name: 'UnrecoverableError' });
  (await task.call(2)).throws(final);
  await assert.rejects(producer.result(third), { code: 'TASK_FAILED' });
  assert.equal(await holder(), null);
  const delayed = await producer.enqueue(task.definition, {}, { ...LIVE, delay: 60_000 });
  assert.equal(delayed.duplicate, false);
  assert.deepEqual(await add(), { ...delayed, duplicate: true });
});

test('the record of a stop frees the key of a running task, whose end leaves the next task its key', async () => {
  const { keyPrefix, holder, producer } = setUp();
  const task = new ScriptedTask('note.take');
  const add = () => producer.enqueue(task.definition, {}, LIVE);
  await fleet.worker(keyPrefix, [task.handler], { stopGraceMs: 60_000 });
  const first = await add();
  const call = await task.call();
  assert.equal((await producer.stop(first)).outcome, 'requested');
  assert.equal((await producer.get(first))?.state, 'stopping');
  const second = await add();
  assert.equal(second.duplicate, false);
  call.throws(await call.aborted);
  await assert.rejects(producer.result(first), { code: 'TASK_CANCELLED' });
  assert.equal(await holder(), second.id);
  assert.deepEqual(await add(), { ...second, duplicate: true });
});

test('a stopped task of a dead worker has freed its key before it is settled, and a lost key comes back', async () => {
  const lost = new ReconcileFleet(fleet);
  const { producer, jobs } = lost;
  const [key, add] = [`${jobs}de:rec.task:k`, () => producer.enqueue(reconciledTask, {}, { dedupe: { key: 'k' } })];
  const first = await add();
  await lost.worker('dead', { alive: false });
  await lost.activate(first.id, { worker: 'dead', locked: true });
  assert.equal((await producer.stop(first)).outcome, 'requested');
  const second = await add();
  assert.equal(second.duplicate, false);
  await lost.run();
  assert.equal((await producer.get(first))?.state, 'cancelled');
  assert.equal(await fleet.client.get(key), second.id);

  await fleet.client.del(key);
  await lost.run();
  assert.equal(await fleet.client.get(key), second.id, 'the reconciler restored the key');
  assert.deepEqual(await add(), { ...second, duplicate: true });
  // A key that has outlived its task, as after a partly restored backup.
  await producer.stop(second);
  await fleet.client.set(key, second.id);
  await lost.run();
  const third = await add();
  assert.deepEqual([third.duplicate, await fleet.client.get(key)], [false, third.id]);
  await fleet.client.del(jobs + third.id);
  assert.equal((await add()).duplicate, false, 'the job is gone');
});

test('a retried task takes its key again, unless another task has it', async () => {
  const { holder, producer } = setUp();
  const add = () => producer.enqueue(note, {}, LIVE);
  const first = await add();
  await producer.stop(first);
  assert.equal(await holder(), null);
  await producer.retry(first);
  assert.deepEqual([await holder(), await add()], [first.id, { ...first, duplicate: true }]);
  await producer.stop(first);
  const second = await add();
  await producer.retry(first);
  assert.deepEqual([await holder(), (await producer.get(first))?.state], [second.id, 'queued']);
  await producer.stop(first);
  assert.equal(await holder(), second.id);
});
