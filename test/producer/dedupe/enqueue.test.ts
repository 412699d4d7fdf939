import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import type { EnqueueOptions, EnqueuedTask, Producer } from '../../../producer/index.js';
import { isFleetError } from '../../../shared/errors.js';
import { defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import { shardOf } from '../../../shared/task/shards.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const HOUR_MS = 3_600_000;
const note = defineTask({ name: 'note.take', input: z.unknown(), retention: KEEP });
const LIVE = { dedupe: { key: 'k' } } as const;
const MODES = [
  LIVE,
  { dedupe: { key: 'k', mode: 'throttle', withinMs: HOUR_MS } },
  { dedupe: { key: 'k', mode: 'debounce', withinMs: HOUR_MS } },
] as const;
const ONE_TASK = { ...EMPTY_REGISTRY, tasks: 1, queues: 1, live: 1 };

function setUp(count = 1) {
  const keyPrefix = fleet.newPrefix();
  const producers = Array.from({ length: count }, () => fleet.producer({ keyPrefix }));
  return { keyPrefix, keys: fleet.keys(keyPrefix), producers, producer: producers[0] as Producer };
}

/** The number of tasks that the metrics count as enqueued. */
async function enqueuedCount(producer: Producer): Promise<number> {
  await producer.store.counters.close();
  const counts = await fleet.client.hgetall(producer.store.keys.counters);
  return Object.entries(counts).reduce((sum, [field, value]) => sum + (/enqueued/.test(field) ? Number(value) : 0), 0);
}

for (const options of MODES) {
  test(`fifty concurrent enqueues of five producers add one task: ${'mode' in options.dedupe ? options.dedupe.mode : 'while-live'}`, async () => {
    const { keyPrefix, keys, producers, producer } = setUp(5);
    await Promise.all(producers.map((one) => one.ping()));
    for (let round = 0; round < 4; round += 1) {
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, n) => (producers[n % 5] as Producer).enqueue(note, { n }, { ...options, item: 'chat-1' })),
      );
      const [added, ...others] = answers.filter(({ duplicate }) => !duplicate);
      assert.deepEqual([others, new Set(answers.map(({ id }) => id))], [[], new Set([added?.id])]);
      assert.deepEqual(await fleet.registrySize(keyPrefix), { ...ONE_TASK, items: 1 });
      assert.deepEqual(await fleet.client.smembers(keys.ownItem('chat-1')), [added?.id]);
      await producer.stop(added as EnqueuedTask);
      assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
    }
    const counts = await Promise.all(producers.map((one) => enqueuedCount(one)));
    assert.equal(Math.max(...counts), 4);
  });
}

test('tasks of one call with the same key are one task, and a debounced one has the last input', async () => {
  const { keyPrefix, keys, producer } = setUp();
  const ids = await producer.enqueueMany(
    note,
    Array.from({ length: 200 }, (_, n) => ({ input: { n }, dedupe: MODES[2].dedupe })),
  );
  const [first] = ids as [EnqueuedTask];
  assert.deepEqual(
    ids.filter(({ duplicate }) => !duplicate),
    [first],
  );
  assert.ok(ids.every(({ id }) => id === first.id));
  assert.equal(await fleet.client.hget(keys.jobs('note') + first.id, 'data'), '{"n":199}');
  assert.deepEqual(await fleet.registrySize(keyPrefix), ONE_TASK);
});

test("a caller's id comes first: its task is returned, whatever holds the key", async () => {
  const { keyPrefix, producer } = setUp();
  const first = await producer.enqueue(note, {}, { ...LIVE, id: 'one' });
  assert.deepEqual(await producer.enqueue(note, {}, { ...LIVE, id: 'two', item: 'a' }), { ...first, duplicate: true });
  assert.deepEqual(await fleet.registrySize(keyPrefix), ONE_TASK);
  const other = await producer.enqueue(note, {}, { id: 'two', dedupe: { key: 'other' } });
  assert.equal(other.duplicate, false);
  assert.deepEqual(await producer.enqueue(note, {}, { ...LIVE, id: 'two' }), { ...other, duplicate: true });
  const { producers } = setUp(2);
  for (let round = 0; round < 10; round += 1) {
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        (producers[n % 2] as Producer).enqueue(
          note,
          {},
          { dedupe: { key: `${round}` }, id: n % 3 === 0 ? undefined : `${round}-${n % 3}` },
        ),
      ),
    );
    assert.deepEqual([answers.filter(({ duplicate }) => !duplicate).length, new Set(answers.map(({ id }) => id)).size], [1, 1]);
    await (producers[0] as Producer).stop(answers[0] as EnqueuedTask);
  }
});

test('a duplicate is neither refused for its busy item nor stops the task that stands', async () => {
  const { producer } = setUp();
  const first = await producer.enqueue(note, {}, { ...LIVE, item: 'chat-1', onBusy: 'reject' });
  for (const onBusy of ['reject', 'stop-previous'] as const) {
    assert.deepEqual(await producer.enqueue(note, {}, { ...LIVE, item: 'chat-1', onBusy }), { ...first, duplicate: true });
    assert.equal((await producer.get(first))?.state, 'queued');
  }
  const busy: EnqueueOptions = { dedupe: { key: 'other' }, item: 'chat-1', onBusy: 'reject' };
  await assert.rejects(producer.enqueue(note, {}, busy), { code: 'ITEM_BUSY' });
  const next = await producer.enqueue(note, {}, { ...busy, onBusy: 'stop-previous' });
  assert.deepEqual([next.duplicate, next.superseded], [false, [first.id]]);
  assert.equal((await producer.enqueue(note, {}, { ...LIVE, item: 'chat-2' })).duplicate, false);
});

