import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Redis } from 'ioredis';
import { LogLines } from '../../../support/fleet/log-lines.js';
import { ReconcileFleet } from '../../../support/fleet/reconcile-fleet.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';

const STOP = JSON.stringify({ reason: 'enough', by: 'alice', at: 1 });
const WRITE: Readonly<Record<string, (client: Redis, key: string) => Promise<unknown>>> = {
  string: (client, key) => client.set(key, 'x'),
  list: (client, key) => client.rpush(key, 'x'),
  hash: (client, key) => client.hset(key, 'x', 'y'),
  set: (client, key) => client.sadd(key, 'x'),
};
/** The fleet's keys that a run reads. */
const KEYS = ['tasks', 'taskQueues', 'live', 'pendingStops', 'queues', 'workers', 'reconcile'] as const;
const LISTS = [
  'wait',
  'prioritized',
  'delayed',
  'active',
  'waiting-children',
  'completed',
  'failed',
  'meta',
  'marker',
  'events',
  'stalled',
  'pc',
  'repeat',
] as const;
const BAD_JOBS: Readonly<Record<string, Record<string, string>>> = {
  'options that are no JSON': { opts: '{' },
  'options that are a list': { opts: '[]' },
  'options that are a number': { opts: '5' },
  'an item that is a number': { opts: '{"item":5}' },
  'an item that is an object': { opts: '{"item":{"a":1}}' },
  'a parent that is a number': { opts: '{"item":"","childOf":5}' },
  'a parent without an id': { opts: '{"item":"","childOf":{"queue":"rec"}}' },
  'a parent in a flow that is none': { parentKey: 'x' },
  'a timestamp that is text': { timestamp: 'abc' },
  'a timestamp that no clock has': { timestamp: '1e18' },
  'a priority that is none': { priority: 'NaN' },
  'an end that is text': { finishedOn: 'abc', processedOn: 'abc' },
  'a stop that is no JSON': { stop: '{' },
  'a stop that is a number, of a worker that is none': { stop: '5', pb: 'x', processedOn: 'y' },
};

