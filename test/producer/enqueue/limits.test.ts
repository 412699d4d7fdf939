import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import type { EnqueueOptions, Producer } from '../../../producer/index.js';
import { type ErrorCode, isFleetError } from '../../../shared/errors.js';
import { createKeys } from '../../../shared/keys.js';
import { isParked } from '../../../shared/limiter/parked-jobs.js';
import { formatStop } from '../../../shared/stop/receipt.js';
import { type TaskOptions, defineTask } from '../../../shared/task/definition.js';
import { limitIn } from '../../../shared/task/wait/waiting.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

const fleet = await TestFleet.start();
const { client } = fleet;
after(() => fleet.stop());

interface Question {
  readonly tenant?: string;
}

const define = (options: Partial<TaskOptions<Question, unknown>>, name = 'chat.ask') =>
  defineTask({ name, input: z.custom<Question>(), retention: KEEP, ...options });

const oneByItem = define({ concurrency: { by: 'item', limit: 1 } });

function setUp() {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const keys = createKeys(keyPrefix);
  const store = fleet.store({ keyPrefix });
  /** Returns where each job is: `wait`, `parked`, `delayed` or `gone`. */
  const places = async (ids: readonly string[], queue = 'chat'): Promise<string[]> => {
    const jobs = keys.jobs(queue);
    const waiting = new Set([
      ...(await client.lrange(`${jobs}wait`, '0', '-1')),
      ...(await client.zrange(`${jobs}prioritized`, '0', '-1')),
    ]);
    return Promise.all(
      ids.map(async (id) => {
        if (waiting.has(id)) return 'wait';
        const score = await client.zscore(`${jobs}delayed`, id);
        if (score === null) return 'gone';
        return isParked(Number(score) / 4_096) ? 'parked' : 'delayed';
      }),
    );
  };
  const records = async (): Promise<string[]> => (await client.hkeys(keys.limiter('tasks'))).toSorted();
  return { keyPrefix, producer, keys, store, places, records };
}

const refusedWith =
  (code: ErrorCode, message: RegExp, details: object = {}) =>
  (error: unknown): boolean => {
    assert.ok(isFleetError(error, code), String(error));
    assert.match(error.message, message);
    for (const [name, value] of Object.entries(details)) assert.deepEqual(error.details[name], value, name);
    return true;
  };

const ask = (producer: Producer, id: string, options: EnqueueOptions = {}) =>
  producer.enqueue(oneByItem, {}, { item: 'chat:1', id, ...options });

test('as many tasks of a key as may run are in the queue, the others are parked in the order of the enqueues', async () => {
  const { producer, places, store, records, keys } = setUp();
  const ids = ['a', 'b', 'c', 'd'];
  await producer.enqueueMany(
    oneByItem,
    ids.map((id) => ({ input: {}, item: 'chat:1', id })),
  );
  const other = await producer.enqueue(oneByItem, {}, { item: 'chat:2' });
  const unlimited = await producer.enqueue(oneByItem, {});
  assert.deepEqual(await places([...ids, other.id, unlimited.id]), ['wait', 'parked', 'parked', 'parked', 'wait', 'wait']);
  const standings = await store.limiter.standings(ids);
  assert.deepEqual(
    ids.map((id) => standings.get(id)?.position ?? null),
    [null, 1, 2, 3],
  );
  assert.deepEqual((await records()).includes(unlimited.id), false, 'a task without a key has no record');
  assert.deepEqual(JSON.parse((await client.hget(`${keys.jobs('chat')}a`, 'opts')) ?? ''), {
    ...(JSON.parse((await client.hget(`${keys.jobs('chat')}a`, 'opts')) ?? '') as object),
    limits: [{ kind: 'place', id: 'task:chat.ask:chat:1', limit: 'task:chat.ask#0', max: 1 }],
  });
  await producer.stop('a');
  await store.limiter.release(['a']);
  assert.deepEqual(await places(['b', 'c']), ['wait', 'parked']);
});

