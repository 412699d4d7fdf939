import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as fc from 'fast-check';
import { z } from 'zod';
import type { TaskView } from '../../producer/index.js';
import { isFleetError } from '../../shared/errors.js';
import { type TaskDefinition, defineTask } from '../../shared/task/definition.js';
import { shardOf, shardsOf } from '../../shared/task/shards.js';
import { EMPTY_REGISTRY, TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';
import { StepGate } from '../support/task/step-gate.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const notes = (shards: number): TaskDefinition => defineTask({ name: 'note.take', input: z.unknown(), retention: KEEP, shards });
const [single, four] = [notes(1), notes(4)];
const ids = (count: number): string[] => Array.from({ length: count }, (_, n) => `id-${n}`);
const idsOf = (tasks: readonly TaskView[]): string[] => tasks.map(({ id }) => id).toSorted();

/** Queued ids by BullMQ queue. */
async function waiting(keyPrefix: string, definition: TaskDefinition): Promise<Record<string, string[]>> {
  const keys = fleet.keys(keyPrefix);
  const lists = await Promise.all(
    shardsOf(definition).map(async (queue) => [queue, (await fleet.client.lrange(`${keys.jobs(queue)}wait`, 0, -1)).toSorted()] as const),
  );
  return Object.fromEntries(lists);
}

test('every task is on exactly one shard, that of its id, where it is found and stopped', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 64 }),
      fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9._~@=+-]{0,20}$/), { minLength: 1, maxLength: 40 }),
      async (count, words) => {
        const keyPrefix = fleet.newPrefix();
        const producer = fleet.producer({ keyPrefix });
        const task = notes(count);
        // A bare word may be the name of one of the queue's own keys.
        const given = words.map((word) => `id.${word}`).toSorted();
        const own = await producer.enqueueMany(
          task,
          Array.from({ length: 10 }, () => ({ input: {} })),
        );
        const added = [
          ...own,
          ...(await producer.enqueueMany(
            task,
            given.map((id) => ({ input: {}, id })),
          )),
        ];
        const all = added.map(({ id }) => id).toSorted();
        assert.deepEqual(
          await waiting(keyPrefix, task),
          Object.fromEntries(shardsOf(task).map((shard) => [shard, all.filter((id) => shardOf(task, id) === shard)])),
        );
        const found = (state: string) =>
          Promise.all(
            added.map(async ({ id, queue }) => {
              const view = await producer.get(id);
              assert.deepEqual([view?.queue, view?.state, queue], [shardOf(task, id), state, shardOf(task, id)]);
            }),
          );
        await found('queued');
        assert.deepEqual(idsOf((await producer.list({ limit: 1_000 })).tasks), all);
        const receipts = await producer.stop(all, { reason: 'enough' });
        assert.ok(
          receipts.length === all.length && receipts.every(({ outcome, via }) => outcome === 'cancelled' && via === 'queue'),
          JSON.stringify(receipts),
        );
        assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
        await found('cancelled');
        assert.deepEqual(idsOf((await producer.list({ state: 'cancelled', limit: 1_000 })).tasks), all);
        await producer.close();
      },
    ),
    { numRuns: 8 },
  );
});

test('a queue filter covers all its shards, a shard filter only that shard', async () => {
  const producer = fleet.producer();
  const other = defineTask({ name: 'note2.take', queue: 'notebook', input: z.unknown(), retention: KEEP, shards: 2 });
  const all = await producer.enqueueMany(
    four,
    ids(40).map((id) => ({ input: {}, id })),
  );
  await producer.enqueueMany(
    other,
    Array.from({ length: 10 }, () => ({ input: {} })),
  );
  for (const state of [undefined, 'queued', 'cancelled'] as const) {
    if (state === 'cancelled') await producer.stop(all);
    assert.deepEqual(idsOf((await producer.list({ queue: 'note', state })).tasks), ids(40).toSorted());
    for (const shard of shardsOf(four).slice(1)) {
      const { tasks } = await producer.list({ queue: shard, state });
      assert.deepEqual(
        idsOf(tasks),
        ids(40)
          .filter((id) => shardOf(four, id) === shard)
          .toSorted(),
      );
      assert.ok(tasks.length > 0 && tasks.every(({ queue }) => queue === shard));
    }
  }
  const pages: string[] = [];
  for (let next: string | null | undefined; next !== null;) {
    const page = await producer.list({ queue: 'note', state: 'cancelled', limit: 7, after: next });
    pages.push(...page.tasks.map(({ id }) => id));
    next = page.next;
  }
  assert.deepEqual(pages.toSorted(), ids(40).toSorted(), 'the same tasks over several pages');
  assert.deepEqual((await producer.list({ queue: 'not' })).tasks, []);
});

