import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as fc from 'fast-check';
import { z } from 'zod';
import type { ListOptions, Producer, TaskView } from '../../producer/index.js';
import { isFleetError } from '../../shared/errors.js';
import { createKeys } from '../../shared/keys.js';
import { defineTask } from '../../shared/task/definition.js';
import { defineHandler } from '../../shared/task/handler.js';
import { deferred } from '../support/deferred.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const note = defineTask({ name: 'note.take', input: z.object({ fail: z.boolean().default(false) }), retention: KEEP });
const other = defineTask({ name: 'other.take', input: z.object({ fail: z.boolean().default(false) }), retention: KEEP });

async function everything(producer: Producer, options: ListOptions = {}): Promise<{ tasks: TaskView[]; pages: number }> {
  const tasks: TaskView[] = [];
  for (let pages = 1, seen: string | undefined; ; pages += 1) {
    const page = await producer.list({ ...options, after: seen });
    tasks.push(...page.tasks);
    if (page.next === null) return { tasks, pages };
    seen = page.next;
  }
}

const idsOf = (tasks: readonly TaskView[]): string[] => tasks.map(({ id }) => id);

test('get accepts an id or an enqueued task, and returns null for an unknown one', async () => {
  const producer = fleet.producer();
  const before = Date.now();
  const task = await producer.enqueue(note, {}, { item: 'chat-1' });
  const view = await producer.get(task);
  assert.deepEqual(await producer.get(task.id), view);
  const { enqueuedAt, ...rest } = view as TaskView;
  assert.ok(enqueuedAt && enqueuedAt.getTime() >= before && enqueuedAt.getTime() <= Date.now());
  assert.deepEqual(rest, {
    ...{
      id: task.id,
      name: 'note.take',
      queue: 'note',
      item: 'chat-1',
      state: 'queued',
      waitingFor: null,
      attempt: 0,
      maxAttempts: 1,
      attempts: [],
      nextAttemptAt: null,
      progress: null,
      result: null,
    },
    ...{
      error: null,
      problem: null,
      stop: null,
      skippedFor: null,
      dedupeKey: null,
      tags: [],
      startedAt: null,
      finishedAt: null,
      worker: null,
    },
    ...{ priority: 0, deadline: null, limits: [] },
  });
  assert.equal(await producer.get('nobody'), null);
  assert.equal(await fleet.producer().get(task.id), null, 'not found under another prefix');
  await assert.rejects(producer.get('a\0b'), (error) => isFleetError(error, 'INVALID_ID'));
});

test('live tasks are listed newest first, by item and by name', async () => {
  const producer = fleet.producer();
  const first = await producer.enqueue(note, {}, { item: 'a' });
  const second = await producer.enqueue(other, {}, { item: 'a', delay: 60_000 });
  const third = await producer.enqueue(note, {}, { item: 'b' });
  const newest = [third, second, first].toSorted((a, b) => (a.id < b.id ? 1 : -1)).map(({ id }) => id);
  assert.deepEqual(idsOf((await producer.list()).tasks), newest);
  assert.deepEqual(idsOf((await producer.list({ item: 'b' })).tasks), [third.id]);
  assert.deepEqual(idsOf((await producer.list({ item: 'a', name: 'note.take' })).tasks), [first.id]);
  assert.deepEqual(idsOf((await producer.list({ name: 'other.take' })).tasks), [second.id]);
  assert.deepEqual(idsOf((await producer.list({ state: 'scheduled' })).tasks), [second.id]);
  assert.deepEqual(await producer.list({ item: 'nothing' }), { tasks: [], next: null, searched: 0, reached: null });
});

test('the pages of a list contain each task once, at any page size', async () => {
  const producer = fleet.producer();
  const tasks = await producer.enqueueMany(
    note,
    Array.from({ length: 60 }, (_, n) => ({ input: {}, item: `item-${n % 3}` })),
  );
  const all = tasks.map(({ id }) => id).toSorted();
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 70 }), fc.constantFrom(undefined, 'item-1'), async (limit, item) => {
      const { tasks: listed } = await everything(producer, { limit, item });
      const expected =
        item === undefined
          ? all
          : tasks
              .filter((task) => task.item === item)
              .map(({ id }) => id)
              .toSorted();
      assert.deepEqual(idsOf(listed).toSorted(), expected);
      assert.deepEqual(
        idsOf(listed),
        idsOf(listed.toSorted((a, b) => b.enqueuedAt!.getTime() - a.enqueuedAt!.getTime() || (a.id < b.id ? 1 : -1))),
      );
    }),
    { numRuns: 15 },
  );
});

