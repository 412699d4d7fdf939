import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import * as fc from 'fast-check';
import type { Producer } from '../../../producer/index.js';
import type { Store } from '../../../shared/store.js';
import { type TaskFilter, checkFilter } from '../../../shared/task/filter/filter.js';
import { TASK_STATES } from '../../../shared/task/state.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ERRORS, ITEMS, type Known, NAMES, QUEUES, TAGS, populate, readAll, select } from './search-fleet.js';

const RUNS = Number(process.env['RUNS'] ?? 150);

describe('a search finds what a plain evaluation of the filter finds', () => {
  let fleet: TestFleet;
  let producer: Producer;
  let store: Store;
  let known: Known[];
  before(async () => {
    fleet = await TestFleet.start();
    const keyPrefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix });
    store = fleet.store({ keyPrefix });
    await populate(fleet, keyPrefix, producer, store);
    known = await readAll(store);
  });
  after(() => fleet.stop());

  const rarely = <Value>(values: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> =>
    fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: values });
  const starred = (list: readonly string[]): fc.Arbitrary<string> =>
    fc.oneof(
      fc.constantFrom(...list).map((text) => text.replace(/\*$/, '\\*')),
      fc.constantFrom(...list).chain((text) => fc.nat({ max: text.length - 1 }).map((end) => `${text.slice(0, end).replace(/\\$/, '')}*`)),
    );
  const time = (): fc.Arbitrary<Date> =>
    fc
      .constantFrom(...known.flatMap(({ at }) => (at === null ? [] : [at])))
      .chain((at) => fc.integer({ min: -1, max: 1 }).map((off) => new Date(at + off)));
  const search = (): fc.Arbitrary<string> =>
    fc
      .constantFrom(...NAMES, ...ITEMS, ...TAGS, ...known.slice(0, 9).map(({ view }) => view.id))
      .chain((text) => fc.integer({ min: 1, max: text.length }).map((end) => text.slice(0, end)));
  const filters = (): fc.Arbitrary<TaskFilter> =>
    fc.record({
      state: fc.oneof(
        fc.constantFrom('live', 'ended', 'all', undefined),
        fc.uniqueArray(fc.constantFrom(...TASK_STATES), { minLength: 1, maxLength: 3 }),
      ),
      name: rarely(starred(NAMES)),
      item: rarely(starred(ITEMS)),
      queue: rarely(fc.constantFrom(...QUEUES)),
      tag: rarely(fc.uniqueArray(fc.constantFrom(...TAGS), { minLength: 1, maxLength: 2 })),
      worker: rarely(fc.constantFrom(...new Set(known.flatMap(({ view }) => view.worker ?? [])), 'nobody')),
      error: rarely(fc.constantFrom(...ERRORS, 'FULL', 'nothing')),
      enqueuedAfter: rarely(time()),
      enqueuedBefore: rarely(time()),
      finishedAfter: rarely(time()),
      finishedBefore: rarely(time()),
      olderThanMs: rarely(fc.constantFrom(0, 3_600_000)),
      search: rarely(search()),
      order: fc.constantFrom('newest', 'oldest', undefined),
    });
  const visible = rarely(fc.uniqueArray(fc.constantFrom('mine-*', '*1*', 'other', 'm*0', '*', 'k*e\\*'), { maxLength: 2 }));

  async function compare(): Promise<void> {
    const property = fc.asyncProperty(filters(), visible, fc.integer({ min: 1, max: 40 }), async (filter, visibleItems, limit) => {
      const checked = checkFilter(filter, visibleItems);
      const expected = select(known, checked, store.clock.now());
      const ids: string[] = [];
      for (let cursor: string | null = null; ;) {
        const page = await producer.list({ ...filter, visibleItems, limit, after: cursor ?? undefined });
        ids.push(...page.tasks.map(({ id }) => id));
        if (page.next === null) break;
        assert.ok(page.tasks.length === limit, 'a page with a next one is full');
        cursor = page.next;
      }
      assert.deepEqual(ids, expected);
      const { count, complete } = await producer.count(filter, { visibleItems });
      assert.deepEqual([count, complete], [expected.length, true]);
      const states = new Map(known.map(({ view }) => [view.id, view.state]));
      const byState = await producer.countByState(filter, { visibleItems });
      assert.deepEqual(
        [...byState].map(([state, counted]) => [state, counted.count, counted.complete]),
        [...byState.keys()].map((state) => [state, expected.filter((id) => states.get(id) === state).length, true]),
      );
      const found = await store.search.ids(checked, { after: null, limit: 1_000 });
      assert.deepEqual(
        found.found.map(({ id }) => id),
        expected,
      );
      const byId = new Map(known.map(({ view }) => [view.id, view.queue]));
      for (const { id, queue } of found.found) assert.equal(queue, byId.get(id));
    });
    await fc.assert(property, { numRuns: RUNS });
  }

  test('without complete indexes', async () => {
    await store.redis.del(store.keys.findComplete);
    await compare();
  });

  test('by the indexes', async () => {
    await store.redis.set(store.keys.findComplete, '1');
    await compare();
  });
});