test(
  'enqueues in one event loop turn are one command for each queue',
  { skip: fleet.settings.cluster && 'it watches one server' },
  async () => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    await producer.enqueueMany(
      four,
      ids(40).map((id) => ({ input: {}, id })),
    );
    const watch = await fleet.monitor();
    const added = await producer.enqueueMany(
      four,
      Array.from({ length: 50 }, () => ({ input: {}, item: 'a' })),
    );
    const commands = await watch.stop();
    assert.equal(new Set(added.map(({ queue }) => queue)).size, 4);
    // Scripts write the names of commands in capitals.
    const sent = commands.filter(([name = '', ...words]) => name === name.toLowerCase() && words.join(' ').includes(keyPrefix));
    assert.deepEqual(
      sent.map(([name]) => name),
      Array.from({ length: 4 }, () => 'evalsha'),
    );
  },
);

test('twenty concurrent enqueues of one id from two producers add one task', async () => {
  const keyPrefix = fleet.newPrefix();
  const producers = [fleet.producer({ keyPrefix }), fleet.producer({ keyPrefix })];
  await Promise.all(producers.map((producer) => producer.ping()));
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) => producers[n % 2]!.enqueue(four, {}, { id: 'once', item: `item-${n}` })),
  );
  assert.equal(answers.filter(({ duplicate }) => !duplicate).length, 1);
  assert.deepEqual(Object.values(await waiting(keyPrefix, four)).flat(), ['once']);
  assert.equal((await producers[0]!.stop('once')).outcome, 'cancelled');
  assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
});

test('an existing id gets no second task on another shard when the number of shards changes', async () => {
  for (const [before, now] of [
    [single, four],
    [four, single],
    [four, notes(7)],
  ] as const) {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    await producer.enqueueMany(
      before,
      ids(20).map((id) => ({ input: {}, id })),
    );
    assert.ok(ids(20).some((id) => shardOf(before, id) !== shardOf(now, id)));
    for (const state of ['queued', 'cancelled']) {
      if (state === 'cancelled') await producer.stop(ids(20));
      const again = await producer.enqueueMany(
        now,
        ids(20).map((id) => ({ input: {}, id })),
      );
      assert.deepEqual(
        again.map(({ duplicate, queue }) => [duplicate, queue]),
        ids(20).map((id) => [true, shardOf(before, id)]),
      );
      assert.ok((await Promise.all(ids(20).map((id) => producer.get(id)))).every((task) => task?.state === state));
    }
    assert.deepEqual(Object.values(await waiting(keyPrefix, notes(7))).flat(), []);
  }
});

test('an id that another producer is adding with another number of shards goes to the shard registered there', async () => {
  const keyPrefix = fleet.newPrefix();
  const id = ids(20).find((one) => shardOf(four, one) !== 'note') as string;
  const gate = new StepGate();
  const held = gate.holdNext('enqueue:registered');
  const [ahead, behind] = [fleet.producer({ keyPrefix, onStep: gate.onStep }), fleet.producer({ keyPrefix })];
  const first = ahead.enqueue(four, {}, { id, item: 'a', onBusy: 'stop-previous' });
  await held.reached;
  const second = await behind.enqueue(single, {}, { id, item: 'b' });
  held.release();
  assert.deepEqual([second.duplicate, second.queue], [false, shardOf(four, id)]);
  assert.deepEqual([(await first).duplicate, (await first).queue, (await first).item], [true, shardOf(four, id), 'b']);
  assert.deepEqual(Object.values(await waiting(keyPrefix, four)).flat(), [id]);
});

test('stops of an item and onBusy cover all shards', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const all = await producer.enqueueMany(
    four,
    ids(20).map((id) => ({ input: {}, id, item: 'a' })),
  );
  await assert.rejects(producer.enqueue(four, {}, { item: 'a', onBusy: 'reject' }), (error) => isFleetError(error, 'ITEM_BUSY'));
  const last = await producer.enqueue(four, {}, { item: 'a', onBusy: 'stop-previous' });
  assert.deepEqual(last.superseded.toSorted(), ids(20).toSorted());
  await producer.enqueueMany(
    four,
    Array.from({ length: 20 }, () => ({ input: {}, item: 'a' })),
  );
  const receipts = await producer.stopItem('a');
  assert.equal(receipts.length, 21);
  assert.ok(receipts.every(({ outcome }) => outcome === 'cancelled'));
  assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
  assert.equal(new Set(all.map(({ queue }) => queue)).size, 4);
});

test('a schedule and all its tasks are on the first shard', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const schedule = await producer.schedules.upsert('nightly', four, {}, { every: 3_600_000 });
  const runs = [];
  for (let n = 0; n < 8; n += 1) runs.push(await producer.schedules.runNow('nightly'));
  assert.deepEqual([schedule.queue, ...new Set(runs.map(({ queue }) => queue))], ['note', 'note']);
  const keys = fleet.keys(keyPrefix);
  const schedulers = await Promise.all(shardsOf(four).map((queue) => fleet.client.exists(`${keys.jobs(queue)}repeat`)));
  assert.deepEqual(schedulers, [1, 0, 0, 0]);
  assert.equal(await producer.schedules.remove('nightly'), true);
});
