import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { BulkProgress, Producer, StopReceipt } from '../../../producer/index.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const HOUR_MS = 3_600_000;

async function states(producer: Producer, ids: readonly string[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const id of ids) {
    const state = (await producer.get(id))?.state ?? 'gone';
    counts[state] = (counts[state] ?? 0) + 1;
  }
  return counts;
}

async function add(producer: Producer, task: ScriptedTask, many: number, options: object = {}): Promise<string[]> {
  const added = await producer.enqueueMany(
    task.definition,
    Array.from({ length: many }, () => ({ input: 1, ...options })),
  );
  return added.map(({ id }) => id);
}

test('stops every task that matches, in any live state, and no other', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const task = new ScriptedTask('invoice.send');
  const mine = await add(producer, task, 1_100, { tags: ['tenant:7'] });
  const delayed = await add(producer, task, 5, { tags: ['tenant:7', 'other'], delay: HOUR_MS });
  const others = [...(await add(producer, task, 20, { tags: ['tenant:8'] })), ...(await add(producer, task, 5))];
  const preview = await producer.stopWhere({ tag: 'tenant:7' }, { dryRun: true });
  assert.deepEqual([preview.matched, preview.complete, preview.first.length, preview.receipts], [1_105, true, 10, []]);
  assert.deepEqual(await states(producer, [...mine.slice(0, 3), ...delayed]), { queued: 3, scheduled: 5 }, 'a dry run changes nothing');
  const seen: BulkProgress<StopReceipt>[] = [];
  const { matched, outcomes, receipts } = await producer.stopWhere(
    { tag: 'tenant:7' },
    { reason: 'left', by: 'bob', onProgress: (progress) => seen.push(progress) },
  );
  assert.deepEqual([matched, outcomes], [1_105, { cancelled: 1_105, requested: 0, finished: 0, not_found: 0 }]);
  assert.deepEqual(new Set(receipts.map(({ id }) => id)), new Set([...mine, ...delayed]));
  assert.ok(receipts.every(({ outcome, by, reason }) => outcome === 'cancelled' && by === 'bob' && reason === 'left'));
  assert.deepEqual([seen[0]?.total, seen[0]?.done, seen.at(-1)?.done], [1_105, 0, 1_105]);
  assert.ok(seen.length >= 4, 'in pages');
  assert.deepEqual(await states(producer, others), { queued: 25 });
  assert.equal((await producer.stopWhere({ tag: 'tenant:7' })).matched, 0, 'a repetition finds none');
});

test('stops running tasks, and leaves out tasks enqueued meanwhile', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const task = new ScriptedTask('chat.answer');
  await fleet.worker(keyPrefix, [task.handler], { concurrency: 2 });
  await add(producer, task, 600, { item: 'a' });
  const calls = [await task.call(0), await task.call(1)];
  for (const call of calls) void call.aborted.then(() => call.returns());
  let later: string[] = [];
  const { outcomes } = await producer.stopWhere(
    { name: 'chat.*', item: 'a' },
    {
      onProgress: ({ done }) => {
        if (done === 0) void add(producer, task, 1, { item: 'a', delay: HOUR_MS }).then((added) => (later = added));
      },
    },
  );
  assert.deepEqual([outcomes['cancelled'], outcomes['requested']], [598, 2]);
  await until(
    () => producer.count({ state: 'cancelled', item: 'a' }),
    ({ count }) => count === 600,
  );
  assert.deepEqual(await states(producer, later), { scheduled: 1 });
});

test('an abort ends it between two pages, and a repetition does the rest', async () => {
  const producer = fleet.producer();
  const task = new ScriptedTask('report.write');
  const ids = await add(producer, task, 1_200);
  const aborting = new AbortController();
  let done = 0;
  const stopping = producer.stopWhere(
    { name: 'report.write' },
    {
      signal: aborting.signal,
      onProgress: (progress) => {
        done = progress.done;
        if (done > 0) aborting.abort(new Error('enough'));
      },
    },
  );
  await assert.rejects(stopping, { message: 'enough' });
  assert.ok(done > 0 && done < 1_200, `${done}`);
  assert.equal((await producer.list({ state: 'cancelled', limit: 1_000 })).tasks.length, done);
  const rest = await producer.stopWhere({ name: 'report.write' });
  assert.deepEqual([rest.matched, rest.outcomes['cancelled']], [1_200 - done, 1_200 - done]);
  assert.deepEqual(await states(producer, ids.slice(0, 50)), { cancelled: 50 });
});

test('a filter without a condition needs all, and states must be live', async () => {
  const producer = fleet.producer();
  const task = new ScriptedTask('any.task');
  await add(producer, task, 3);
  for (const filter of [{}, { state: 'live' }, { order: 'oldest' }, { tag: [] }, { state: ['live', 'all'] }] as const)
    await assert.rejects(producer.stopWhere(filter), { code: 'INVALID_OPTION', details: { field: 'filter' } }, JSON.stringify(filter));
  for (const state of ['failed', 'ended', 'all', ['queued', 'completed']] as const)
    await assert.rejects(producer.stopWhere({ state, name: 'any.task' }), { code: 'INVALID_OPTION', details: { field: 'state' } });
  for (const filter of [null, 'tenant:7', [], 7]) await assert.rejects(producer.stopWhere(filter as never), { code: 'INVALID_OPTION' });
  await assert.rejects(producer.stopWhere({ name: 'any.task' }, { reason: 'x'.repeat(501) }), { code: 'INVALID_OPTION' });
  await assert.rejects(producer.stopWhere({ name: 'any.task' }, { signal: 5 as never }), { details: { field: 'signal' } });
  assert.equal((await producer.list()).tasks.length, 3, 'no task was stopped');
  assert.equal((await producer.stopWhere({ state: 'running', name: 'any.task' })).matched, 0);
  assert.equal((await producer.stopWhere({ state: 'queued' })).matched, 3);
  await add(producer, task, 2);
  assert.equal((await producer.stopWhere({}, { all: true })).matched, 2);
});

test('selects by age, and only tasks that the caller may see', async () => {
  const producer = fleet.producer();
  const task = new ScriptedTask('any.task');
  await add(producer, task, 2, { item: 'chat:1' });
  await add(producer, task, 3, { item: 'room:1' });
  await add(producer, task, 1);
  assert.equal((await producer.stopWhere({ name: 'any.task', olderThanMs: HOUR_MS })).matched, 0);
  const preview = await producer.stopWhere({ name: 'any.task' }, { dryRun: true, visibleItems: ['chat:*'] });
  assert.deepEqual([preview.matched, new Set(preview.first.map(({ item }) => item))], [2, new Set(['chat:1'])]);
  assert.equal((await producer.stopWhere({ name: 'any.task' }, { visibleItems: ['chat:*'] })).matched, 2);
  assert.deepEqual((await producer.list()).tasks.map(({ item }) => String(item)).toSorted(), ['null', 'room:1', 'room:1', 'room:1']);
});
