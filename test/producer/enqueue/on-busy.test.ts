import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import type { EnqueuedTask } from '../../../producer/index.js';
import { type FleetError, isFleetError } from '../../../shared/errors.js';
import { createKeys } from '../../../shared/keys.js';
import { MergedWrites } from '../../../shared/registry/merged-writes.js';
import { defineTask } from '../../../shared/task/definition.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const note = defineTask({ name: 'note.take', input: z.unknown(), retention: KEEP });
const ITEM = { item: 'chat-1' };
const REJECT = { ...ITEM, onBusy: 'reject' } as const;
const REPLACE = { ...ITEM, onBusy: 'stop-previous' } as const;

function setUp(count = 1) {
  const keyPrefix = fleet.newPrefix();
  const producers = Array.from({ length: count }, () => fleet.producer({ keyPrefix, enqueueGraceMs: 60_000 }));
  return { keyPrefix, keys: createKeys(keyPrefix), producers, producer: producers[0]! };
}

const busyWith = (ids: string[]) => (error: unknown) => {
  assert.ok(isFleetError(error, 'ITEM_BUSY'), String(error));
  assert.deepEqual([error.details['item'], (error.details['ids'] as string[]).toSorted()], ['chat-1', ids.toSorted()]);
  return ids.slice(0, 1).every((id) => error.message.includes(id));
};

async function register(keyPrefix: string, id: string, at: number): Promise<void> {
  const writes = new MergedWrites(createKeys(keyPrefix));
  writes.add({ id, item: 'chat-1', queue: 'note', at });
  await Promise.all(writes.flushInto(fleet.scripted));
}

test("'reject' adds nothing to an item with live tasks, names them, and adds once they have ended", async () => {
  const { keyPrefix, producer } = setUp();
  const task = new ScriptedTask('note.take');
  const first = await producer.enqueue(note, {}, REJECT);
  assert.deepEqual([first.duplicate, first.superseded], [false, []]);
  const beside = await producer.enqueue(note, {}, { ...ITEM, delay: 3_600_000 });
  await assert.rejects(producer.enqueue(note, {}, REJECT), busyWith([first.id, beside.id]));
  assert.equal((await fleet.registrySize(keyPrefix)).tasks, 2);
  await producer.stop(beside);
  await fleet.worker(keyPrefix, [task.handler]);
  const call = await task.call();
  await assert.rejects(producer.enqueue(note, {}, REJECT), busyWith([first.id]));
  assert.equal((await producer.enqueue(note, {}, { ...REJECT, item: 'chat-2' })).item, 'chat-2');
  call.returns();
  await producer.result(first);
  // The task's end counts, not its entry, which may disappear some ms later or stay after a crash.
  await until(
    () => fleet.registrySize(keyPrefix),
    ({ tasks }) => tasks <= 1,
  );
  await register(keyPrefix, first.id, Date.now());
  const next = await producer.enqueue(note, {}, REJECT);
  assert.equal(next.duplicate, false);
  await producer.stop(next);
});

test("exactly one of two concurrent enqueues with 'reject' wins", async () => {
  const { producers, producer } = setUp(2);
  await Promise.all(producers.map((one) => one.ping()));
  for (let round = 0; round < 40; round += 1) {
    const item = `chat-${round}`;
    const ends = await Promise.allSettled(producers.map((one) => one.enqueue(note, {}, { item, onBusy: 'reject' })));
    const won = ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value.id] : []));
    const lost = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as FleetError] : []));
    assert.equal(won.length, 1, `round ${round}: ${lost.map(String).join()}`);
    assert.deepEqual(
      lost.map(({ code, details }) => [code, details['ids']]),
      [['ITEM_BUSY', won]],
    );
    assert.deepEqual(
      (await producer.list({ item })).tasks.map(({ id }) => id),
      won,
    );
  }
});

test("'stop-previous' supersedes the item's live tasks, and stops no others", async () => {
  const { keyPrefix, producer } = setUp();
  const task = new ScriptedTask('note.take');
  await fleet.worker(keyPrefix, [task.handler], { concurrency: 1, stopPollMs: 3_600_000 });
  const running = await producer.enqueue(note, {}, REPLACE);
  const call = await task.call();
  const waiting = await producer.enqueue(note, {}, ITEM);
  const other = await producer.enqueue(note, {}, { item: 'chat-2' });
  const next = await producer.enqueue(note, {}, REPLACE);
  assert.deepEqual([running.superseded, [...next.superseded].toSorted()], [[], [running.id, waiting.id].toSorted()]);
  const cause = await call.aborted;
  assert.equal(cause.message, `Stopped: Superseded by task ${next.id}`);
  call.throws(cause);
  await assert.rejects(producer.result(running), { code: 'TASK_CANCELLED' });
  for (const id of next.superseded) {
    const view = await producer.get(id);
    assert.deepEqual([view?.state, view?.stop?.reason, view?.stop?.by], ['cancelled', `Superseded by task ${next.id}`, null]);
  }
  (await task.call(1)).returns(other.id);
  (await task.call(2)).returns(next.id);
  assert.deepEqual(await Promise.all([other, next].map((one) => producer.result(one))), [other.id, next.id]);
});