test('ended tasks are listed by state across queues, latest end first', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const handle = ({ input }: { input: { fail: boolean } }): null => {
    if (input.fail) throw new Error('no');
    return null;
  };
  await fleet.worker(keyPrefix, [defineHandler(note, handle), defineHandler(other, handle)]);
  const tasks = [];
  for (let n = 0; n < 12; n += 1)
    tasks.push(await producer.enqueue(n % 2 ? note : other, { fail: n % 3 === 0 }, { item: `item-${n % 2}` }));
  await Promise.allSettled(tasks.map((task) => producer.result(task)));
  const stopped = await producer.enqueue(note, {}, { delay: 60_000 });
  await producer.stop(stopped);

  for (const limit of [1, 2, 5, 100]) {
    const { tasks: completed } = await everything(producer, { state: 'completed', limit });
    assert.deepEqual(
      idsOf(completed).toSorted(),
      tasks
        .filter((_, n) => n % 3 !== 0)
        .map(({ id }) => id)
        .toSorted(),
    );
    const ends = completed.map(({ finishedAt }) => finishedAt!.getTime());
    assert.deepEqual(
      ends,
      ends.toSorted((a, b) => b - a),
    );
    assert.deepEqual(
      idsOf((await everything(producer, { state: 'failed', limit })).tasks).toSorted(),
      tasks
        .filter((_, n) => n % 3 === 0)
        .map(({ id }) => id)
        .toSorted(),
    );
    assert.deepEqual(idsOf((await everything(producer, { state: 'cancelled', limit })).tasks), [stopped.id]);
  }
  const ofItem = await everything(producer, { state: 'completed', item: 'item-1', name: 'note.take' });
  assert.deepEqual(
    idsOf(ofItem.tasks).toSorted(),
    tasks
      .filter((_, n) => n % 3 !== 0 && n % 2 === 1)
      .map(({ id }) => id)
      .toSorted(),
  );
  assert.deepEqual((await producer.list()).tasks, [], 'ended tasks are not listed as live');
});

test('running and retrying tasks are listed by state', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const started = deferred();
  const end = deferred();
  const failing = defineTask({
    name: 'fail.ing',
    input: z.object({}),
    retry: { attempts: 2, backoff: { delayMs: 60_000 } },
    retention: KEEP,
  });
  const failed = deferred();
  const handlers = [
    defineHandler(note, async () => {
      started.resolve();
      await end.promise;
    }),
    defineHandler(failing, () => {
      failed.resolve();
      throw new Error('try again');
    }),
  ];
  await fleet.worker(keyPrefix, handlers);
  const running = await producer.enqueue(note, {});
  await started.promise;
  assert.deepEqual(idsOf((await producer.list({ state: 'running' })).tasks), [running.id]);
  const view = await producer.get(running);
  assert.deepEqual([view?.attempt, view?.startedAt instanceof Date, typeof view?.worker], [1, true, 'string']);
  end.resolve();
  await producer.result(running);

  const retrying = await producer.enqueue(failing, {});
  await failed.promise;
  const events = producer.events(retrying);
  for await (const event of events) if (event.type === 'state' && event.state === 'retrying') break;
  assert.deepEqual(idsOf((await producer.list({ state: 'retrying' })).tasks), [retrying.id]);
  assert.deepEqual((await producer.get(retrying))?.error, 'try again');
});

test('foreign tasks come last, on all pages', async () => {
  const keyPrefix = fleet.newPrefix();
  const keys = createKeys(keyPrefix);
  const producer = fleet.producer({ keyPrefix });
  const ours = await producer.enqueueMany(
    note,
    Array.from({ length: 4 }, () => ({ input: {}, item: 'chat-1' })),
  );
  const foreign = Array.from({ length: 7 }, (_, n) => `foreign-${n}`);
  for (const id of foreign) await fleet.client.multi().hset(keys.tasks, id, 'chat-1').sadd(keys.item('chat-1'), id).exec();
  await fleet.client.hset(keys.tasks, 'loose', '');
  for (const limit of [1, 2, 3, 4, 5, 100]) {
    const { tasks } = await everything(producer, { limit });
    assert.deepEqual(idsOf(tasks.slice(0, 4)).toSorted(), ours.map(({ id }) => id).toSorted(), `limit ${limit}`);
    assert.deepEqual(idsOf(tasks.slice(4)).toSorted(), [...foreign, 'loose'].toSorted(), `limit ${limit}`);
    const ofItem = await everything(producer, { limit, item: 'chat-1' });
    assert.deepEqual(idsOf(ofItem.tasks.slice(4)).toSorted(), foreign);
  }
  const view = await producer.get('foreign-1');
  assert.deepEqual([view?.state, view?.item, view?.name, view?.queue], ['running', 'chat-1', null, null]);
  assert.equal((await everything(producer, { state: 'running' })).tasks.length, 8);
  assert.deepEqual((await everything(producer, { state: 'queued' })).tasks.length, 4);
  assert.deepEqual((await everything(producer, { name: 'note.take' })).tasks.length, 4);
});

