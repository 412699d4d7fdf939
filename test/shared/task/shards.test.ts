import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { uuidv7 } from 'uuidv7';
import { z } from 'zod';
import { isFleetError, messageOf } from '../../../shared/errors.js';
import { createKeys, isName } from '../../../shared/keys.js';
import { type TaskOptions, defineTask } from '../../../shared/task/definition.js';
import { jobOptions } from '../../../shared/task/job-options.js';
import { MAX_SHARDED_LENGTH, baseQueue, isOnQueue, shardOf, shardsOf } from '../../../shared/task/shards.js';
import { KEEP } from '../../support/task/keep.js';

const SLOTS = 16_384;
const shards = fc.integer({ min: 1, max: 64 });
const queue = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,54}$/).filter((name) => !/\.shard-\d+$/i.test(name));
const id = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._~@=+-]{0,60}$/);

function problemOf(options: Partial<TaskOptions<unknown, unknown>>): string {
  try {
    defineTask({ name: 'a.b', input: z.unknown(), retention: KEEP, ...options });
  } catch (error) {
    assert.ok(isFleetError(error, 'INVALID_DEFINITION'), String(error));
    return messageOf(error);
  }
  throw new assert.AssertionError({ message: 'the definition was accepted' });
}

test('the first shard is the queue itself, the others are numbered', () => {
  assert.deepEqual(shardsOf({ queue: 'chat', shards: 3 }), ['chat', 'chat.shard-1', 'chat.shard-2']);
  assert.deepEqual(shardsOf({ queue: 'chat', shards: 1 }), ['chat']);
  assert.deepEqual(shardsOf({ queue: 'chat' }), ['chat'], 'a definition by a version without shards');
  assert.equal(shardOf({ queue: 'chat' }, 'any'), 'chat');
});

test('every id always maps to the same shard, whose name leads back to the queue', () => {
  fc.assert(
    fc.property(queue, shards, id, (name, count, one) => {
      const all = shardsOf({ queue: name, shards: count });
      assert.equal(new Set(all).size, count);
      assert.ok(all.every((shard) => isName(shard) && baseQueue(shard) === name && isOnQueue(shard, name)));
      const shard = shardOf({ queue: name, shards: count }, one);
      assert.ok(all.includes(shard));
      assert.equal(shardOf({ queue: name, shards: count }, one), shard);
      assert.ok(
        all.every((other) => isOnQueue(shard, other) === (other === shard || other === name)),
        'a shard name selects that shard, a queue name all shards',
      );
    }),
  );
});

test('the shard of an id is the same in every version, so that enqueued tasks are found', () => {
  const placed = ['chat-1', 'chat-2', 'order-7', 'a', '0190d3f0-0000-7000-8000-000000000001', '0190d3f0-0000-7000-8000-000000000002'].map(
    (one) => shardOf({ queue: 'q', shards: 8 }, one),
  );
  assert.deepEqual(placed, ['q.shard-5', 'q.shard-4', 'q.shard-4', 'q.shard-3', 'q.shard-3', 'q.shard-2']);
});

test('generated and consecutive ids are spread evenly', () => {
  const rows = [Array.from({ length: 16_000 }, () => uuidv7()), Array.from({ length: 16_000 }, (_, n) => `order-${n}`)];
  for (const ids of rows) {
    for (const count of [2, 3, 7, 16, 64]) {
      const mean = ids.length / count;
      const sizes = new Map(shardsOf({ queue: 'q', shards: count }).map((shard) => [shard, 0]));
      for (const one of ids) {
        const shard = shardOf({ queue: 'q', shards: count }, one);
        sizes.set(shard, (sizes.get(shard) as number) + 1);
      }
      // Six standard deviations of an even spread: exceeded once in 500 million shards.
      for (const size of sizes.values()) assert.ok(Math.abs(size - mean) < 6 * Math.sqrt(mean), `${size} of ${mean} on one of ${count}`);
    }
  }
});