test('a task of a sharded definition is on the shard of its key', async () => {
  const { producer } = setUp();
  const sharded = defineTask({ name: 'load.run', input: z.unknown(), shards: 8, retention: KEEP });
  for (let n = 0; n < 8; n += 1) {
    const options = { dedupe: { key: `k${n}` } };
    const first = await producer.enqueue(sharded, {}, options);
    assert.equal(first.queue, shardOf(sharded, `load.run:k${n}`));
    assert.deepEqual(await producer.enqueue(sharded, {}, { ...options, id: `mine-${n}` }), { ...first, duplicate: true });
    assert.equal((await producer.get(first))?.dedupeKey, `k${n}`);
    await producer.stop(first);
    assert.equal((await producer.enqueue(sharded, {}, options)).duplicate, false);
  }
});

test('a handler deduplicates its children; a duplicate of another parent is not its child', async () => {
  const { keyPrefix, keys, producer } = setUp();
  const childTask = defineTask({ name: 'other.child', input: z.unknown(), retention: KEEP });
  const parent = defineTask({ name: 'note.parent', input: z.unknown(), retention: KEEP });
  const handler = defineHandler(parent, async (context) => {
    const added = await context.enqueue(childTask, {}, LIVE);
    const debounced = context.enqueue(childTask, {}, MODES[2]);
    const refusal = await debounced.then(
      () => null,
      (error: unknown) => (isFleetError(error) ? [error.code, error.details['field']] : error),
    );
    return { id: added.id, duplicate: added.duplicate, children: await fleet.client.smembers(keys.children(context.id)), refusal };
  });
  await fleet.worker(keyPrefix, [handler], { producer });
  const run = async () => (await producer.result(await producer.enqueue(parent, {}, { item: 'chat-1' }))) as { id: string };
  const first = await run();
  const refusal = ['INVALID_OPTION', 'dedupe.mode'];
  assert.deepEqual(first, { id: first.id, duplicate: false, children: [first.id], refusal });
  assert.deepEqual(await run(), { id: first.id, duplicate: true, children: [], refusal });
});

test('a duplicate takes no place of a limit, and is not refused for a taken one', async () => {
  const { keyPrefix, keys, producers, producer } = setUp(3);
  const limited = defineTask({ name: 'note.limited', input: z.unknown(), concurrency: { by: 'item', limit: 1 }, retention: KEEP });
  const options = { ...LIVE, item: 'chat-1' };
  const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => (producers[n % 3] as Producer).enqueue(limited, { n }, options)));
  const added = answers.find(({ duplicate }) => !duplicate) as EnqueuedTask;
  assert.deepEqual([new Set(answers.map(({ id }) => id)).size, answers.filter(({ duplicate }) => !duplicate).length], [1, 1]);
  const records = (): Promise<string[]> => fleet.client.hkeys(keys.limiter('tasks'));
  assert.deepEqual(await records(), [added.id]);
  for (const whenBusy of ['reject', 'stop-previous', 'replace-waiting'] as const)
    assert.deepEqual(await producer.enqueue(limited, {}, { ...options, whenBusy }), { ...added, duplicate: true });
  assert.equal((await producer.get(added))?.state, 'queued');
  await producer.stop(added);
  assert.deepEqual(await records(), []);
  assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
});

test("a definition's deduplication applies to enqueues without one of their own, not to schedules", async () => {
  const { keyPrefix, producer } = setUp();
  const byItem = defineTask({ name: 'note.item', input: z.unknown(), dedupe: { by: 'item' }, retention: KEEP });
  const byInput = defineTask({
    name: 'note.input',
    input: z.object({ doc: z.string().nullable().default('none') }),
    dedupe: { by: ({ input }) => input.doc, mode: 'throttle', withinMs: HOUR_MS },
    retention: KEEP,
  });
  const first = await producer.enqueue(byItem, {}, { item: 'a' });
  assert.equal((await producer.get(first))?.dedupeKey, 'a');
  assert.deepEqual(await producer.enqueue(byItem, {}, { item: 'a' }), { ...first, duplicate: true });
  for (const options of [{}, { item: 'b' }, { item: 'a', dedupe: null }, { item: 'a', ...LIVE }])
    assert.equal((await producer.enqueue(byItem, {}, options)).duplicate, false, JSON.stringify(options));
  const [none, again, other, keyless] = await producer.enqueueMany(byInput, [
    { input: {} },
    { input: { doc: 'none' } },
    { input: { doc: 'x' } },
    { input: { doc: null } },
  ]);
  assert.deepEqual([none?.id === again?.id, again?.duplicate, other?.duplicate, keyless?.duplicate], [true, true, false, false]);
  await producer.schedules.upsert('s', byItem, {}, { every: HOUR_MS, item: 'a' });
  const run = await producer.schedules.runNow('s');
  assert.deepEqual([run.duplicate, (await producer.get(run))?.dedupeKey], [false, null]);
  const failing = defineTask({
    name: 'note.failing',
    input: z.unknown(),
    dedupe: {
      by: () => {
        throw new Error('no key');
      },
    },
  });
  await assert.rejects(producer.enqueue(failing, {}), {
    code: 'INVALID_INPUT',
    message: 'Bad input for note.failing: dedupe.by failed (no key).',
  });
  const bad = defineTask({ name: 'note.bad', input: z.unknown(), dedupe: { by: () => '' } });
  await assert.rejects(producer.enqueue(bad, {}), { code: 'INVALID_OPTION', details: { field: 'dedupe.key' } });
  assert.equal((await fleet.registrySize(keyPrefix)).tasks, 9);
});
