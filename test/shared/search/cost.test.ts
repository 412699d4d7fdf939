import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import type { ListOptions, Producer, TaskPage } from '../../../producer/index.js';
import type { Store } from '../../../shared/store.js';
import { defineTask } from '../../../shared/task/definition.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

const COMMON = 21_000;
const rare = defineTask({ name: 'rare', queue: 'rare', input: z.object({}), retention: KEEP });

describe('a page behind 21,000 other tasks', () => {
  let fleet: TestFleet;
  let producer: Producer;
  let store: Store;
  before(async () => {
    fleet = await TestFleet.start();
    const keyPrefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix });
    store = fleet.store({ keyPrefix });
    // Reading an empty registry marks its indexes as complete.
    assert.deepEqual(await producer.list(), { tasks: [], next: null, searched: 0, reached: null });
    await producer.enqueueMany(rare, [
      { input: {}, item: 'mine-1', tags: ['tenant:7'] },
      { input: {}, item: 'mine-2' },
    ]);
    const pipeline = fleet.client.pipeline();
    const writes = store.registry.writes();
    const jobs = store.keys.jobs('common');
    const options = JSON.stringify({ item: 'other' });
    const now = Date.now();
    for (let n = 0; n < COMMON; n += 1) {
      const [id, at] = [`common-${n}`, now + 1_000 + Math.floor(n / 10)];
      writes.add({ id, queue: 'common', name: 'common', item: 'other', at });
      pipeline.hset(jobs + id, { name: 'common', data: '{}', opts: options, timestamp: at }).rpush(`${jobs}wait`, id);
    }
    await Promise.all(writes.flushInto(store.redis));
    await pipeline.sadd(store.keys.queues, 'common').exec();
  });
  after(() => fleet.stop());

  async function cost(options: ListOptions): Promise<{ page: TaskPage; commands: number }> {
    await producer.list(options);
    const count = async (): Promise<number> => Object.values(await fleet.commandCounts()).reduce((sum, calls) => sum + calls, 0);
    await fleet.client.config('RESETSTAT');
    const page = await producer.list(options);
    return { page, commands: await count() };
  }

  test('costs what it finds', async () => {
    const found: readonly (readonly [ListOptions, count: number])[] = [
      [{ name: 'nope', limit: 1 }, 0],
      [{ name: 'nope', limit: 1, visibleItems: ['mine-*'] }, 0],
      [{ visibleItems: ['mine-*'] }, 2],
      [{ queue: 'rare' }, 2],
      [{ tag: 'tenant:7' }, 1],
      [{ name: 'ra*' }, 2],
      [{ state: 'running' }, 0],
      [{ state: 'ended', name: 'nope' }, 0],
    ];
    for (const [options, count] of found) {
      const { page, commands } = await cost(options);
      assert.deepEqual([page.tasks.length, page.next], [count, null], JSON.stringify(options));
      assert.ok(commands < 60 + 60 * count, `${JSON.stringify(options)}: ${commands} commands`);
    }
    const { searched } = await producer.list({ search: 'mine-' });
    assert.ok(searched > COMMON, 'ids are in no index');
  });

  test('ends when it has examined the most, says how far it got, and continues there', async () => {
    const first = await producer.list({ error: 'nothing' });
    assert.deepEqual([first.tasks, first.searched >= 20_000, first.reached !== null], [[], true, true]);
    assert.match(first.next ?? '', /^\d+-common-\d+$/);
    const rest = await producer.list({ error: 'nothing', after: first.next ?? '' });
    assert.deepEqual([rest.tasks, rest.next, rest.reached], [[], null, null]);
    assert.ok(first.searched + rest.searched >= COMMON + 2 && rest.searched < 5_000);
  });

  test('never names a hidden task in its cursor', async () => {
    // Without a literal start, no range of the index is small enough.
    const visibleItems = ['*ne-1'];
    const first = await producer.list({ visibleItems });
    assert.deepEqual([first.tasks, first.reached !== null], [[], true]);
    assert.match(first.next ?? '', /^\d+-$/);
    const rest = await producer.list({ visibleItems, after: first.next ?? '' });
    assert.deepEqual(
      rest.tasks.map(({ item }) => item),
      ['mine-1'],
    );
    assert.equal(rest.next, null);
  });

  test('counts without reading views', async () => {
    assert.deepEqual(await producer.count({ name: 'common' }), { count: COMMON, complete: true });
    assert.deepEqual(await producer.count({ name: 'common' }, { atMost: 10 }), { count: 10, complete: false });
  });
});
