import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Queue } from 'bullmq';
import { z } from 'zod';
import { isFleetError, messageOf } from '../../../shared/errors.js';
import { createKeys } from '../../../shared/keys.js';
import { defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import { deferred } from '../../support/deferred.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const note = defineTask({ name: 'note.take', input: z.object({ n: z.number().default(1), text: z.string().optional() }), retention: KEEP });
const loose = defineTask({ name: 'note.any', input: z.unknown(), retention: KEEP });

test("an enqueued task is a job on the definition's queue, with its input unchanged", async () => {
  const keyPrefix = fleet.newPrefix();
  const task = defineTask({
    name: 'a.b',
    queue: 'other',
    input: z.object({ n: z.number().default(1) }),
    retry: { attempts: 3 },
    retention: KEEP,
  });
  const { id, ...rest } = await fleet.producer({ keyPrefix }).enqueue(task, {}, { item: 'chat-1' });
  assert.deepEqual(rest, { name: 'a.b', queue: 'other', item: 'chat-1', duplicate: false, superseded: [] });
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/, 'a UUIDv7');
  const queue = new Queue('other', { connection: fleet.client, prefix: createKeys(keyPrefix).bull('other') });
  const job = await queue.getJob(id);
  assert.equal(await job?.getState(), 'waiting');
  assert.deepEqual([job?.name, job?.data, job?.opts.attempts], ['a.b', {}, 3], 'defaults are filled in by the worker');
  await queue.close();
});

test('a task is registered before a worker can see it', async () => {
  const producer = fleet.producer();
  await producer.ping();
  for (const options of [{}, { priority: 1 }]) {
    const watch = await fleet.monitor();
    await producer.enqueue(note, {}, { item: 'chat-1', ...options });
    const names = (await watch.stop()).map(([name = '']) => name.toLowerCase());
    const added = names.indexOf('hmset');
    for (const registered of ['hset', 'zadd', 'sadd'])
      assert.ok(names.indexOf(registered) >= 0 && names.indexOf(registered) < added, names.join(' '));
  }
});

test('an enqueue is one command', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  await producer.enqueue(note, {});
  const watch = await fleet.monitor();
  await producer.enqueue(note, {}, { item: 'chat-1', tags: ['a', 'b'] });
  // Scripts write the names of commands in capitals.
  const sent = (await watch.stop()).filter(([name = '', ...words]) => name === name.toLowerCase() && words.join(' ').includes(keyPrefix));
  assert.deepEqual(
    sent.map(([name]) => name),
    ['evalsha'],
  );
});

test('tasks enqueued in one event loop turn are registered by one command per key and script', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  await producer.enqueue(note, {});
  const watch = await fleet.monitor();
  await Promise.all(Array.from({ length: 128 }, (_, n) => producer.enqueue(note, { n }, { item: `chat-${n % 2}` })));
  const commands = (await watch.stop())
    .filter(([name, key]) => name !== 'HLEN' && key?.startsWith(`${keyPrefix}:tasks`))
    .map(([name, key]) => `${name} ${key}`);
  const expected = ['HSET tasks:queues', 'HSET tasks', 'SADD tasks:item:chat-0', 'SADD tasks:item:chat-1', 'ZADD tasks:live'];
  assert.deepEqual(
    commands,
    [...expected, ...expected].map((command) => command.replace(' ', ` ${keyPrefix}:`)),
  );
});

test('five thousand concurrent enqueues all add their task', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const single = await Promise.all(Array.from({ length: 5_000 }, (_, n) => producer.enqueue(note, { n })));
  const many = await producer.enqueueMany(
    note,
    Array.from({ length: 5_000 }, (_, n) => ({ input: { n }, item: 'all' })),
  );
  assert.equal(new Set([...single, ...many].map(({ id }) => id)).size, 10_000);
  assert.deepEqual(await fleet.registrySize(keyPrefix), { tasks: 10_000, queues: 10_000, live: 10_000, items: 1, leases: 0 });
  assert.equal(await fleet.client.llen(`${createKeys(keyPrefix).jobs('note')}wait`), 10_000);
});

