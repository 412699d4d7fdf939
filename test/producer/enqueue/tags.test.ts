import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import { taskToJson } from '../../../shared/task/view.js';
import { defineTask } from '../../../worker/index.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const TEN = Array.from({ length: 10 }, (_, index) => `t${index}`);
const tagged = defineTask({
  name: 'invoice.send',
  input: z.object({ tenant: z.number(), model: z.string().default('x') }),
  tags: ({ input, item }) => [`tenant:${input.tenant}`, `model:${input.model}`, ...(item === null ? [] : [`of:${item}`])],
  retention: KEEP,
});

test('a task has the tags of its definition and its own, each once, in lists too', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const { id } = await producer.enqueue(tagged, { tenant: 7 }, { item: 'a', tags: ['urgent', 'tenant:7'] });
  const tags = ['tenant:7', 'model:x', 'of:a', 'urgent'];
  assert.deepEqual((await producer.get(id))?.tags, tags);
  const [listed] = (await producer.list()).tasks;
  assert.deepEqual([listed?.tags, listed && taskToJson(listed)['tags']], [tags, tags]);
  const { definition: plain } = new ScriptedTask('plain.task', { tags: ['fixed'] });
  const many = await producer.enqueueMany(plain, [{ input: 1, tags: ['one'] }, { input: 2 }]);
  assert.deepEqual(await Promise.all(many.map(async (one) => (await producer.get(one))?.tags)), [['fixed', 'one'], ['fixed']]);
  // Without tags, the options of a job are as before.
  const bare = await producer.enqueue(new ScriptedTask('bare.task').definition, 1);
  assert.ok(!('tags' in JSON.parse((await fleet.client.hget(fleet.keys(keyPrefix).jobs('bare') + bare.id, 'opts')) ?? '')));
});

test('bad tags are refused, and name the field', async () => {
  const producer = fleet.producer();
  const { definition } = new ScriptedTask('any.task', { tags: ['fixed'] });
  for (const tags of [[''], ['x'.repeat(257)], ['a\nb'], [7], 'tenant:7', null, [...TEN, 'more'], TEN]) {
    await assert.rejects(
      producer.enqueue(definition, 1, { tags: tags as string[] }),
      { code: 'INVALID_OPTION', details: { field: 'tags' } },
      JSON.stringify(tags),
    );
  }
  for (const compute of [() => ['\0'], () => 'a', () => Promise.resolve([]), () => assert.fail('broken')]) {
    const { definition: failing } = new ScriptedTask('failing.task', { tags: compute as () => string[] });
    await assert.rejects(producer.enqueue(failing, 1), ({ code, details, message }) => {
      assert.deepEqual([code, details.field], ['INVALID_INPUT', 'tags']);
      return /its tags failed/.test(message);
    });
  }
  for (const tags of [[''], [...TEN, 'more'], 7])
    assert.throws(() => new ScriptedTask('bad.task', { tags: tags as string[] }), {
      code: 'INVALID_DEFINITION',
      message: /tags: expected/,
    });
  const { definition: none } = new ScriptedTask('none.task', { tags: () => null });
  assert.deepEqual((await producer.get(await producer.enqueue(none, 1)))?.tags, []);
  assert.equal((await producer.list()).tasks.length, 1, 'nothing else was added');
});

test('children, retries and debounced enqueues have the right tags', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const parent = new ScriptedTask('tree.parent');
  await fleet.worker(keyPrefix, [parent.handler], { producer });
  const { id } = await producer.enqueue(parent.definition, 1, { tags: ['tenant:7', 'batch'] });
  const call = await parent.call();
  const child = await call.context.enqueue(tagged, { tenant: 7 }, { tags: ['batch', 'child'], delay: 3_600_000 });
  assert.deepEqual((await producer.get(child.id))?.tags, ['tenant:7', 'batch', 'model:x', 'child']);
  await assert.rejects(call.context.enqueue(parent.definition, 2, { tags: TEN }), {
    code: 'INVALID_OPTION',
    message: /parent task, got 12/,
  });
  call.throws(new Error('no'));
  await until(
    () => producer.get(id),
    (task) => task?.state === 'failed',
  );
  await producer.retry(id);
  (await parent.call(1)).returns();
  assert.deepEqual((await producer.get(id))?.tags, ['tenant:7', 'batch']);
  const debounced = (tags?: string[]) =>
    producer.enqueue(tagged, { tenant: 1 }, { dedupe: { key: 'k', mode: 'debounce', withinMs: 3_600_000 }, ...(tags && { tags }) });
  const first = await debounced(['first']);
  assert.equal((await debounced(['second'])).id, first.id);
  assert.deepEqual((await producer.get(first))?.tags, ['tenant:1', 'model:x', 'second']);
});

test("scheduled tasks have the definition's tags, and a schedule of an older version has none", async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  await producer.schedules.upsert('nightly', tagged, { tenant: 3 }, { every: 3_600_000, item: 'a' });
  const [due] = await fleet.client.zrange(`${fleet.keys(keyPrefix).jobs('invoice')}delayed`, '0', '-1');
  const tags = ['tenant:3', 'model:x', 'of:a'];
  assert.deepEqual((await producer.get(due ?? ''))?.tags, tags);
  assert.deepEqual((await producer.get(await producer.schedules.runNow('nightly')))?.tags, tags);
  const { schedules } = fleet.keys(keyPrefix);
  const stored = JSON.parse((await fleet.client.hget(schedules, 'nightly')) ?? '') as Record<string, unknown>;
  for (const garbage of [undefined, 'x', ['']]) {
    await fleet.client.hset(schedules, 'nightly', JSON.stringify({ ...stored, tags: garbage }));
    assert.deepEqual((await producer.get(await producer.schedules.runNow('nightly')))?.tags, []);
  }
});

test('unreadable tags are left out, and the task says so', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const { definition } = new ScriptedTask('any.task');
  for (const tags of ['a', [1], [''], [...TEN, 'more'], { a: 1 }]) {
    const { id, queue } = await producer.enqueue(definition, 1, { item: 'kept' });
    const key = fleet.keys(keyPrefix).jobs(queue) + id;
    await fleet.client.hset(key, 'opts', JSON.stringify({ ...JSON.parse((await fleet.client.hget(key, 'opts')) ?? ''), tags }));
    const task = await producer.get(id);
    assert.deepEqual([task?.tags, task?.item], [[], 'kept'], JSON.stringify(tags));
    assert.match(task?.problem ?? '', /opts\.tags: expected a list of tags/);
  }
});
