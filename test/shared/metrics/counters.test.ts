import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Count, Counters, createCount } from '../../../shared/metrics/counters.js';
import { TaskCounters } from '../../../shared/metrics/task-counters.js';
import type { Store } from '../../../shared/store.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { until } from '../../support/until.js';

describe('Counters', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function setUp(): Promise<Store> {
    const store = fleet.store();
    await store.redis.ping();
    return store;
  }

  const counted: Count = createCount('a');
  const totals = ({ keys }: Store): Promise<Record<string, string>> => fleet.client.hgetall(keys.counters);

  it('are summed over processes, with one command per process', async () => {
    const { redis, keys, ...store } = await setUp();
    const [one, other] = [new Counters(redis, keys, Date), new Counters(redis, keys, Date)];
    for (let n = 0; n < 100; n += 1) one.increase(counted);
    one.increase(createCount('b'), 5);
    one.increase(createCount('c'), 0);
    other.increase(createCount('a'));
    const watch = await fleet.monitor();
    await Promise.all([one.flush(), other.flush()]);
    await Promise.all([one.flush(), other.flush()]);
    await watch.stop();
    const sent = watch.commands.filter(([name = '']) => name.startsWith('eval'));
    assert.equal(sent.length, 2);
    assert.deepEqual(await totals({ redis, keys, ...store }), { a: '101', b: '5' });
  });

  it('are flushed within about a second', async () => {
    const store = await setUp();
    store.counters.increase(counted);
    await until(
      () => totals(store),
      ({ a }) => a === '1',
    );
  });

  it('are flushed when their process closes', async () => {
    const store = await setUp();
    store.counters.increase(counted, 3);
    await store.close();
    assert.deepEqual(await totals(store), { a: '3' });
  });

  it('count a batch once even if its answer was lost, and lose no counts made meanwhile', async () => {
    const store = await setUp();
    const { redis, keys } = store;
    let lost = 0;
    const losing = new Proxy(redis, {
      get: (target, name) => {
        if (name !== 'addCounts') return Reflect.get(target, name, target) as unknown;
        return async (...words: (string | number)[]) => {
          const answer = await target.addCounts(...words);
          if ((lost += 1) <= 2) throw new Error('Connection is closed.');
          return answer;
        };
      },
    });
    const counters = new Counters(losing, keys, Date);
    counters.increase(counted);
    await counters.flush();
    counters.increase(counted, 10);
    await counters.flush();
    assert.deepEqual(await totals(store), { a: '1' });
    await counters.close();
    assert.deepEqual(await totals(store), { a: '11' });
    assert.equal(lost, 4);
  });

  it('wait for an unreachable Redis without delaying callers', async () => {
    const own = await TestFleet.start();
    try {
      const store = own.store();
      await store.redis.ping();
      await own.redis.kill();
      await until(
        () => store.redis.status,
        (status) => status !== 'ready',
      );
      store.counters.increase(counted);
      await store.counters.flush();
      store.counters.increase(counted);
      await own.redis.restart();
      await until(
        () => own.client.hget(store.keys.counters, 'a'),
        (count) => count === '2',
      );
    } finally {
      await own.stop();
    }
  });

  it('keep the counts of each minute for two hours', async () => {
    const store = await setUp();
    store.taskCounters.finished({ queue: 'q', name: 'n' }, 'completed');
    store.taskCounters.finished({ queue: 'maintenance', name: 'registry.reconcile' }, 'completed');
    await store.counters.flush();
    const [minute = ''] = await fleet.client.keys(store.keys.minute('*'));
    assert.deepEqual(await fleet.client.hgetall(minute), { completed: '1' });
    const ttl = await fleet.client.ttl(minute);
    assert.ok(ttl > 7_000 && ttl <= 7_200, `${ttl} s`);
    const [source = ''] = await fleet.client.keys(store.keys.countSource('*'));
    assert.ok((await fleet.client.ttl(source)) > 3_500);
  });

  it('distinguish at most 500 names, and only names that a definition may have', async () => {
    const store = await setUp();
    const taskCounters = new TaskCounters(store.counters);
    for (const name of ['', 'a|b', 'a\nb', 'x'.repeat(65)]) taskCounters.enqueued({ queue: 'q', name });
    for (let n = 0; n < 1_000; n += 1) taskCounters.enqueued({ queue: 'q', name: `n${n}` });
    await store.counters.flush();
    const fields = Object.entries(await totals(store));
    assert.ok(fields.length <= 502, `${fields.length} fields`);
    assert.equal(
      fields.reduce((sum, [, count]) => sum + Number(count), 0),
      1_004,
    );
    assert.deepEqual(
      fields.filter(([field]) => /[^\w.|-]/.test(field)),
      [],
    );
  });
});
