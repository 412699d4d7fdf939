import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Queue } from 'bullmq';
import * as fc from 'fast-check';
import { z } from 'zod';
import { isFleetError } from '../../shared/errors.js';
import { checkId, checkItem, checkKnownId, createKeys, isName, problemOfId, problemOfItem, quote } from '../../shared/keys.js';
import { MAX_ID_LENGTH, MAX_ITEM_LENGTH } from '../../shared/limits.js';
import { RESERVED_IDS, TASK_KEY_NAMES, isShared } from '../../shared/reserved-ids.js';
import { defineTask } from '../../shared/task/definition.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const note = defineTask({ name: 'keys.note', input: z.object({}), retention: KEEP });
const CHARACTERS = 'abcxyzABCXYZ0123456789._~@=+-'.split('');
const ids = fc
  .tuple(fc.constantFrom('a', 'Z', '0', '9'), fc.string({ unit: fc.constantFrom(...CHARACTERS), maxLength: MAX_ID_LENGTH - 1 }))
  .map((parts) => parts.join(''))
  .filter((id) => problemOfId(id) === null);

test('every name in Redis begins with the prefix', () => {
  const { prefix, jobAt: _, ...names } = createKeys('pre');
  for (const name of Object.values(names)) assert.match(typeof name === 'string' ? name : name('x', 'completed', 'y'), /^pre:/);
  assert.equal(prefix, 'pre');
});

test('a job is recognised by its key, on a single server and on a cluster', () => {
  for (const keys of [createKeys('pre'), createKeys('pre', true)]) {
    for (const job of [
      { queue: 'chat', id: 'a' },
      { queue: 'chat.shard-1', id: 'repeat:x:1' },
    ])
      assert.deepEqual(keys.jobAt(keys.jobs(job.queue) + job.id), job);
    for (const key of [keys.jobs('chat'), keys.tasks, `other${keys.jobs('chat')}a`, keys.jobs(''), ''])
      assert.equal(keys.jobAt(key), null, key);
  }
});

test('the names shared with open-webui match its own', () => {
  const keys = createKeys('open-webui');
  assert.equal(keys.tasks, 'open-webui:tasks');
  assert.equal(keys.commands, 'open-webui:tasks:commands');
  assert.equal(keys.item('chat-1'), 'open-webui:tasks:item:chat-1');
});

