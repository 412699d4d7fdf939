import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Producer } from '../../../producer/index.js';
import { TaskRetry } from '../../../shared/retry/task-retry.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

/** Enqueues tasks that fail at once, and others that are stopped. */
async function failing(many: number) {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const task = new ScriptedTask('invoice.send');
  const worker = await fleet.worker(keyPrefix, [task.handler], { concurrency: 100 });
  const added = await producer.enqueueMany(
    task.definition,
    Array.from({ length: many }, (_, n) => ({ input: n, tags: [n % 2 === 0 ? 'even' : 'odd'] })),
  );
  // Calls may come in another order than the tasks.
  const errorOf = (input: unknown): Error => new Error(Number(input) % 3 === 0 ? 'timeout of bank' : 'no');
  for (let n = 0; n < many; n += 1) void task.call(n).then((call) => call.throws(errorOf(call.context.input)));
  await until(
    () => producer.count({ state: 'failed' }),
    ({ count }) => count === many,
  );
  await worker.stop();
  return { keyPrefix, producer, task, ids: added.map(({ id }) => id) };
}

const stateOf = async (producer: Producer, id: string) => (await producer.get(id))?.state;

test('retries every failed task that matches once, and no other', async () => {
  const { producer, ids } = await failing(60);
  const [stopped] = await producer.enqueueMany(new ScriptedTask('invoice.send').definition, [{ input: 1, tags: ['even'] }]);
  await producer.stop(stopped?.id as string);
  const preview = await producer.retryWhere(
    { name: 'invoice.send', tag: 'even', finishedAfter: new Date(Date.now() - 3_600_000) },
    { dryRun: true },
  );
  assert.deepEqual([preview.matched, preview.first.length, preview.first[0]?.state], [30, 10, 'failed']);
  const { matched, outcomes, receipts } = await producer.retryWhere({ name: 'invoice.send', tag: 'even' });
  assert.deepEqual([matched, outcomes], [30, { retried: 30, not_retryable: 0, not_found: 0 }]);
  assert.deepEqual(receipts.map(({ id }) => id).toSorted(), ids.filter((_, n) => n % 2 === 0).toSorted());
  assert.deepEqual(await Promise.all(ids.slice(0, 4).map((id) => stateOf(producer, id))), ['queued', 'failed', 'queued', 'failed']);
  assert.equal(await stateOf(producer, stopped?.id as string), 'cancelled', 'cancelled tasks need their state');
  assert.equal((await producer.retryWhere({ state: 'cancelled' })).matched, 1);
  assert.equal((await producer.retryWhere({ error: 'TIMEOUT OF BANK' })).matched, 10, 'odd multiples of three');
  for (const state of ['live', 'completed', 'all', ['failed', 'running']] as const)
    await assert.rejects(producer.retryWhere({ state, name: 'x' }), { code: 'INVALID_OPTION', details: { field: 'state' } });
  await assert.rejects(producer.retryWhere({}), { code: 'INVALID_OPTION', message: /would retry every failed task/ });
});

test('a batch retries a task once, even if it has failed again', async () => {
  const { keyPrefix, producer, task, ids } = await failing(3);
  const retry = new TaskRetry(fleet.store({ keyPrefix }), new LogLines().loggers('producer'));
  const [first = '', second = '', third = ''] = ids;
  const live = (await producer.enqueue(task.definition, 9)).id;
  const outcomes = async (batch: string, ...some: string[]) =>
    (await retry.retryEach(some, batch)).map(({ id, outcome, state }) => [id, outcome, state]);
  assert.deepEqual(await outcomes('b1', first, 'nobody', live, first), [
    [first, 'retried', null],
    ['nobody', 'not_found', null],
    [live, 'not_retryable', 'queued'],
    [first, 'retried', null],
  ]);
  // A repetition, as after a crash, does not retry it again: neither while it is live, nor when it has failed again.
  assert.deepEqual(await outcomes('b1', first, second), [
    [first, 'retried', null],
    [second, 'retried', null],
  ]);
  await fleet.worker(keyPrefix, [task.handler]);
  for (let n = 3; n < 6; n += 1) (await task.call(n)).throws(new Error('again'));
  await until(
    () => producer.count({ state: 'failed' }),
    ({ count }) => count === 4,
  );
  assert.deepEqual(await outcomes('b1', first, second, third), [
    [first, 'retried', null],
    [second, 'retried', null],
    [third, 'retried', null],
  ]);
  assert.deepEqual([task.calls.length, (await task.call(6)).context.id], [7, third], 'only the third ran again');
  assert.deepEqual(await outcomes('b2', first), [[first, 'retried', null]], 'another batch may');
  assert.equal((await task.call(7)).context.id, first);
});