test('an invalid input is refused with the name of the field, and nothing is written', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const task = defineTask({
    name: 'deep',
    input: z.strictObject({ messages: z.array(z.object({ role: z.enum(['user']) })), n: z.number() }),
    retention: KEEP,
  });
  const wrong = { messages: [{ role: 'user' }, { role: 'nobody' }], n: 'x' } as unknown as { messages: { role: 'user' }[]; n: number };
  await assert.rejects(producer.enqueue(task, wrong), (error) => {
    assert.ok(isFleetError(error, 'INVALID_INPUT'));
    assert.match(error.message, /^Bad input for deep: messages\.1\.role: .*; n: /);
    const { errors, ...rest } = error.details;
    assert.deepEqual(rest, { task: 'deep', fields: ['messages.1.role', 'n'] });
    assert.deepEqual(
      (errors as { field: string }[]).map(({ field }) => field),
      ['input.messages.1.role', 'input.n'],
    );
    return true;
  });
  assert.deepEqual(await fleet.written(keyPrefix), []);
});

test('an input that JSON cannot hold is refused', async () => {
  const producer = fleet.producer();
  const cyclic: Record<string, unknown> = {};
  cyclic['self'] = cyclic;
  const unreadable = {
    get secret() {
      throw new Error('not now');
    },
  };
  for (const input of [cyclic, { n: 1n }, undefined, () => 1, Symbol('s'), unreadable]) {
    await assert.rejects(
      producer.enqueue(loose, input),
      (error) => isFleetError(error, 'INVALID_INPUT') && error.message.startsWith('Bad input for note.any: '),
    );
  }
});

test('a schema that throws counts as invalid input', async () => {
  const producer = fleet.producer();
  const slow = defineTask({ name: 'slow', input: z.string().refine(() => Promise.resolve(true)), retention: KEEP });
  const broken = defineTask({
    name: 'broken',
    input: z.string().refine(() => {
      throw new Error('out of luck');
    }),
    retention: KEEP,
  });
  for (const task of [slow, broken]) await assert.rejects(producer.enqueue(task, 'x'), (error) => isFleetError(error, 'INVALID_INPUT'));
});

test('the limit of an input counts the bytes of its JSON', async () => {
  const producer = fleet.producer({ maxInputBytes: 1_024 });
  for (const [character, bytes] of [
    ['a', 1],
    ['ü', 2],
    ['€', 3],
    ['🙂', 4],
    ['"', 2],
    ['\n', 2],
  ] as const) {
    const room = 1_024 - 2 - ((1_024 - 2) % bytes);
    const filler = 'a'.repeat((1_024 - 2) % bytes);
    const fits = character.repeat(room / bytes) + filler;
    assert.equal(Buffer.byteLength(JSON.stringify(fits)), 1_024);
    await producer.enqueue(loose, fits);
    await assert.rejects(producer.enqueue(loose, `${fits}a`), (error) => {
      assert.ok(isFleetError(error, 'INPUT_TOO_LARGE'));
      assert.deepEqual(error.details, { task: 'note.any', bytes: 1_025, limit: 1_024 });
      return true;
    });
  }
});

test('an invalid option is refused with its name and the allowed values', async () => {
  const producer = fleet.producer();
  for (const delay of [-1, 1.5, Number.NaN, Infinity, '5', 1e15]) {
    await assert.rejects(
      producer.enqueue(note, {}, { delay: delay as number }),
      (error) =>
        isFleetError(error, 'INVALID_OPTION') && /Bad delay: expected a whole number from 0 to 315360000000, got/.test(error.message),
    );
  }
  await assert.rejects(producer.enqueue(note, {}, { priority: 2_097_152 }), /Bad priority: .* got 2097152/);
  await assert.rejects(producer.enqueue(note, {}, { id: 'active' }), (error) => isFleetError(error, 'INVALID_ID'));
  await assert.rejects(producer.enqueue(note, {}, { id: '7' }), (error) => isFleetError(error, 'INVALID_ID'));
  await assert.rejects(producer.enqueue(note, {}, { item: 'a\nb' }), (error) => isFleetError(error, 'INVALID_ITEM'));
});