test("the name of each of a queue's own keys is refused as an id", () => {
  const queue = new Queue('any', { connection: fleet.redis.client(), skipVersionCheck: true });
  const own = Object.keys(queue.keys).filter((name) => name !== '');
  assert.ok(own.length > 15);
  for (const name of own) assert.match(problemOfId(name) ?? '', /the name of one of a queue's own keys/, name);
  for (const name of RESERVED_IDS) assert.notEqual(problemOfId(name), null, name);
});

test('every name under p:tasks: is refused as an id, because the lease of such a task would overwrite that key', () => {
  const keys = Object.entries(createKeys('pre')).filter(([name]) => name !== 'lease' && name !== 'jobAt') as [
    string,
    string | ((part: string) => string),
  ][];
  const names = keys.map(([, name]) => (typeof name === 'string' ? name : name('x')));
  const built = names.flatMap((name) => (name.startsWith('pre:tasks:') ? [name.split(':')[2] as string] : []));
  assert.deepEqual(new Set([...built, 'response_streams']), TASK_KEY_NAMES);
  for (const name of TASK_KEY_NAMES) {
    assert.match(problemOfId(name) ?? '', /is the name of one of (the registry|a queue)'s own keys/);
    assert.deepEqual([isShared(name), isShared(`${name}:1`), isShared(`${name}-1`)], [false, false, true], name);
  }
});

test('an id has up to 128 letters, digits and a few symbols, and begins with a letter or digit', () => {
  for (const good of ['a', 'A-1', 'user@example.org', 'a=b+c~d', 'a'.repeat(MAX_ID_LENGTH), '1e5', '0x10', '1.5', 'Active', 'activex']) {
    assert.equal(problemOfId(good), null, good);
  }
  const bad = [
    '',
    'a'.repeat(MAX_ID_LENGTH + 1),
    'a:b',
    ':',
    'a b',
    'a\nb',
    'a\r\nb',
    'a\0b',
    '../a',
    '.a',
    '-a',
    'a/b',
    'ä',
    '🙂',
    'a*',
    '{a}',
  ];
  for (const id of bad) assert.notEqual(problemOfId(id), null, JSON.stringify(id));
});

test('a whole number is refused as a task id, because BullMQ generates such ids', () => {
  for (const id of ['0', '1', '007', '9'.repeat(40)]) assert.match(problemOfId(id) ?? '', /not a whole number/, id);
});

test('a whole number can be looked up, because jobs of plain BullMQ queues have such ids', () => {
  assert.equal(checkKnownId('42'), '42');
  assert.equal(checkKnownId('a-1'), 'a-1');
  for (const id of ['report for müller/42', 'a:b:c', '😀', 'x'.repeat(500), 'active', '..']) assert.equal(checkKnownId(id), id);
  for (const id of ['', 'a\0b', '\ud800', 'x'.repeat(1_001), 42, null, undefined])
    assert.throws(
      () => checkKnownId(id),
      (error) => isFleetError(error, 'INVALID_ID'),
    );
});

test('a value that is not a string is neither an id nor an item', () => {
  for (const value of [undefined, null, 1, {}, ['a'], Symbol('a'), new String('a')]) {
    assert.match(problemOfId(value) ?? '', /^expected a string, got /);
    assert.match(problemOfItem(value) ?? '', /^expected a string, got /);
  }
});

test('an item is any well-formed text without control characters, up to 256 characters', () => {
  for (const good of ['a', 'chat:1/2 ü 🙂', 'a'.repeat(MAX_ITEM_LENGTH), '*', ' ', 'active']) assert.equal(problemOfItem(good), null, good);
  for (const bad of ['', 'a'.repeat(MAX_ITEM_LENGTH + 1), 'a\nb', 'a\0', '\u007f', '\u0085', '\ud800', 'a\udc00']) {
    assert.notEqual(problemOfItem(bad), null, JSON.stringify(bad));
  }
});

test('an error about an id or item is short for any value, and has a code', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 2_000 }), (text) => {
      for (const [check, code] of [
        [checkId, 'INVALID_ID'],
        [checkItem, 'INVALID_ITEM'],
      ] as const) {
        try {
          assert.equal(check(text), text);
        } catch (error) {
          assert.ok(isFleetError(error, code), String(error));
          assert.ok(error.message.length < 600, error.message);
          assert.ok(!/[\0\n\r]/.test(error.message), error.message);
        }
      }
    }),
  );
  assert.equal(quote('a'.repeat(100)), `"${'a'.repeat(60)}…"`);
});

test('a name has up to 64 letters, digits and . _ -', () => {
  for (const good of ['a', 'chat.completion', 'A_b-9', 'a'.repeat(64)]) assert.ok(isName(good), good);
  for (const bad of ['', 'a:b', '.a', 'a b', 'ü', 'a'.repeat(65), 1, null]) assert.ok(!isName(bad), String(bad));
});

test('a task with any accepted id can be enqueued, read, listed and stopped, and the queue still works', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(ids, { minLength: 1, maxLength: 20 }), async (some) => {
      const producer = fleet.producer();
      await producer.enqueueMany(
        note,
        some.map((id) => ({ input: {}, id })),
      );
      const probe = await producer.enqueue(note, {});
      for (const id of some) assert.equal((await producer.get(id))?.state, 'queued', id);
      const listed = (await producer.list({ limit: 1_000 })).tasks.map(({ id }) => id);
      assert.deepEqual(listed.toSorted(), [...some, probe.id].toSorted());
      const receipts = await producer.stop([...some, probe.id]);
      assert.deepEqual(
        receipts.map(({ outcome }) => outcome),
        [...some, probe].map(() => 'cancelled'),
      );
    }),
    { numRuns: 15 },
  );
});

test('a task is found by any accepted item', async () => {
  const producer = fleet.producer();
  const items = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }).filter((item) => problemOfItem(item) === null);
  await fc.assert(
    fc.asyncProperty(items, async (item) => {
      const { id } = await producer.enqueue(note, {}, { item });
      assert.equal((await producer.get(id))?.item, item);
      assert.equal(await producer.hasActiveTasks(item), true);
      assert.deepEqual(
        (await producer.stopItem(item)).map((receipt) => receipt.id),
        [id],
      );
      assert.equal(await producer.hasActiveTasks(item), false);
    }),
    { numRuns: 40 },
  );
});
