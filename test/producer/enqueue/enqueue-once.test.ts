import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import { createKeys } from '../../../shared/keys.js';
import { defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const note = defineTask({ name: 'note.take', input: z.object({ n: z.number() }), retention: KEEP });
const brief = defineTask({
  name: 'brief.take',
  input: z.object({ n: z.number() }),
  retention: { ...KEEP, completed: { ageMs: 1_000, count: 0 } },
});

/** The item of each live id, from the registry and the item sets. */
async function registered(prefix: string): Promise<{ items: Record<string, string>; sets: Record<string, string[]> }> {
  const keys = createKeys(prefix);
  const sets: Record<string, string[]> = {};
  for (const key of await fleet.client.keys(keys.item('*'))) sets[key.slice(keys.item('').length)] = await fleet.client.smembers(key);
  return { items: await fleet.client.hgetall(keys.tasks), sets };
}

test('enqueueing the same id twice adds one task, and the second call returns the first task', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const first = await producer.enqueue(note, { n: 1 }, { id: 'once', item: 'a' });
  const second = await producer.enqueue(note, { n: 2 }, { id: 'once', item: 'b' });
  assert.deepEqual(first, { id: 'once', name: 'note.take', queue: 'note', item: 'a', duplicate: false, superseded: [] });
  assert.deepEqual(second, { ...first, duplicate: true, superseded: [] });
  assert.equal(await fleet.client.llen(`${createKeys(keyPrefix).jobs('note')}wait`), 1);
  assert.deepEqual(await registered(keyPrefix), { items: { once: 'a' }, sets: { a: ['once'] } });
});

test('the same id for a task on another queue returns the first task', async () => {
  const producer = fleet.producer();
  await producer.enqueue(note, { n: 1 }, { id: 'once' });
  assert.deepEqual(await producer.enqueue(brief, { n: 1 }, { id: 'once' }), {
    id: 'once',
    name: 'note.take',
    queue: 'note',
    item: null,
    duplicate: true,
    superseded: [],
  });
});

test('twenty concurrent enqueues from two producers with different items add one task with one of the items', async () => {
  for (let round = 0; round < 10; round += 1) {
    const keyPrefix = fleet.newPrefix();
    const producers = [fleet.producer({ keyPrefix }), fleet.producer({ keyPrefix })];
    await Promise.all(producers.map((producer) => producer.ping()));
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, n) => producers[n % 2]!.enqueue(note, { n }, { id: 'once', item: `item-${n}` })),
    );
    assert.equal(answers.filter(({ duplicate }) => !duplicate).length, 1);
    const item = answers.find(({ duplicate }) => !duplicate)?.item as string;
    assert.ok(answers.every((answer) => answer.item === item));
    assert.deepEqual(await registered(keyPrefix), { items: { once: item }, sets: { [item]: ['once'] } });
    assert.equal((await producers[0]!.stop('once')).outcome, 'cancelled');
    assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
  }
});

test('the same id twice in one call adds one task', async () => {
  const keyPrefix = fleet.newPrefix();
  const answers = await fleet.producer({ keyPrefix }).enqueueMany(note, [
    { input: { n: 1 }, id: 'once', item: 'a' },
    { input: { n: 2 }, id: 'once', item: 'b' },
  ]);
  assert.deepEqual(
    answers.map(({ item, duplicate }) => [item, duplicate]),
    [
      ['a', false],
      ['a', true],
    ],
  );
  assert.deepEqual(await registered(keyPrefix), { items: { once: 'a' }, sets: { a: ['once'] } });
});

test('the id of a retained ended task starts nothing and stays out of the registry', async () => {
  const keyPrefix = fleet.newPrefix();
  const [producer, other] = [fleet.producer({ keyPrefix }), fleet.producer({ keyPrefix })];
  let runs = 0;
  await fleet.worker(keyPrefix, [defineHandler(note, () => (runs += 1))]);
  await producer.result(await producer.enqueue(note, { n: 1 }, { id: 'once', item: 'a' }));
  const again = await Promise.all([producer, other, producer].map((one) => one.enqueue(note, { n: 2 }, { id: 'once', item: 'b' })));
  assert.ok(again.every(({ duplicate, item }) => duplicate && item === 'a'));
  assert.equal((await producer.get('once'))?.state, 'completed');
  assert.deepEqual((await registered(keyPrefix)).sets['b'], undefined);
  assert.equal(runs, 1);
});

test('an id may be reused once its task is no longer stored', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const runs: number[] = [];
  await fleet.worker(keyPrefix, [defineHandler(brief, ({ input }) => runs.push(input.n))]);
  for (const n of [1, 2]) {
    const task = await producer.enqueue(brief, { n }, { id: 'again' });
    await producer.result(task).catch(() => undefined);
  }
  assert.deepEqual(runs, [1, 2]);
});

test('ids enqueued repeatedly while workers finish them leave nothing in the registry', async () => {
  const keyPrefix = fleet.newPrefix();
  const producers = [fleet.producer({ keyPrefix }), fleet.producer({ keyPrefix }), fleet.producer({ keyPrefix })];
  const worker = await fleet.worker(keyPrefix, [defineHandler(note, () => null)], { concurrency: 20 });
  const ids = Array.from({ length: 150 }, (_, n) => `id-${n}`);
  await Promise.all(ids.flatMap((id) => producers.map((producer, n) => producer.enqueue(note, { n }, { id, item: `item-${n}` }))));
  for (const id of ids) await producers[0]!.result(id);
  await worker.stop();
  assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
});
