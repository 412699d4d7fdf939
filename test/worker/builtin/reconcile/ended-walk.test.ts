import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { ReconcileFleet } from '../../../support/fleet/reconcile-fleet.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';

const HOUR_MS = 3_600_000;

describe('The reconciler and ended tasks', () => {
  let fleet: TestFleet;
  let rec: ReconcileFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(() => {
    rec = new ReconcileFleet(fleet);
  });
  after(() => fleet.stop());

  const index = (kind: string) => rec.keys.kept('rec', kind, 'rec.task');
  const kept = (kind: string) => fleet.client.zrange(index(kind), '0', '-1');

  const keysOf = async (pattern: string) => (await fleet.onEach((client) => client.keys(rec.jobs + pattern))).flat();

  interface Ended {
    readonly place?: 'completed' | 'failed';
    readonly agoMs?: number;
    readonly options?: object;
    readonly stopped?: boolean;
  }

  /** Adds a job that has ended, as BullMQ leaves it: in no index. */
  async function end(id: string, { place = 'failed', agoMs = 1_000, options = {}, stopped = false }: Ended = {}): Promise<void> {
    const at = Date.now() - agoMs;
    const job = {
      ...{ name: 'rec.task', data: '{}', opts: JSON.stringify({ item: '', ...options }), timestamp: at, finishedOn: at },
      ...(stopped && { stop: '{}' }),
    };
    await fleet.client.sadd(rec.keys.queues, 'rec');
    await fleet.client
      .multi()
      .hset(rec.jobs + id, job)
      .zadd(`${rec.jobs}${place}`, at, id)
      .exec();
  }

  it('indexes the tasks whose worker died after it had settled them, and applies their retention', async () => {
    const options = {
      removeOnFail: { age: 3_600, count: 2 },
      removeOnComplete: { age: 60, count: 9 },
      keepCancelled: { age: 60, count: 1 },
    };
    for (const [n, id] of ['a', 'b', 'c'].entries()) await end(id, { options, agoMs: 3_000 - n });
    for (const [n, id] of ['d', 'e'].entries()) await end(id, { options, agoMs: 3_000 - n, stopped: true });
    await end('f', { options, place: 'completed' });
    await end('old', { options, place: 'completed', agoMs: 61_000 });
    assert.deepEqual(await rec.run(), { indexed: 7, complete: true });
    assert.deepEqual([await kept('failed'), await kept('cancelled'), await kept('completed')], [['b', 'c'], ['e'], ['f']]);
    for (const id of ['a', 'd', 'old']) assert.equal(await rec.producer.get(id), null);
    assert.deepEqual((await fleet.client.zrange(`${rec.jobs}failed`, '0', '-1')).toSorted(), ['b', 'c', 'e']);
    assert.deepEqual(await rec.run(), { complete: true });
  });

  it('leaves the jobs of other programs to BullMQ', async () => {
    await end('theirs', { options: { item: undefined, removeOnFail: { age: 1, count: 1 } }, agoMs: HOUR_MS });
    await end('no-name');
    await fleet.client.hdel(`${rec.jobs}no-name`, 'name');
    assert.deepEqual(await rec.run(), { complete: true });
    assert.equal((await rec.producer.get('theirs'))?.state, 'failed');
    assert.deepEqual(await keysOf('kept:*'), [rec.keys.keptTexts('rec')]);
  });

  it('removes the expired tasks of a definition that no worker knows any more, and then forgets it', async () => {
    const options = { removeOnFail: { age: 3_600, count: 100 } };
    for (const id of ['old', 'young']) await end(id, { options });
    await rec.run();
    const expire = async (id: string): Promise<void> => {
      const at = Date.now() - HOUR_MS - 1_000;
      for (const key of [index('failed'), `${rec.jobs}failed`]) await fleet.client.zadd(key, at, id);
    };
    await expire('old');
    assert.deepEqual(await rec.run(), { expired: 1, complete: true });
    assert.deepEqual([await kept('failed'), await rec.producer.get('old')], [['young'], null]);
    await expire('young');
    assert.deepEqual(await rec.run(), { expired: 1, complete: true });
    assert.deepEqual(
      (await keysOf('*')).filter((key) => !key.endsWith(':meta') && !key.endsWith(':kept:texts')),
      [],
    );
  });

  it('restores the limits of an index', async () => {
    for (const id of ['a', 'b']) await end(id, { options: { removeOnFail: { age: 3_600, count: 7 } } });
    await rec.run();
    await fleet.client.del(rec.keys.keptLimits('rec'));
    assert.deepEqual(await rec.run(), { indexed: 1, complete: true });
    assert.deepEqual(await fleet.client.hgetall(rec.keys.keptLimits('rec')), { 'failed:rec.task': '3600:7' });
  });

  it('drops the entries of jobs that another program has removed or run again', async () => {
    const options = { removeOnFail: { age: 3_600, count: 2 } };
    for (const id of ['removed', 'again']) await end(id, { options });
    await rec.run();
    await rec.store.queues.get('rec').remove('removed');
    await fleet.client.hset(`${rec.jobs}again`, 'stop', '{}');
    await fleet.client.zadd(`${rec.jobs}failed`, Date.now(), 'again');
    assert.deepEqual(await rec.run(), { indexed: 1, complete: true });
    assert.deepEqual([await kept('failed'), await kept('cancelled')], [[], ['again']]);
    assert.equal((await rec.producer.get('again'))?.state, 'cancelled');
  });

  it('keeps an expired task that it cannot detach from its parent in a flow, and removes the others', async () => {
    const options = { removeOnFail: { age: 60 } };
    for (const id of ['child', 'other']) await end(id, { options, agoMs: 61_000 });
    const parent = `${rec.jobs}parent`;
    await fleet.client.hset(`${rec.jobs}child`, 'parentKey', parent);
    await fleet.client.hset(parent, { name: 'rec.parent', timestamp: 1 });
    await fleet.client.sadd(`${parent}:dependencies`, `${rec.jobs}child`);
    await fleet.client.set(`${rec.jobs}waiting-children`, 'x');
    assert.equal((await rec.run()).complete, true);
    assert.deepEqual([await kept('failed'), await rec.producer.get('other')], [['child'], null]);
    assert.equal(rec.log.find(/Could not detach an expired task/).length, 1);
    await fleet.client.del(`${rec.jobs}waiting-children`);
    for (let times = 0; times < 2; times += 1) await rec.run();
    assert.deepEqual([await kept('failed'), await rec.producer.get('child')], [[], null]);
  });

  it('continues a long walk where the last run ended', async () => {
    const adding = fleet.client.multi();
    for (let n = 0; n < 1_200; n += 1) {
      const fields = { name: `rec.${n % 3}`, opts: '{"item":""}', timestamp: 1, finishedOn: Date.now() };
      adding.hset(`${rec.jobs}id-${n}`, fields).zadd(`${rec.jobs}completed`, Date.now(), `id-${n}`);
    }
    await fleet.client.sadd(rec.keys.queues, 'rec');
    await adding.exec();
    assert.deepEqual(await rec.run(500), { indexed: 500, complete: false });
    assert.deepEqual(await rec.run(500), { indexed: 500, complete: false });
    assert.deepEqual(await rec.run(), { indexed: 200, complete: true });
    const sizes = await Promise.all([0, 1, 2].map((n) => fleet.client.zcard(rec.keys.kept('rec', 'completed', `rec.${n}`))));
    assert.deepEqual(sizes, [400, 400, 400]);
  });

  for (const key of ['the index', 'the limits', 'a limit', 'the set', 'the cursor'] as const) {
    it(`goes on with the other tasks if ${key} cannot be read`, async () => {
      await end('one');
      await end('two', { place: 'completed' });
      await fleet.client.hset(rec.keys.keptLimits('rec'), 'failed:rec.task', '60:1');
      const bad = {
        'the index': () => fleet.client.set(index('failed'), 'x'),
        'the limits': async () => (await fleet.client.del(rec.keys.keptLimits('rec')), fleet.client.set(rec.keys.keptLimits('rec'), 'x')),
        'a limit': () => fleet.client.hset(rec.keys.keptLimits('rec'), 'failed:rec.task', 'many', 'x', '1:1'),
        'the set': async () => (await fleet.client.del(`${rec.jobs}failed`), fleet.client.set(`${rec.jobs}failed`, 'x')),
        'the cursor': () => fleet.client.hset(rec.keys.reconcile, 'ended_cursor', '["rec","zzz",5]'),
      };
      await bad[key]();
      for (let times = 0; times < 3; times += 1) assert.equal((await rec.run()).complete, true);
      assert.deepEqual(await kept('completed'), ['two']);
      if (key === 'the limits' || key === 'a limit' || key === 'the cursor') assert.deepEqual(await kept('failed'), ['one']);
      assert.equal(rec.log.find(/Cannot read a record/).length, { 'the cursor': 0, 'a limit': 2 }[key as string] ?? 1);
    });
  }
});