test("exactly one of several concurrent enqueues with 'stop-previous' survives", async () => {
  const { keyPrefix, producers, producer } = setUp(5);
  await Promise.all(producers.map((one) => one.ping()));
  for (let round = 0; round < 40; round += 1) {
    const item = `chat-${round}`;
    const some = producers.slice(0, 2 + (round % 4));
    const added: EnqueuedTask[] = await Promise.all(some.map((one) => one.enqueue(note, {}, { item, onBusy: 'stop-previous' })));
    const named = added.flatMap(({ superseded }) => superseded);
    const views = await Promise.all(
      added.map((one) =>
        until(
          () => producer.get(one),
          (view) => view?.state === (named.includes(one.id) ? 'cancelled' : 'queued'),
        ),
      ),
    );
    assert.equal(views.filter((view) => view?.state === 'cancelled').length, some.length - 1, `round ${round}`);
    for (const view of views) {
      if (view?.state !== 'cancelled') continue;
      const by = /^Superseded by task (.+)$/.exec(view.stop?.reason ?? '')?.[1];
      assert.ok(added.find(({ id }) => id === by)?.superseded.includes(view.id), `${view.id} by ${by}`);
    }
    await producer.stop(added);
  }
  assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
  assert.equal(await fleet.client.exists(createKeys(keyPrefix).pendingStops), 0);
});

test('stale entries of a crash do not keep an item busy, but an enqueue in progress does', async () => {
  const { keyPrefix, keys, producer } = setUp();
  await fleet.client.sadd(keys.item('chat-1'), 'nowhere');
  await register(keyPrefix, 'long-ago', Date.now() - 61_000);
  const task = await producer.enqueue(note, {}, REJECT);
  assert.deepEqual(await fleet.client.smembers(keys.item('chat-1')), [task.id]);
  await producer.stop(task);
  await register(keyPrefix, 'on-its-way', Date.now());
  await fleet.client.sadd(keys.item('chat-1'), 'nowhere');
  await assert.rejects(producer.enqueue(note, {}, REJECT), busyWith(['on-its-way']));
});

test("a foreign task keeps the item busy, and 'stop-previous' asks it to stop", async () => {
  const { keys, producer } = setUp();
  await fleet.client.multi().hset(keys.tasks, 'theirs', 'chat-1').sadd(keys.item('chat-1'), 'theirs').exec();
  await assert.rejects(producer.enqueue(note, {}, REJECT), busyWith(['theirs']));
  const subscriber = fleet.redis.client();
  await subscriber.subscribe(keys.commands);
  const forwarded = new Promise<Record<string, unknown>>((resolve) => {
    subscriber.on('message', (_channel, message) => {
      const command = JSON.parse(message) as Record<string, unknown>;
      if (command['task_id'] !== undefined) resolve(command);
    });
  });
  const next = await producer.enqueue(note, {}, REPLACE);
  assert.deepEqual(next.superseded, ['theirs']);
  const command = await forwarded;
  assert.deepEqual([command['action'], command['task_id'], command['reason']], ['stop', 'theirs', `Superseded by task ${next.id}`]);
  assert.equal((await producer.get(next))?.state, 'queued');
});

test('an existing id is a duplicate even on a busy item, and stops no task', async () => {
  const { producers, producer } = setUp(2);
  await Promise.all(producers.map((one) => one.ping()));
  for (const onBusy of ['reject', 'stop-previous'] as const) {
    const options = { item: onBusy, onBusy, id: `once-${onBusy}` };
    const first = await producer.enqueue(note, {}, options);
    const beside = await producer.enqueue(note, {}, { item: onBusy });
    const second = await producer.enqueue(note, {}, options);
    assert.deepEqual([first.duplicate, second.duplicate, second.superseded], [false, true, []]);
    assert.deepEqual([(await producer.get(first))?.state, (await producer.get(beside))?.state], ['queued', 'queued']);
    for (let round = 0; round < 20; round += 1) {
      const racing = { item: `race-${round}`, onBusy, id: `race-${onBusy}-${round}` };
      const answers = await Promise.all(producers.map((one) => one.enqueue(note, {}, racing)));
      assert.equal(answers.filter(({ duplicate }) => duplicate).length, 1);
      assert.equal((await producer.get(racing.id))?.state, 'queued');
      await producer.stop(racing.id);
    }
  }
});

test('onBusy requires an item and one of its two values', async () => {
  const { keyPrefix, producer } = setUp();
  const wrong = (message: RegExp) => (error: unknown) =>
    isFleetError(error, 'INVALID_OPTION') && message.test(error.message) && error.details['field'] === 'onBusy';
  await assert.rejects(producer.enqueue(note, {}, { onBusy: 'reject' }), wrong(/needs an item/));
  for (const bad of ['wait', '', null, true])
    await assert.rejects(producer.enqueue(note, {}, { ...ITEM, onBusy: bad as 'reject' }), wrong(/expected 'stop-previous' or 'reject'/));
  assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
});