test('a definition has one shard by default and 64 at most', () => {
  const options = { name: 'chat.write', input: z.unknown(), retention: KEEP };
  assert.equal(defineTask(options).shards, 1);
  assert.equal(defineTask({ ...options, shards: 64 }).shards, 64);
  for (const wrong of [0, 65, 1.5, '4' as unknown as number]) assert.match(problemOf({ shards: wrong }), /shards: /);
});

test('the name of a shard is not the name of a queue', () => {
  for (const name of ['chat.shard-1', 'chat.shard-0', 'chat.shard-64', 'a.b.SHARD-07']) {
    assert.match(
      problemOf({ queue: name }),
      /^Bad task definition "a\.b": queue: expected the name of a logical queue; a name that ends in \.shard-<n> is that of a shard\.$/,
    );
  }
  for (const name of ['chat.shard', 'chat.shard-x', 'chat-shard-1', 'shard-1', 'chat.shard-1.more']) {
    assert.equal(defineTask({ name: 'a.b', queue: name, input: z.unknown(), retention: KEEP }).queue, name);
    assert.equal(baseQueue(name), name);
  }
  for (const name of ['chat.shard-0', 'chat.shard-64', 'chat.shard-01', '.shard-1']) assert.equal(baseQueue(name), name);
});

test('a queue with shards leaves room for the names of its shards', () => {
  const [fits, long] = ['q'.repeat(MAX_SHARDED_LENGTH), 'q'.repeat(MAX_SHARDED_LENGTH + 1)];
  assert.ok(shardsOf(defineTask({ name: 'a', queue: fits, shards: 64, input: z.unknown(), retention: KEEP })).every(isName));
  assert.match(problemOf({ queue: long, shards: 2 }), /queue: expected at most 55 characters for a queue with shards, got 56/);
  assert.equal(
    defineTask({ name: 'a', queue: long, input: z.unknown(), retention: KEEP }).queue,
    long,
    'a queue without shards may have a longer name',
  );
});

test('a retention count is divided among the shards, rounded up; zero stays zero', () => {
  const limits = (count: number) => ({ completed: { ageMs: 1_000, count }, failed: { ageMs: 1_000, count: 0 } });
  const kept = (count: number, n: number) => jobOptions(defineTask({ name: 'a', input: z.unknown(), shards: n, retention: limits(count) }));
  assert.deepEqual(kept(1_000, 3).removeOnComplete, { age: 1, count: 334 });
  assert.deepEqual(kept(1, 64).removeOnComplete, { age: 1, count: 1 });
  assert.deepEqual(kept(1_000, 1).removeOnComplete, { age: 1, count: 1_000 });
  assert.deepEqual(kept(1_000, 3).removeOnFail, { age: 1, count: 0 });
  assert.deepEqual(kept(1_000, 3).keepCancelled, { age: 86_400, count: 334 }, 'the default is divided too');
});

test('in a cluster of three equal nodes, eight shards or more use all nodes, each shard in its own slot', () => {
  const keys = createKeys('taskfleet', true);
  for (const name of ['chat', 'documents', 'fleet', 'report', 'mail', 'a', 'index', 'video']) {
    for (const count of [8, 16, 32, 64]) {
      const slots = shardsOf({ queue: name, shards: count }).map((shard) => slotOf(`${keys.jobs(shard)}wait`));
      const nodes = [0, 1, 2].map((node) => slots.filter((slot) => Math.floor((slot * 3) / SLOTS) === node).length);
      assert.equal(new Set(slots).size, count, `${name}: two of ${count} shards share a slot`);
      assert.ok(
        Math.min(...nodes) >= 1 && Math.max(...nodes) <= Math.ceil(count * 0.625),
        `${name}: ${count} shards lie as ${nodes.join('/')}`,
      );
    }
  }
});

/** Returns the cluster slot of a key: CRC-16 (XMODEM) of its hash tag, if present. See the Redis Cluster specification. */
function slotOf(key: string): number {
  const [, tag = key] = /\{([^}]+)\}/.exec(key) ?? [];
  let crc = 0;
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  return crc % SLOTS;
}