test('enqueueMany adds all tasks or none, and names the invalid one', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const tasks = [{ input: { n: 1 } }, { input: { n: 'two' as unknown as number } }, { input: { n: 3 } }];
  await assert.rejects(producer.enqueueMany(note, tasks), (error) => isFleetError(error, 'INVALID_INPUT') && /: n: /.test(error.message));
  await assert.rejects(producer.enqueueMany(note, [{ input: {} }, { input: {}, id: 'a:b' }]), (error) => isFleetError(error, 'INVALID_ID'));
  assert.deepEqual(await fleet.client.keys(`${keyPrefix}:*`), []);
  assert.deepEqual(await producer.enqueueMany(note, []), []);
});

test('a delayed task is scheduled, and runs after its delay', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const later = await producer.enqueue(note, {}, { delay: 3_600_000 });
  const soon = await producer.enqueue(note, {}, { delay: 150 });
  assert.equal((await producer.get(later))?.state, 'scheduled');
  const enqueued = performance.now();
  await fleet.worker(keyPrefix, [defineHandler(note, () => performance.now())]);
  const started = (await producer.result(soon)) as number;
  assert.ok(started - enqueued > 100);
  assert.equal((await producer.get(later))?.state, 'scheduled');
});

test('tasks without a priority run first, then by lowest number, then by age', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const all = deferred();
  const order: unknown[] = [];
  for (const [text, priority] of [
    ['z', 2_097_151],
    ['b1', 2],
    ['b2', 2],
    ['a', 1],
    ['none', 0],
  ] as const)
    await producer.enqueue(note, { text }, { priority });
  const handler = defineHandler(note, ({ input }) => {
    if (order.push(input.text) === 5) all.resolve();
  });
  await fleet.worker(keyPrefix, [handler], { concurrency: 1 });
  await all.promise;
  assert.deepEqual(order, ['none', 'a', 'b1', 'b2', 'z']);
});

test('when Redis is out of memory, enqueue rejects and leaves nothing in the registry', async (context) => {
  const full = await TestFleet.start({ extraArgs: ['--maxmemory', '8mb', '--maxmemory-policy', 'noeviction'] });
  context.after(() => full.stop());
  const keyPrefix = full.newPrefix();
  const producer = full.producer({ keyPrefix });
  const input = { text: 'x'.repeat(100_000) };
  const added: string[] = [];
  let refusal: unknown;
  while (refusal === undefined) {
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => producer.enqueue(note, input, { item: 'big' })));
    for (const result of results) {
      if (result.status === 'fulfilled') added.push(result.value.id);
      else refusal = result.reason;
    }
  }
  assert.ok(isFleetError(refusal, 'REDIS_OUT_OF_MEMORY'), messageOf(refusal));
  assert.match(refusal.message, /raise maxmemory/);
  const size = await full.registrySize(keyPrefix);
  assert.deepEqual(size, { tasks: added.length, queues: added.length, live: added.length, items: 1, leases: 0 });
  await assert.rejects(producer.enqueue(note, input, { item: 'big', id: 'mine' }), { code: 'REDIS_OUT_OF_MEMORY' });
  assert.deepEqual(await full.registrySize(keyPrefix), size);

  await full.client.config('SET', 'maxmemory', '64mb');
  assert.equal((await producer.enqueue(note, input, { id: 'mine' })).duplicate, false);
  const ended = await producer.stop([...added, 'mine']);
  assert.deepEqual([ended.length, new Set(ended.map(({ outcome }) => outcome))], [added.length + 1, new Set(['cancelled'])]);
  assert.deepEqual(await full.registrySize(keyPrefix), EMPTY_REGISTRY);
});
