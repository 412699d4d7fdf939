import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import type { EnqueueOptions, Producer } from '../../producer/index.js';
import { type ErrorCode, isFleetError } from '../../shared/errors.js';
import type { Keys } from '../../shared/keys.js';
import { defineTask } from '../../shared/task/definition.js';
import { defineHandler } from '../../shared/task/handler.js';
import { deferred } from '../support/deferred.js';
import { LogLines } from '../support/fleet/log-lines.js';
import { EMPTY_REGISTRY, TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';

const fleet = await TestFleet.start();
const { client } = fleet;
after(() => fleet.stop());

const note = defineTask({ name: 'note.take', input: z.object({}), retention: KEEP });

function open() {
  const keyPrefix = fleet.newPrefix();
  const log = new LogLines();
  return { keyPrefix, keys: fleet.keys(keyPrefix), log, producer: fleet.producer({ keyPrefix, loggers: log.loggers }) };
}

const waiting = (keys: Keys): Promise<string[]> => client.lrange(`${keys.jobs('note')}wait`, 0, -1);

/** Asserts the outcome of an enqueue, and that it is true. */
function failedWith(code: ErrorCode, exists: boolean): (error: unknown) => true {
  return (error) => {
    assert.ok(isFleetError(error, code), String(error));
    assert.equal(error.details['exists'], exists);
    return true;
  };
}

const REGISTRY: Readonly<Record<string, (keys: Keys) => string>> = {
  tasks: (keys) => keys.tasks,
  'queues of tasks': (keys) => keys.taskQueues,
  'live tasks': (keys) => keys.live,
  queues: (keys) => keys.queues,
  item: (keys) => keys.item('chat-1'),
  'early stops': (keys) => keys.pendingStops,
};

for (const [name, keyOf] of Object.entries(REGISTRY)) {
  test(`a task is added, with one log line, although the key of ${name} has the wrong type`, async () => {
    const { keys, producer, log } = open();
    await client.set(keyOf(keys), 'a string');
    const added = await Promise.all(Array.from({ length: 10 }, () => producer.enqueue(note, {}, { item: 'chat-1' })));
    const many = await producer.enqueueMany(note, [{ input: {} }, { input: {}, item: 'chat-1' }]);
    assert.deepEqual(new Set(await waiting(keys)), new Set([...added, ...many].map(({ id }) => id)));
    const lines = log.lines.filter(({ key }) => key === keyOf(keys));
    assert.ok(lines.length <= 1, JSON.stringify(lines));
    if (name !== 'early stops') assert.equal(lines.length, 1);
  });
}

/** Keys of a queue that BullMQ's script writes, and whether a job is then added. */
const QUEUE: readonly { readonly key: string; readonly options?: EnqueueOptions; readonly added: boolean }[] = [
  { key: 'meta', added: false },
  { key: 'id', added: false },
  { key: 'events', added: false },
  { key: 'wait', added: false },
  { key: 'delayed', options: { delay: 60_000 }, added: false },
  { key: 'prioritized', options: { priority: 1 }, added: false },
  { key: 'marker', added: true },
  { key: 'marker', options: { delay: 60_000 }, added: true },
];

for (const { key, options = {}, added } of QUEUE) {
  for (const id of [undefined, 'mine']) {
    const outcome = added ? 'added' : 'refused, and leaves no keys';
    test(`if the queue's ${key} has the wrong type, a task ${JSON.stringify({ ...options, id })} is ${outcome}`, async () => {
      const { keys, producer, keyPrefix } = open();
      const broken = `${keys.jobs('note')}${key}`;
      await client.sadd(broken, 'a set');
      const enqueue = (): ReturnType<Producer['enqueue']> => producer.enqueue(note, {}, { ...options, id });
      if (added) {
        const task = await enqueue();
        assert.equal(await client.exists(keys.jobs('note') + task.id), 1);
        return;
      }
      await assert.rejects(enqueue(), failedWith('REDIS_WRONG_TYPE', false));
      assert.deepEqual(
        (await client.keys(`${keys.jobs('note')}*`)).filter((name) => name !== broken && !/:(meta|id|events|pc)$/.test(name)),
        [],
      );
      assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
      await client.del(broken);
      assert.equal((await enqueue()).duplicate, false, 'the id is free once the key is right again');
    });
  }
}

test('a Redis error names the key and the command that moves it away', async () => {
  const { keys, producer } = open();
  await client.set(keys.schedules, 'a string');
  await assert.rejects(producer.schedules.upsert('daily', note, {}, { every: 60_000 }), (error) => {
    assert.ok(isFleetError(error, 'REDIS_WRONG_TYPE'), String(error));
    assert.deepEqual(error.details['keys'], [keys.schedules]);
    assert.ok(error.message.includes(`redis-cli RENAME ${keys.schedules} ${keys.schedules}.moved`), error.message);
    return true;
  });
});

test('the error of enqueueMany says which tasks exist', async () => {
  const { keys, producer } = open();
  await client.set(`${keys.jobs('note')}delayed`, 'a string');
  const call = producer.enqueueMany(note, [
    { input: {}, id: 'now-1' },
    { input: {}, delay: 60_000 },
    { input: {}, id: 'now-2' },
  ]);
  await assert.rejects(call, (error) => {
    assert.ok(isFleetError(error, 'REDIS_WRONG_TYPE'), String(error));
    assert.deepEqual([error.details['exists'], error.details['added'], error.details['unknown']], ['unknown', ['now-1', 'now-2'], []]);
    return true;
  });
  assert.deepEqual(new Set(await waiting(keys)), new Set(['now-1', 'now-2']));
});

test('an item that cannot be claimed gets no task, and a retry succeeds without its registration', async () => {
  const { keys, producer } = open();
  const { id } = await producer.enqueue(note, {}, { item: 'chat-1' });
  await producer.stop(id);
  await client.set(keys.item('chat-1'), 'a string');
  for (const onBusy of ['reject', 'stop-previous'] as const) {
    await assert.rejects(producer.enqueue(note, {}, { item: 'chat-1', onBusy }), failedWith('REDIS_WRONG_TYPE', false));
  }
  assert.deepEqual(await waiting(keys), []);
  assert.equal((await producer.retry(id)).state, 'queued');
  assert.deepEqual(await waiting(keys), [id]);
});

test('a retry succeeds if the script fails after moving the job', async () => {
  const { keys, producer } = open();
  const { id } = await producer.enqueue(note, {});
  await producer.stop(id);
  await client.del(`${keys.jobs('note')}marker`);
  await client.set(`${keys.jobs('note')}marker`, 'a string');
  assert.equal((await producer.retry(id)).state, 'queued');
});

test('children and scheduled tasks are added although they cannot be registered', async () => {
  const { keys, keyPrefix, producer } = open();
  const parent = defineTask({ name: 'parent.run', input: z.object({}), retention: KEEP });
  await producer.schedules.upsert('nightly', note, {}, { cron: '0 3 * * *' });
  await client.del(keys.tasks, keys.live);
  await Promise.all([client.set(keys.tasks, 'a string'), client.set(keys.live, 'a string')]);
  const run = await producer.schedules.runNow('nightly');
  const child = deferred<string>();
  await fleet.worker(keyPrefix, [defineHandler(parent, async ({ enqueue }) => child.resolve((await enqueue(note, {})).id))], { producer });
  await producer.enqueue(parent, {});
  const id = await child.promise;
  assert.deepEqual(await waiting(keys), [id, run.id]);
});