test('a delayed task holds nothing, and a task above its rate is delayed until its time', async () => {
  const { producer, places, records } = setUp();
  await ask(producer, 'later', { delay: 3_600_000 });
  await ask(producer, 'now');
  assert.deepEqual([await places(['later', 'now']), await records()], [['delayed', 'wait'], ['now']]);
  const rated = define({ rate: { limit: 1_000, per: '10m', burst: 1 } }, 'rated.ask');
  await producer.enqueueMany(
    rated,
    ['1', '2', '3', '4'].map((n) => ({ input: {}, id: `rated-${n}` })),
  );
  const [first, second, , last] = await places(['rated-1', 'rated-2', 'rated-3', 'rated-4'], 'rated');
  assert.deepEqual([first, second, last], ['wait', 'delayed', 'parked'], 'one start in 600 ms, at most a second ahead');
});

test("'reject' and a full line refuse a task without a trace, whatever its id", async () => {
  const { producer, records, keyPrefix } = setUp();
  await ask(producer, 'first', { whenBusy: 'reject' });
  const busy = refusedWith('ITEM_BUSY', /^Key "chat:1" of chat\.ask is taken: first\. Nothing was added\.$/, {
    key: 'chat:1',
    ids: ['first'],
  });
  await assert.rejects(ask(producer, 'second', { whenBusy: 'reject' }), busy);
  await assert.rejects(producer.enqueue(oneByItem, {}, { item: 'chat:1', onBusy: 'reject' }), busy, 'the older name');
  await ask(producer, 'third');
  await assert.rejects(ask(producer, 'fourth', { whenBusy: 'reject' }), refusedWith('ITEM_BUSY', /first, third/));
  const short = define({ concurrency: { limit: 1, maxWaiting: 1 } }, 'short.line');
  const many = await Promise.allSettled(['1', '2', '3'].map((id) => producer.enqueue(short, {}, { id: `short-${id}` })));
  assert.deepEqual(
    many.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected'],
  );
  const full = /^The limit of all tasks of short\.line has a full line \(maxWaiting 1\): short-1, short-2\./;
  assert.ok(refusedWith('ITEM_BUSY', full, { key: null })((many[2] as PromiseRejectedResult).reason));
  assert.deepEqual(await records(), ['first', 'short-1', 'short-2', 'third']);
  assert.equal((await fleet.registrySize(keyPrefix)).tasks, 4);
});

test("'stop-previous' stops the others of the key, 'replace-waiting' only those in line", async () => {
  const { producer, places, store } = setUp();
  await ask(producer, 'a');
  await ask(producer, 'b');
  const replacing = await ask(producer, 'c', { whenBusy: 'replace-waiting' });
  assert.deepEqual([replacing.superseded, await places(['a', 'c'])], [['b'], ['wait', 'parked']]);
  assert.match((await producer.get('b'))?.stop?.reason ?? '', /^Superseded by task c$/);
  await store.limiter.release(['b']);
  const replaced = await ask(producer, 'd', { whenBusy: 'stop-previous' });
  assert.deepEqual(replaced.superseded.toSorted(), ['a', 'c']);
  const states = await Promise.all(['a', 'b', 'c'].map(async (id) => (await producer.get(id))?.state));
  assert.deepEqual(states, ['cancelled', 'cancelled', 'cancelled']);
});

