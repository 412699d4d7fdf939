import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { limitIn } from '../../../shared/task/wait/waiting.js';
import { ReconcileFleet, reconciledTask } from '../../support/fleet/reconcile-fleet.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const HOUR_MS = 3_600_000;
const after1h = { dedupe: { key: 'k', mode: 'debounce', withinMs: HOUR_MS } } as const;
const soon = { dedupe: { key: 'k', mode: 'debounce', withinMs: 1 } } as const;

function setUp() {
  const keyPrefix = fleet.newPrefix();
  const task = new ScriptedTask('note.take', { retry: { attempts: 2, backoff: { type: 'fixed', delayMs: HOUR_MS } } });
  const producer = fleet.producer({ keyPrefix });
  const keys = fleet.keys(keyPrefix);
  const add = (n: number, options: object = after1h) => producer.enqueue(task.definition, { n }, options);
  return { keyPrefix, keys, jobs: keys.jobs('note'), task, producer, add };
}

test('a debounced enqueue replaces the input and options of the waiting task, and begins its time again', async () => {
  const { keyPrefix, keys, jobs, task, producer, add } = setUp();
  const first = await add(1, { ...after1h, item: 'a', id: 'mine', priority: 5 });
  assert.deepEqual([first.id, first.duplicate], ['mine', false]);
  const before = await producer.get(first);
  assert.equal(before?.state, 'scheduled');
  const dueBefore = before.nextAttemptAt?.getTime() ?? 0;
  const waited = producer.result(first);
  const deadline = new Date(Date.now() + 3 * HOUR_MS);
  const second = await add(2, { dedupe: { ...after1h.dedupe, withinMs: 2 * HOUR_MS }, item: 'b', priority: 1, deadline });
  assert.deepEqual(second, { ...first, item: 'b', duplicate: true });
  const view = await producer.get(first);
  assert.deepEqual([view?.state, view?.item, view?.enqueuedAt, view?.dedupeKey], ['scheduled', 'b', before.enqueuedAt, 'k']);
  assert.ok(Math.abs((view?.nextAttemptAt?.getTime() ?? 0) - dueBefore - HOUR_MS) < 60_000);
  // The registry follows.
  assert.deepEqual(await fleet.registrySize(keyPrefix), { ...EMPTY_REGISTRY, tasks: 1, queues: 1, live: 1, items: 1 });
  assert.deepEqual([await fleet.client.hget(keys.tasks, 'mine'), await fleet.client.smembers(keys.ownItem('b'))], ['b', ['mine']]);
  assert.deepEqual(
    (await producer.list({ item: 'b' })).tasks.map(({ id }) => id),
    ['mine'],
  );
  const stored = JSON.parse((await fleet.client.hget(`${jobs}mine`, 'opts')) ?? '') as Record<string, unknown>;
  assert.deepEqual([stored['de'], stored['deadline'], stored['priority']], [{ id: 'note.take:k' }, deadline.getTime(), 1]);
  assert.ok(stored['nonce'], "the enqueue of a caller's id is still told apart");
  // It runs once, with the last input, and who waited for it gets the result.
  await add(3, { ...soon, item: 'b' });
  await fleet.worker(keyPrefix, [task.handler]);
  const call = await task.call();
  assert.deepEqual([call.context.input, call.context.id, call.context.item], [{ n: 3 }, 'mine', 'b']);
  const next = await add(4);
  assert.equal(next.duplicate, false, 'the first task is running');
  call.returns('done');
  assert.equal(await waited, 'done');
  assert.deepEqual(await add(5), { ...next, duplicate: true });
  assert.equal(await fleet.client.hget(jobs + next.id, 'data'), '{"n":5}');
  assert.equal((await producer.stop(next)).outcome, 'cancelled');
  assert.equal((await add(6)).duplicate, false, 'after a stop');
});

