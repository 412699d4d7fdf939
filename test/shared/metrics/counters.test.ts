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
    assert.deepEqual(await fleet.client.hgetall(minute), { completed: '1', 'out|q': '1', 'out|maintenance': '1' });
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

  const series = async ({ keys }: Store): Promise<Record<string, Record<string, string>>> => {
    const slots = await fleet.client.keys(keys.series('*', '*'));
    const read = await Promise.all(slots.map((key) => fleet.client.hgetall(key)));
    return Object.fromEntries(slots.map((key, index) => [key.split(':').at(-2) as string, read[index] as Record<string, string>]));
  };

  it('keep time series by task name, without maintenance tasks', async () => {
    const store = await setUp();
    const { taskCounters, counters, keys } = store;
    const task = { queue: 'q', name: 'n' };
    for (let n = 0; n < 3; n += 1) taskCounters.ran(task, 100);
    taskCounters.started(task, -5);
    taskCounters.finished(task, 'failed');
    taskCounters.cancelled(task, { via: 'signal', deliveredMs: 1, settledMs: 3 });
    taskCounters.finished({ queue: 'maintenance', name: 'registry.reconcile' }, 'failed');
    taskCounters.ran({ queue: 'maintenance', name: 'registry.reconcile' }, 5);
    await counters.flush();
    const counts = {
      'run|n|40': '3',
      'wait|n|0': '1',
      'stop|n|10': '1',
      'finished|n|failed': '1',
      'finished|n|cancelled': '1',
    };
    assert.deepEqual(await series(store), { '1m': counts, '10m': counts, '1h': counts });
    for (const [step, seconds] of [
      ['1m', 7_200],
      ['10m', 90_000],
      ['1h', 691_200],
    ] as const) {
      const [key = ''] = await fleet.client.keys(keys.series(step, '*'));
      const ttl = await fleet.client.ttl(key);
      assert.ok(ttl > seconds - 60 && ttl <= seconds, `${step}: ${ttl} s`);
    }
  });

  it('send durations by name twice a minute, and at the end of the minute', async () => {
    const { redis, keys } = await setUp();
    let now = Date.UTC(2026, 0, 1);
    const counters = new Counters(redis, keys, { now: () => now });
    const duration = createCount('run|n|1', 'duration');
    const outcome = createCount('finished|n|failed', 'name');
    const sent = (step: string): Promise<Record<string, string>> =>
      fleet.client.hgetall(keys.series(step, String(Math.floor(Date.UTC(2026, 0, 1) / (step === '1m' ? 60_000 : 3_600_000)))));
    const countBoth = async (): Promise<void> => {
      counters.increase(duration);
      counters.increase(outcome);
      const last = (await sent('1m'))['finished|n|failed'];
      await until(
        () => sent('1m'),
        (fields) => fields['finished|n|failed'] !== last,
      );
    };
    await countBoth();
    assert.equal((await sent('1m'))['run|n|1'], undefined);
    now += 29_000;
    await countBoth();
    assert.equal((await sent('1m'))['run|n|1'], undefined);
    now += 1_000;
    await countBoth();
    await until(
      () => sent('1m'),
      (fields) => fields['run|n|1'] === '3',
    );
    counters.increase(duration);
    now += 30_000;
    await until(
      () => sent('1m'),
      (fields) => fields['run|n|1'] === '4',
    );
    counters.increase(duration);
    await counters.close();
    assert.deepEqual([(await sent('1m'))['run|n|1'], (await sent('1h'))['run|n|1']], ['4', '5']);
  });

  it('bound the names of the series in a process and in Redis', async () => {
    const store = await setUp();
    const { redis, keys } = store;
    // All counts are of one minute.
    const counters = new Counters(redis, keys, { now: () => Date.UTC(2026, 0, 1, 12) });
    const names = new TaskCounters(counters);
    for (let n = 0; n < 200; n += 1) names.finished({ queue: 'q', name: `n${n}` }, 'completed');
    await counters.flush();
    const own = (await series(store))['1m'] ?? {};
    assert.deepEqual([Object.keys(own).length, own['finished|unknown|completed']], [101, '100']);
    // A slot that other processes have filled.
    const [slot = ''] = await fleet.client.keys(keys.series('1m', '*'));
    await fleet.client.hset(slot, Object.fromEntries(Array.from({ length: 4_900 }, (_, n) => [`run|m${n}|1`, '1'])));
    const other = new TaskCounters(counters);
    for (const name of ['n1', 'late', 'later']) other.finished({ queue: 'q', name }, 'completed');
    await counters.flush();
    const full = await fleet.client.hgetall(slot);
    assert.deepEqual(
      ['n1', 'late', 'later', 'unknown'].map((name) => full[`finished|${name}|completed`]),
      ['2', undefined, undefined, '102'],
    );
  });

  it('count in the other slots if one has the wrong type', async () => {
    const store = await setUp();
    store.taskCounters.finished({ queue: 'q', name: 'n' }, 'completed');
    await store.counters.flush();
    const [slot = ''] = await fleet.client.keys(store.keys.series('1m', '*'));
    await fleet.client.set(slot, 'no hash');
    store.taskCounters.finished({ queue: 'q', name: 'n' }, 'completed');
    await store.counters.flush();
    const [hour = ''] = await fleet.client.keys(store.keys.series('1h', '*'));
    assert.deepEqual(await fleet.client.hgetall(hour), { 'finished|n|completed': '2' });
  });
});