test('an item has active tasks until its last task has ended', async () => {
  const producer = fleet.producer();
  assert.equal(await producer.hasActiveTasks('chat-1'), false);
  const [a, b] = [await producer.enqueue(note, {}, { item: 'chat-1' }), await producer.enqueue(note, {}, { item: 'chat-1' })];
  await producer.stop(a);
  assert.equal(await producer.hasActiveTasks('chat-1'), true);
  await producer.stop(b);
  assert.equal(await producer.hasActiveTasks('chat-1'), false);
  await assert.rejects(producer.hasActiveTasks(''), (error) => isFleetError(error, 'INVALID_ITEM'));
});

test('an invalid list option is named', async () => {
  const producer = fleet.producer();
  for (const limit of [0, -1, 1.5, 1_001, Number.NaN, '5' as unknown as number]) {
    await assert.rejects(
      producer.list({ limit }),
      (error) => isFleetError(error, 'INVALID_OPTION') && error.message.startsWith('Bad limit: expected a whole number from 1 to 1000'),
    );
  }
  await assert.rejects(
    producer.list({ state: 'done' as 'failed' }),
    (error) => isFleetError(error, 'INVALID_OPTION') && /one of live, ended, all, scheduled, .*got "done"/.test(error.message),
  );
  for (const wrong of ['', 'x', '-5-a', '5', 7 as unknown as string])
    await assert.rejects(producer.list({ after: wrong }), (error) => isFleetError(error, 'INVALID_OPTION'), String(wrong));
  await assert.rejects(producer.list({ item: 'a\0' }), (error) => isFleetError(error, 'INVALID_ITEM'));
});

test('the queue filter lists the live and ended tasks of one queue', async () => {
  const producer = fleet.producer();
  const [mine, ended] = [await producer.enqueue(note, {}), await producer.enqueue(note, {})];
  const [theirs, gone] = [await producer.enqueue(other, {}), await producer.enqueue(other, {})];
  await producer.stop([ended, gone]);
  const list = async (options: ListOptions): Promise<string[]> => idsOf((await producer.list(options)).tasks);
  assert.deepEqual(await list({ queue: 'note' }), [mine.id]);
  assert.deepEqual(await list({ queue: 'other' }), [theirs.id]);
  assert.deepEqual(await list({ queue: 'note', state: 'cancelled' }), [ended.id]);
  assert.deepEqual(await list({ queue: 'nobody', state: 'cancelled' }), []);
});

test('with `visibleItems`, pages are full and no cursor names a hidden task', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const mine: string[] = [];
  for (let n = 0; n < 7; n += 1) {
    mine.unshift((await producer.enqueue(note, {}, { item: `mine-${n}` })).id);
    await producer.enqueueMany(
      other,
      Array.from({ length: 300 }, () => ({ input: {}, item: 'other' })),
    );
  }
  await producer.enqueue(note, {});
  await fleet.client.hset(createKeys(keyPrefix).tasks, { 'foreign-mine': 'mine-f', 'foreign-other': 'other' });
  const visibleItems = ['mine*'];
  const first = await producer.list({ visibleItems, limit: 3 });
  assert.deepEqual([idsOf(first.tasks), first.next?.replace(/^\d+-/, '')], [mine.slice(0, 3), mine[2]]);
  const all = await everything(producer, { visibleItems, limit: 3 });
  assert.deepEqual([idsOf(all.tasks), all.pages], [[...mine, 'foreign-mine'], 3]);
  assert.deepEqual(idsOf((await everything(producer, { visibleItems, queue: 'other' })).tasks), []);
});