test('a full line of its first key does not refuse a task that replaces others, but the full line of its second key does', async () => {
  const { producer, places } = setUp();
  const short = define({ concurrency: { by: 'item', limit: 1, maxWaiting: 1 } }, 'short.ask');
  const add = (id: string, whenBusy?: 'stop-previous' | 'replace-waiting') =>
    producer.enqueue(short, {}, { item: 'chat:1', id, ...(whenBusy && { whenBusy }) });
  for (const id of ['a', 'b']) await add(id);
  await assert.rejects(add('refused'), refusedWith('ITEM_BUSY', /full line \(maxWaiting 1\): a, b\./));
  assert.deepEqual(
    [(await add('c', 'replace-waiting')).superseded, await places(['a', 'b', 'c'], 'short')],
    [['b'], ['wait', 'gone', 'parked']],
  );
  assert.deepEqual(
    [(await add('d', 'stop-previous')).superseded.toSorted(), await places(['a', 'c'], 'short')],
    [
      ['a', 'c'],
      ['gone', 'gone'],
    ],
  );
  await add('e');
  await assert.rejects(add('refused'), refusedWith('ITEM_BUSY', /: d, e\./));

  const byTenant = { by: (task: { input: Question }) => task.input.tenant, limit: 1, maxWaiting: 0 };
  const both = define({ concurrency: [{ by: 'item', limit: 1 }, byTenant] }, 'both.ask');
  await producer.enqueue(both, { tenant: 'a' }, { item: 'chat:1', id: 'other' });
  const second = producer.enqueue(both, { tenant: 'a' }, { item: 'chat:2', whenBusy: 'stop-previous' });
  await assert.rejects(second, refusedWith('ITEM_BUSY', /^Key "a" of both\.ask has a full line \(maxWaiting 0\): other\./, { key: 'a' }));
  assert.equal((await producer.get('other'))?.state, 'queued');
});

test('the policy of a definition is the default of its enqueues', async () => {
  const { producer } = setUp();
  const strict = define({ concurrency: { by: 'item', limit: 1 }, whenBusy: 'reject' }, 'strict.ask');
  await producer.enqueue(strict, {}, { item: 'a' });
  await assert.rejects(producer.enqueue(strict, {}, { item: 'a' }), refusedWith('ITEM_BUSY', /strict\.ask is taken/));
  await producer.enqueue(strict, {}, { item: 'a', whenBusy: 'wait' });
  await producer.enqueue(strict, {}, { item: 'a', delay: 1_000 });
  const byItem = define({ whenBusy: 'reject' }, 'item.ask');
  await producer.enqueue(byItem, {}, { item: 'b' });
  await assert.rejects(producer.enqueue(byItem, {}, { item: 'b' }), refusedWith('ITEM_BUSY', /^Item "b" has live tasks/));
  await Promise.all([producer.enqueue(byItem, {}), producer.enqueue(byItem, {})]);
});

test('a policy that cannot be kept is refused', async () => {
  const { producer } = setUp();
  const plain = define({}, 'plain.ask');
  const wrong: [EnqueueOptions, RegExp, string, typeof plain?][] = [
    [
      { whenBusy: 'wait', item: 'a' },
      /expected 'stop-previous' or 'reject', got "wait", which needs a definition with concurrency/,
      'whenBusy',
    ],
    [{ onBusy: 'replace-waiting', item: 'a' }, /got "replace-waiting", which needs a definition/, 'onBusy'],
    [{ whenBusy: 'reject' }, /it needs an item/, 'whenBusy'],
    [{ whenBusy: 'reject', onBusy: 'stop-previous', item: 'a' }, /contradicts whenBusy/, 'onBusy'],
    [{ whenBusy: 'queue' as 'wait' }, /expected 'wait', 'reject', 'stop-previous', 'replace-waiting', got "queue"/, 'whenBusy', oneByItem],
    [{ whenBusy: 'stop-previous', delay: 5 }, /expected 'wait' with a delay/, 'whenBusy', oneByItem],
  ];
  for (const [options, message, field, definition = plain] of wrong)
    await assert.rejects(producer.enqueue(definition, {}, options), refusedWith('INVALID_OPTION', message, { field }));
});

test('a bad key is an error before anything is written', async () => {
  const { producer, records, keyPrefix } = setUp();
  const byTenant = define({ concurrency: [{ limit: 1 }, { by: (task) => task.input.tenant, limit: 1 }] });
  await assert.rejects(
    producer.enqueueMany(byTenant, [{ input: { tenant: 'a' } }, { input: { tenant: 'x'.repeat(257) } }]),
    refusedWith('INVALID_INPUT', /concurrency\[1\]\.by returned a bad key: expected 1 to 256 characters, got 257/, {
      field: 'concurrency[1].by',
    }),
  );
  assert.deepEqual([await records(), (await fleet.registrySize(keyPrefix)).tasks], [[], 0]);
});

