import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import type { Producer } from '../../../producer/index.js';
import type { Keys } from '../../../shared/keys.js';
import { defineTask } from '../../../shared/task/definition.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';

const MANY = 2_300;
const note = defineTask({ name: 'note', queue: 'note', input: z.object({}) });

describe('a search by the start of an item', () => {
  let fleet: TestFleet;
  let producer: Producer;
  let keys: Keys;
  before(async () => {
    fleet = await TestFleet.start();
    const keyPrefix = fleet.newPrefix();
    keys = fleet.keys(keyPrefix);
    producer = fleet.producer({ keyPrefix });
    await producer.list();
    await producer.enqueueMany(note, [
      ...Array.from({ length: MANY }, () => ({ input: {}, item: 'big' })),
      ...Array.from({ length: MANY }, (_, index) => ({ input: {}, item: `small-${index}` })),
    ]);
  });
  after(() => fleet.stop());

  test('finds the tasks of an item with thousands, and of thousands of items', async () => {
    assert.equal(await fleet.client.exists(keys.findComplete), 1);
    for (const [item, count] of [
      ['big', MANY],
      ['b*', MANY],
      ['small-*', MANY],
      ['small-1*', 1 + 10 + 100 + 1_000],
      ['small-7', 1],
      ['none*', 0],
    ] as const)
      assert.deepEqual(await producer.count({ item }), { count, complete: true }, item);
    assert.equal((await producer.list({ item: 'small-22*', limit: 1 })).searched, 1 + 10 + 100);
  });

  test('reads an item with thousands of tasks in pages of hundreds', async () => {
    await producer.count({ item: 'b*' });
    await fleet.client.config('RESETSTAT');
    await producer.count({ item: 'b*' });
    const { evalsha = 0, sscan = 0 } = await fleet.commandCounts();
    assert.ok(evalsha < 90 && sscan > 4 && sscan < 60, `${evalsha} scripts, ${sscan} scans`);
  });

  test('an item is in the index exactly as long as it has a live task', async () => {
    const [first, second] = await producer.enqueueMany(note, [
      { input: {}, item: 'pair' },
      { input: {}, item: 'pair' },
    ]);
    assert.ok(first && second);
    const isIndexed = () => fleet.client.zscore(keys.findItems, 'pair');
    await producer.stop(first.id);
    assert.equal(await isIndexed(), '0');
    await producer.stop(second.id);
    assert.equal(await isIndexed(), null);
  });
});
