import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { FlowProducer } from 'bullmq';
import { ReconcileFleet } from '../../../support/fleet/reconcile-fleet.js';
import { EMPTY_REGISTRY, TestFleet } from '../../../support/fleet/test-fleet.js';

const STOP = JSON.stringify({ reason: 'enough', by: 'alice', at: 1 });
/** More ids than a script searches for individually. */
const MANY = 30;

describe('The reconciler and jobs in no list of their queue', () => {
  let fleet: TestFleet;
  let rec: ReconcileFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(() => {
    rec = new ReconcileFleet(fleet);
  });
  after(() => fleet.stop());

  const lose = (...lists: string[]): Promise<number> => fleet.client.del(...lists.map((list) => rec.jobs + list));
  const counts = () =>
    rec.store.queues.get('rec').getJobCounts('waiting', 'delayed', 'prioritized', 'active', 'waiting-children', 'completed', 'failed');
  const NONE = { waiting: 0, delayed: 0, prioritized: 0, active: 0, 'waiting-children': 0, completed: 0, failed: 0 };
  const wait = (): Promise<string[]> => fleet.client.lrange(`${rec.jobs}wait`, 0, -1);

  for (const many of [3, MANY]) {
    it(`restores ${many} waiting jobs in their order, wakes the workers, and changes no other`, async () => {
      const ids: string[] = [];
      for (let index = 0; index < many; index += 1) ids.push(await rec.enqueue({ item: 'chat-1' }));
      for (const [index, id] of ids.entries()) await fleet.client.hset(rec.jobs + id, 'timestamp', 1_000 + index);
      const inOrder = await wait();
      await lose('wait', 'marker');
      const later = await rec.enqueue();
      await fleet.client.del(`${rec.jobs}marker`);
      assert.deepEqual(await rec.run(), { entries: many + 1, jobs: 1, restored: many, complete: true });
      assert.deepEqual(await wait(), [later, ...inOrder]);
      assert.equal(await fleet.client.zscore(`${rec.jobs}marker`, '0'), '0');
      assert.deepEqual(await rec.run(), { entries: many + 1, jobs: many + 1, complete: true });
    });
  }

  it('respects priority and delay, and wakes no worker of a paused queue', async () => {
    const [plain, urgent, later, due] = [
      await rec.enqueue(),
      await rec.enqueue({ priority: 2 }),
      await rec.enqueue({ delay: 600_000 }),
      await rec.enqueue({ delay: 600_000 }),
    ];
    const delayed = await fleet.client.zscore(`${rec.jobs}delayed`, later);
    await rec.store.queues.get('rec').pause();
    await fleet.client.hset(rec.jobs + due, 'timestamp', Date.now() - 700_000);
    await lose('wait', 'prioritized', 'delayed', 'marker');
    assert.deepEqual(await rec.run(), { entries: 4, restored: 4, complete: true });
    assert.deepEqual(
      [
        (await wait()).toSorted(),
        await fleet.client.zrange(`${rec.jobs}prioritized`, '0', '-1'),
        await fleet.client.zrange(`${rec.jobs}delayed`, '0', '-1'),
      ],
      [[plain, due].toSorted(), [urgent], [later]],
    );
    assert.equal(Math.floor(Number(await fleet.client.zscore(`${rec.jobs}delayed`, later)) / 4_096), Math.floor(Number(delayed) / 4_096));
    assert.equal(await fleet.client.zscore(`${rec.jobs}marker`, '0'), null);
    assert.equal((await rec.producer.get(later))?.state, 'scheduled');
  });

  it('requeues jobs that were active without a lock, and returns locked jobs to the active list', async () => {
    const [dead, alive] = [await rec.enqueue(), await rec.enqueue()];
    await rec.activate(dead, { worker: 'dead', locked: false });
    await rec.activate(alive, { worker: 'alive', locked: true });
    await lose('active');
    assert.deepEqual(await rec.run(), { entries: 2, restored: 2, complete: true });
    assert.deepEqual([await wait(), await fleet.client.lrange(`${rec.jobs}active`, 0, -1)], [[dead], [alive]]);
    assert.equal((await rec.producer.get(alive))?.state, 'running');
  });

  it('settles stopped jobs, with a receipt', async () => {
    const [waited, ran] = [await rec.enqueue({ item: 'chat-1' }), await rec.enqueue({ item: 'chat-1' })];
    await rec.activate(ran, { worker: 'dead', locked: false });
    await lose('wait', 'active');
    for (const id of [waited, ran]) await fleet.client.hset(rec.jobs + id, 'stop', STOP);
    assert.deepEqual(await rec.run(), { entries: 2, settled: 2, complete: true });
    const tasks = await Promise.all([waited, ran].map((id) => rec.producer.get(id)));
    assert.deepEqual(
      tasks.map((task) => [task?.state, task?.stop?.via, task?.stop?.by]),
      [
        ['cancelled', 'queue', 'alice'],
        ['cancelled', 'fence', 'alice'],
      ],
    );
    assert.deepEqual(await fleet.registrySize(rec.keys.prefix), EMPTY_REGISTRY);
    assert.deepEqual(
      (await rec.producer.stop([waited], {})).map(({ outcome, by }) => [outcome, by]),
      [['cancelled', 'alice']],
    );
  });

  it('lets a stop settle a lost job at once, before any run', async () => {
    const id = await rec.enqueue();
    await lose('wait');
    assert.equal((await rec.producer.stop(id)).outcome, 'cancelled');
    assert.deepEqual(await counts(), { ...NONE, failed: 1 });
  });

  it('restores finished jobs to the list of their state', async () => {
    const [completed, failed] = [await rec.enqueue(), await rec.enqueue()];
    await lose('wait');
    await fleet.client.hset(rec.jobs + completed, { finishedOn: 5_000, returnvalue: '"done"' });
    await fleet.client.hset(rec.jobs + failed, { finishedOn: 6_000, failedReason: 'broken' });
    for (const id of [completed, failed]) await fleet.client.zadd(rec.keys.live, 1, id);
    const waiting = rec.producer.result(completed);
    assert.deepEqual([(await rec.producer.get(completed))?.state, (await rec.producer.get(failed))?.state], ['completed', 'failed']);
    assert.equal(await waiting, 'done');
    assert.deepEqual(await rec.run(), { entries: 2, removed: 2, restored: 2, stale: 2, complete: true });
    assert.deepEqual(await counts(), { ...NONE, completed: 1, failed: 1 });
    assert.equal(await fleet.client.zscore(`${rec.jobs}failed`, failed), '6000');
    assert.deepEqual(await fleet.registrySize(rec.keys.prefix), EMPTY_REGISTRY);
  });

  it('makes a parent wait for its children again', async () => {
    await fleet.client.sadd(rec.keys.queues, 'rec');
    const flow = new FlowProducer({ connection: fleet.redis.client(), prefix: rec.keys.bull('rec') });
    const { job } = await flow.add({ name: 'parent', queueName: 'rec', children: [{ name: 'child', queueName: 'rec' }] });
    await flow.close();
    assert.equal((await rec.run()).registered, 2);
    await lose('waiting-children');
    assert.equal((await rec.run()).restored, 1);
    assert.deepEqual(await counts(), { ...NONE, waiting: 1, 'waiting-children': 1 });
    assert.equal((await rec.producer.get(job.id as string))?.state, 'waiting');
  });

  it('restores nothing to a queue with a key of the wrong type, and reports the key', async () => {
    const id = await rec.enqueue();
    await lose('wait');
    await fleet.client.set(`${rec.jobs}delayed`, 'x');
    assert.deepEqual(await rec.run(), { entries: 1, complete: true });
    assert.equal((await rec.producer.get(id))?.state, 'unreadable');
    await lose('delayed');
    assert.deepEqual(await rec.run(), { entries: 1, restored: 1, complete: true });
  });

  it('continues after a queue that Redis refuses to restore', async () => {
    const id = await rec.enqueue();
    await lose('wait');
    const { redis } = rec.store;
    const restore = redis.restoreJobs.bind(redis);
    redis.restoreJobs = () => Promise.reject(Object.assign(new Error('NOPERM this user has no permissions'), { name: 'ReplyError' }));
    assert.deepEqual(await rec.run(), { entries: 1, complete: true });
    redis.restoreJobs = restore;
    assert.deepEqual(await rec.run(), { entries: 1, restored: 1, complete: true });
    assert.equal((await rec.producer.get(id))?.state, 'queued');
  });

  it('searches for twenty jobs in a wait list too long to read, stopped ones first', async () => {
    const ids = await Promise.all(Array.from({ length: 25 }, () => rec.enqueue()));
    const [stopped] = ids as [string, ...string[]];
    await lose('wait');
    await fleet.client.hset(rec.jobs + stopped, { stop: STOP, timestamp: 1 });
    const others = Array.from({ length: 50_001 }, (_, index) => `o${index}`);
    for (let times = 0; times < 2; times += 1) await fleet.client.rpush(`${rec.jobs}wait`, ...others);
    const { restored, settled } = await rec.run(1);
    assert.deepEqual([restored, settled], [19, 1]);
  });
});