test('of concurrent enqueues of one id, one makes the task and its record', async () => {
  const { keyPrefix, producer, places, records, store } = setUp();
  const producers = [producer, fleet.producer({ keyPrefix }), fleet.producer({ keyPrefix })];
  await Promise.all(producers.map((one) => one.ping()));
  for (let round = 0; round < 20; round += 1) {
    const id = `once-${round}`;
    const added = await Promise.all(producers.map((one) => ask(one, id, { item: `item-${round}` })));
    assert.equal(added.filter(({ duplicate }) => !duplicate).length, 1);
    assert.deepEqual([(await places([id]))[0], (await store.limiter.records([id])).get(id)?.state], ['wait', 'admitted']);
  }
  // The task that stands is delayed and holds nothing: the enqueue that finds it must not leave a record for it.
  const holding = fleet.producer({
    keyPrefix,
    onStep: async (step) => {
      if (step === 'enqueue:checked') await ask(producer, 'stands', { delay: 3_600_000 });
    },
  });
  assert.equal((await ask(holding, 'stands')).duplicate, true);
  assert.equal((await records()).includes('stands'), false);
});

test('a stop that comes before the job cancels a parked task', async () => {
  const { keyPrefix, producer, records, keys, store } = setUp();
  await ask(producer, 'runs');
  const late = fleet.producer({
    keyPrefix,
    onStep: async (step, id) => {
      if (step === 'enqueue:checked') await client.hset(keys.pendingStops, id, formatStop({ reason: 'early', by: null, at: Date.now() }));
    },
  });
  await ask(late, 'stopped');
  assert.equal((await producer.get('stopped'))?.state, 'cancelled');
  await store.limiter.idle();
  assert.deepEqual(await records(), ['runs']);
});

test('unlimited tasks do not wait for the limiter', async () => {
  const { producer, keys } = setUp();
  await producer.ping();
  const plain = define({}, 'plain.ask');
  await client.config('RESETSTAT');
  await Promise.all([producer.enqueue(plain, {}), producer.enqueue(oneByItem, {})]);
  assert.equal(await client.exists(keys.limiter('tasks'), keys.limiter('seq')), 0);
});

test('a child is refused where one of the tasks above it holds the place, and lines up elsewhere', async () => {
  const { producer, places, keys } = setUp();
  await ask(producer, 'parent');
  const parent = { id: 'parent', queue: 'chat', item: 'chat:1', ancestors: ['parent'] };
  const held = refusedWith('PARENT_HOLDS_KEY', /^Key "chat:1" of chat\.ask is taken by task parent/, { key: 'chat:1', ids: ['parent'] });
  await assert.rejects(producer.enqueueChild(parent, oneByItem, {}), held);
  await assert.rejects(producer.enqueueChild({ ...parent, id: 'between', ancestors: ['between', 'parent'] }, oneByItem, {}), held);
  const beside = await producer.enqueueChild({ ...parent, item: 'chat:2' }, oneByItem, {});
  const { ancestors } = JSON.parse((await client.hget(`${keys.jobs('chat')}${beside.id}`, 'opts')) ?? '') as { ancestors?: string[] };
  assert.deepEqual([await places([beside.id]), ancestors], [['wait'], ['parent']]);
});

test('a schedule stores the limits of its tasks', async () => {
  const { producer } = setUp();
  await producer.schedules.upsert('hourly', oneByItem, {}, { every: 3_600_000, item: 'chat:1' });
  await ask(producer, 'runs');
  const { id } = await producer.schedules.runNow('hourly');
  assert.equal(limitIn((await producer.get(id))?.waitingFor ?? null)?.key, 'chat:1');
});