describe('The reconciler and unreadable records', () => {
  let fleet: TestFleet;
  let rec: ReconcileFleet;
  let log: LogLines;

  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(() => {
    rec = new ReconcileFleet(fleet);
    log = rec.log;
  });
  after(() => fleet.stop());

  /** Creates one task for each kind of repair. Returns a function that tells which were repaired. */
  async function work() {
    const { client } = fleet;
    const [orphan, unlisted, lost, stopped] = [
      await rec.enqueue({ item: 'good' }),
      await rec.enqueue({ item: 'good' }),
      await rec.enqueue(),
      await rec.enqueue(),
    ];
    await rec.activate(stopped, { worker: 'dead', locked: false });
    await client.hset(rec.jobs + stopped, 'stop', STOP);
    await client.lrem(`${rec.jobs}wait`, 1, lost);
    await rec.register('gone', { item: 'good' });
    await rec.unregister(unlisted, 'good');
    await client.hdel(rec.keys.tasks, orphan);
    return async () => ({
      completed: (await client.hget(rec.keys.tasks, orphan).catch(() => null)) === 'good',
      registered: (await client.hget(rec.keys.taskQueues, unlisted).catch(() => null)) === 'rec',
      removed: (await client.hexists(rec.keys.taskQueues, 'gone').catch(() => 1)) === 0,
      restored: (await client.lpos(`${rec.jobs}wait`, lost).catch(() => null)) !== null,
      settled: (await client.zscore(`${rec.jobs}failed`, stopped).catch(() => null)) !== null,
    });
  }
  const ALL = { completed: true, registered: true, removed: true, restored: true, settled: true };

  /** The repairs that are not possible while a key has the wrong type. */
  const UNDONE: Readonly<Record<(typeof KEYS)[number], Partial<typeof ALL>>> = {
    tasks: { completed: false },
    taskQueues: { completed: false, registered: false, removed: false, restored: false },
    live: { completed: false, removed: false },
    ...{ pendingStops: {}, queues: { registered: false, settled: false }, workers: {}, reconcile: {} },
  };

  for (const name of KEYS) {
    for (const kind of ['string', 'list']) {
      it(`finishes its run if the key of ${name} is a ${kind}, reports it once, and makes the other repairs`, async () => {
        const done = await work();
        const key = rec.keys[name];
        await fleet.client.del(key);
        await WRITE[kind]?.(fleet.client, key);
        const reconciler = rec.reconciler();
        for (let times = 0; times < 3; times += 1) assert.equal((await reconciler.run()).complete, true);
        assert.deepEqual(await done(), { ...ALL, ...UNDONE[name] });
        assert.equal(rec.reports(key).length, 1, JSON.stringify(log.lines));
      });
    }
  }

  for (const list of LISTS) {
    it(`finishes its run if the ${list} of a queue has a wrong type`, async () => {
      const done = await work();
      const foreign = rec.keys.jobs('foreign');
      await fleet.client.sadd(rec.keys.queues, 'foreign');
      for (const other of ['wait', 'delayed', 'active']) await rec.store.queues.get('foreign').add(other, {}, { jobId: `in-${other}` });
      await fleet.client.hset(`${foreign}in-wait`, 'stop', STOP);
      await fleet.client.del(foreign + list);
      await WRITE[list === 'meta' || list === 'repeat' ? 'list' : 'string']?.(fleet.client, foreign + list);
      const reconciler = rec.reconciler();
      for (let times = 0; times < 3; times += 1) assert.equal((await reconciler.run()).complete, true);
      assert.deepEqual(await done(), ALL);
      assert.ok(log.lines.length < 20, JSON.stringify(log.lines));
    });
  }

  for (const [what, fields] of Object.entries(BAD_JOBS)) {
    it(`finishes its run despite a job with ${what}, registered, unregistered or lost`, async () => {
      const done = await work();
      const ids = await Promise.all([{}, {}, { delay: 600_000 }].map((options) => rec.enqueue(options)));
      for (const id of ids) await fleet.client.hset(rec.jobs + id, fields);
      await rec.unregister(ids[1] as string);
      await fleet.client.lrem(`${rec.jobs}wait`, 1, ids[0] as string);
      const reconciler = rec.reconciler();
      for (let times = 0; times < 3; times += 1) assert.equal((await reconciler.run()).complete, true);
      assert.deepEqual(await done(), ALL);
      assert.ok(log.lines.length < 20, JSON.stringify(log.lines));
    });
  }

  for (const kind of Object.keys(WRITE)) {
    it(`finishes its run if jobs, items, children, workers and parents are a ${kind}`, async () => {
      const done = await work();
      const write = async (key: string): Promise<void> => {
        await fleet.client.del(key);
        await WRITE[kind]?.(fleet.client, key);
      };
      const [job, ofItem, child, ofFlow] = [
        await rec.enqueue(),
        await rec.enqueue({ item: 'bad' }),
        await rec.enqueue(),
        await rec.enqueue(),
      ];
      await rec.register('over', { item: 'bad' });
      await write(rec.jobs + job);
      for (const key of [
        rec.keys.item('bad'),
        rec.keys.ownItem('bad'),
        `${rec.jobs}parent`,
        rec.keys.children('parent'),
        rec.keys.worker('dead'),
      ])
        await write(key);
      await fleet.client.hset(rec.jobs + child, 'opts', JSON.stringify({ item: '', childOf: { queue: 'rec', id: 'parent' } }));
      await fleet.client.hset(rec.jobs + ofFlow, 'parentKey', `${rec.jobs}parent`);
      await fleet.client.lpush(`${rec.jobs}wait`, 'without-a-hash');
      await fleet.client.zadd(rec.keys.workers, 'inf', 'dead');
      const reconciler = rec.reconciler();
      for (let times = 0; times < 3; times += 1) assert.equal((await reconciler.run()).complete, true);
      assert.deepEqual(await done(), ALL);
      assert.equal((await rec.producer.get(ofItem))?.state, 'queued');
      assert.equal(rec.reports(`${rec.jobs}without-a-hash`).length, 1);
      assert.ok(log.lines.length < 20, JSON.stringify(log.lines));
    });
  }

  it('finishes its run despite garbage in the registry and an invalid cursor', async () => {
    const done = await work();
    const { keys } = rec;
    const id = await rec.enqueue();
    await fleet.client.hset(keys.taskQueues, 'a', '', 'b', 'no queue', 'c', 'x'.repeat(10_000), 'd', '{}:');
    await fleet.client.zadd(keys.live, 'inf', id, '-inf', 'gone-too', '1e300', 'b');
    await rec.register('gone-too');
    await fleet.client.zadd(keys.live, 'inf', 'gone-too');
    await fleet.client.hset(keys.pendingStops, id, '{', 'nobody', '5');
    const cursors = [
      ['99999999999999999999', '["rec","wait",-1]'],
      ['18446744073709551616', '["rec","wait",1e300]'],
      ['-1', '[{},[],{}]'],
      ['1', '["zzz","delayed",5]'],
    ] as const;
    for (const [entries, jobs] of cursors) {
      await fleet.client.hset(keys.reconcile, { entries_cursor: entries, live_cursor: entries, tasks_cursor: entries, jobs_cursor: jobs });
      assert.equal((await rec.reconciler().run()).complete, true);
    }
    assert.equal((await rec.run()).complete, true);
    assert.deepEqual(await done(), ALL);
    const age = Date.now() - Number(await fleet.client.zscore(keys.live, 'gone-too'));
    assert.ok(age >= 0 && age < 60_000, `an undated entry starts to age: ${age} ms`);
    assert.equal((await rec.producer.get(id))?.state, 'cancelled');
  });

  it('handles thousands of foreign queue and task names at little cost', async () => {
    const done = await work();
    const { client } = fleet;
    await client.sadd(
      rec.keys.queues,
      ...Array.from({ length: 3_000 }, (_, index) => (index % 2 === 0 ? `q-${index}` : `no queue ${index}`)),
    );
    for (let page = 0; page < 20; page += 1)
      await client.hset(rec.keys.tasks, ...Array.from({ length: 5_000 }, (_, index) => [`foreign-${page}-${index}`, '']).flat());
    const calls = async (): Promise<number> => Object.values(await fleet.commandCounts()).reduce((sum, some) => sum + some, 0);
    await client.config('RESETSTAT');
    assert.equal((await rec.run()).complete, true);
    const first = await calls();
    assert.ok(first < 100_000, `${first} commands, those of scripts among them`);
    assert.deepEqual(await done(), ALL);
    assert.equal(await client.hlen(rec.keys.tasks), 100_003, 'nothing of theirs is removed');
    // One line for each name; the logger writes at most 100 in a minute.
    assert.ok(rec.reports(rec.keys.queues).length <= 100);
  });
});