test('a task that is due and waits for a slot still waits; one that waits for its retry has run', async () => {
  const { keyPrefix, jobs, task, producer, add } = setUp();
  const worker = await fleet.worker(keyPrefix, [task.handler], { concurrency: 1 });
  await producer.enqueue(task.definition, 'blocker');
  const blocker = await task.call();
  for (const [priority, list, length] of [
    [0, 'wait', 'llen'],
    [7, 'prioritized', 'zcard'],
  ] as const) {
    const first = await add(1, { ...soon, priority });
    // A worker with a free slot would promote it.
    await fleet.client.zrem(`${jobs}delayed`, first.id);
    await (list === 'wait' ? fleet.client.lpush(jobs + list, first.id) : fleet.client.zadd(jobs + list, 1, first.id));
    assert.deepEqual(await add(2, { ...after1h, priority }), { ...first, duplicate: true });
    assert.deepEqual([await fleet.client[length](jobs + list), (await producer.get(first))?.state], [0, 'scheduled']);
    await producer.stop(first);
  }
  const first = await add(1, soon);
  blocker.returns();
  (await task.call(1)).throws(new Error('once'));
  await until(
    async () => (await producer.get(first))?.state,
    (state) => state === 'retrying',
  );
  const second = await add(2);
  assert.equal(second.duplicate, false);
  await worker.stop();
  await producer.stop(first);
  assert.deepEqual(await add(3), { ...second, duplicate: true });
});

test('a throttled task and a live one that still wait are replaced too, and a lost job is restored at its new time', async () => {
  const { jobs, producer, task, add } = setUp();
  for (const dedupe of [{ key: 'k', mode: 'throttle', withinMs: 60_000 }, { key: 'k' }] as const) {
    const first = await producer.enqueue(task.definition, { n: 0 }, { dedupe });
    assert.deepEqual(await add(1), { ...first, duplicate: true });
    assert.equal(await fleet.client.pttl(`${jobs}de:note.take:k`), -1);
    await producer.stop(first);
  }
  const lost = new ReconcileFleet(fleet);
  const { id } = await lost.producer.enqueue(reconciledTask, {}, after1h);
  await fleet.client.hincrby(lost.jobs + id, 'timestamp', -10 * HOUR_MS);
  await lost.producer.enqueue(reconciledTask, {}, after1h);
  const due = (await lost.producer.get(id))?.nextAttemptAt?.getTime() ?? 0;
  await fleet.client.zrem(`${lost.jobs}delayed`, id);
  assert.equal((await lost.run()).restored, 1);
  assert.ok(Math.abs(((await lost.producer.get(id))?.nextAttemptAt?.getTime() ?? 0) - due) < 10);
});

test('a debounced task in line for its limits leaves the line, and lines up again for the key of its new input', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const task = new ScriptedTask('note.take', { concurrency: { by: ({ input }) => (input as { chat: string }).chat, limit: 1 } });
  await fleet.worker(keyPrefix, [task.handler], { concurrency: 4 });
  const blockers = ['a', 'b'].map((chat) => producer.enqueue(task.definition, { chat }));
  const calls = [await task.call(0), await task.call(1)];
  await Promise.all(blockers);
  const add = (chat: string, withinMs: number) =>
    producer.enqueue(task.definition, { chat }, { dedupe: { key: 'k', mode: 'debounce', withinMs } });
  const first = await add('a', 1);
  const inLine = (key: string) =>
    until(
      async () => limitIn((await producer.get(first))?.waitingFor ?? null)?.key,
      (found) => found === key,
    );
  await inLine('a');
  assert.deepEqual(await add('b', HOUR_MS), { ...first, duplicate: true });
  assert.deepEqual([(await producer.get(first))?.state, (await producer.get(first))?.waitingFor], ['scheduled', null]);
  calls.find(({ context }) => (context.input as { chat: string }).chat === 'a')?.returns();
  assert.deepEqual(await add('b', 1), { ...first, duplicate: true });
  await inLine('b');
  calls.find(({ context }) => (context.input as { chat: string }).chat === 'b')?.returns();
  const call = await task.call(2);
  assert.deepEqual([call.context.id, call.context.input], [first.id, { chat: 'b' }]);
  call.returns('last');
  assert.equal(await producer.result(first), 'last');
  await fleet.emptied(keyPrefix);
  assert.equal(await fleet.client.hlen(fleet.keys(keyPrefix).limiter('tasks')), 0);
});
