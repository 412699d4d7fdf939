import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { GRACE_MS, ReconcileFleet, reconciledTask } from '../../../support/fleet/reconcile-fleet.js';
import { EMPTY_REGISTRY, TestFleet } from '../../../support/fleet/test-fleet.js';

const NOTHING = [null, null, false, false];
const WHOLE = ['rec', 'chat-1', true, true];

describe('The reconciler and the entries of the registry', () => {
  let fleet: TestFleet;
  let rec: ReconcileFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(() => {
    rec = new ReconcileFleet(fleet);
  });
  after(() => fleet.stop());

  const end = async (id: string, place: 'completed' | 'failed'): Promise<void> => {
    const at = Date.now();
    const index = rec.keys.kept('rec', place, 'rec.task');
    await fleet.client.multi().lrem(`${rec.jobs}wait`, 1, id).zadd(`${rec.jobs}${place}`, at, id).zadd(index, at, id).exec();
  };
  const age = (id: string, ms: number) => fleet.client.zadd(rec.keys.live, Date.now() - ms, id);

  it('removes an entry without a job once it is older than the grace, and counts younger ones', async () => {
    await rec.register('old', { item: 'chat-1', ageMs: GRACE_MS + 1_000 });
    await rec.register('young', { item: 'chat-1', ageMs: GRACE_MS - 5_000 });
    assert.deepEqual(await rec.run(), { entries: 2, young: 1, removed: 1, complete: true });
    assert.deepEqual([await rec.entry('old', 'chat-1'), await rec.entry('young', 'chat-1')], [NOTHING, WHOLE]);
  });

  it('removes the entry of a finished job', async () => {
    const [completed, failed] = [await rec.enqueue({ item: 'chat-1' }), await rec.enqueue({ item: 'chat-1' })];
    await end(completed, 'completed');
    await end(failed, 'failed');
    await age(completed, 6_000);
    await age(failed, 6_000);
    assert.deepEqual(await rec.run(), { entries: 2, removed: 2, indexed: 2, stale: 3, complete: true });
    assert.deepEqual(await fleet.registrySize(rec.keys.prefix), EMPTY_REGISTRY);
  });

  it('keeps the entry of a retry: registered a moment ago, and its job still failed', async () => {
    const id = await rec.enqueue({ item: 'chat-1' });
    await end(id, 'failed');
    await age(id, 100);
    assert.deepEqual(await rec.run(), { entries: 1, indexed: 1, complete: true });
    assert.deepEqual(await rec.entry(id, 'chat-1'), WHOLE);
  });

  it('starts the age of an undated entry, whether its job is missing or finished', async () => {
    await rec.register('gone', { ageMs: null });
    const over = await rec.enqueue();
    await end(over, 'failed');
    await fleet.client.zrem(rec.keys.live, over);
    assert.deepEqual(await rec.run(), { entries: 2, young: 1, indexed: 1, complete: true });
    const ages = (await fleet.client.zmscore(rec.keys.live, 'gone', over)).map((at) => Date.now() - Number(at));
    assert.ok(
      ages.every((ms) => ms >= 0 && ms < 5_000),
      ages.join(', '),
    );
    await age('gone', GRACE_MS + 1_000);
    await age(over, 6_000);
    assert.deepEqual(await rec.run(), { entries: 2, removed: 2, stale: 1, complete: true });
  });

  it('leaves nothing of a task that finishes while its entry is dated', async () => {
    await rec.register('quick', { ageMs: null });
    const { redis } = rec.store;
    const zadd = redis.zadd.bind(redis) as (...words: unknown[]) => Promise<number>;
    const late = async (key: string, ...words: unknown[]): Promise<number> => {
      await rec.unregister('quick');
      return zadd(key, ...words);
    };
    redis.zadd = late as typeof redis.zadd;
    await rec.run();
    assert.deepEqual(await fleet.registrySize(rec.keys.prefix), EMPTY_REGISTRY);
  });

  it('keeps an entry registered again after the read', async () => {
    await rec.register('again', { item: 'chat-1' });
    const { redis } = rec.store;
    const drop = redis.dropEntries.bind(redis);
    redis.dropEntries = async (...words) => {
      await age('again', 0);
      return drop(...words);
    };
    assert.deepEqual(await rec.run(), { entries: 1, complete: true });
    assert.deepEqual(await rec.entry('again', 'chat-1'), WHOLE);
  });

  it("does not change other programs' entries", async () => {
    await fleet.client.hset(rec.keys.tasks, 'foreign', 'chat-1');
    await fleet.client.sadd(rec.keys.item('chat-1'), 'foreign');
    assert.deepEqual(await rec.run(), { complete: true });
    assert.deepEqual(await rec.entry('foreign', 'chat-1'), [null, 'chat-1', false, true]);
  });

  it('completes the entry of a live job that lacks its item, its age or its place in the item', async () => {
    const { client } = fleet;
    const damage: ((id: string) => Promise<unknown>)[] = [
      (id) => client.hdel(rec.keys.tasks, id),
      (id) => client.zrem(rec.keys.live, id),
      (id) => client.srem(rec.keys.item('chat-1'), id),
    ];
    for (const harm of damage) {
      const id = await rec.enqueue({ item: 'chat-1' });
      const score = await client.zscore(rec.keys.live, id);
      await harm(id);
      assert.notDeepEqual(await rec.entry(id, 'chat-1'), WHOLE);
      assert.equal((await rec.run()).registered, 1);
      assert.deepEqual(await rec.entry(id, 'chat-1'), WHOLE);
      assert.equal(await client.zscore(rec.keys.live, id), score);
    }
    assert.deepEqual(await rec.run(), { entries: 3, jobs: 3, complete: true }, 'nothing is left to repair');
  });

  it('restores entries that open-webui deleted, with a lease once open-webui was seen', async () => {
    const { client } = fleet;
    const [listed, deleted] = [await rec.enqueue({ item: 'chat-1' }), await rec.enqueue({ item: 'chat-1' })];
    await client.multi().hdel(rec.keys.tasks, deleted).srem(rec.keys.item('chat-1'), deleted).exec();
    assert.equal((await rec.run()).registered, 1);
    assert.deepEqual([await rec.entry(deleted, 'chat-1'), (await fleet.registrySize(rec.keys.prefix)).leases], [WHOLE, 0]);
    rec.store.facts.sawForeign();
    assert.equal((await rec.run()).registered, 2);
    assert.deepEqual(await client.mget(rec.keys.lease(listed), rec.keys.lease(deleted)), ['1', '1']);
    await client.del(rec.keys.lease(listed));
    assert.equal((await rec.run()).registered, 1);
    assert.deepEqual(await rec.run(), { entries: 2, jobs: 2, complete: true }, 'nothing is left to repair');
  });

  it('removes the lease with the entry', async () => {
    rec.store.facts.sawForeign();
    const [id, gone] = [await rec.enqueue({ item: 'chat-1' }), 'gone'];
    await rec.register(gone, { item: 'chat-1' });
    await fleet.client.mset(rec.keys.lease(id), '1', rec.keys.lease(gone), '1');
    await end(id, 'completed');
    await age(id, 6_000);
    assert.equal((await rec.run()).removed, 2);
    assert.deepEqual(await fleet.registrySize(rec.keys.prefix), EMPTY_REGISTRY);
  });

  it('adds tasks registered by an older version to their items', async () => {
    const id = await rec.enqueue({ item: 'chat-1' });
    await fleet.client.del(rec.keys.ownItem('chat-1'));
    assert.equal((await rec.run()).registered, 1);
    assert.deepEqual(await fleet.client.smembers(rec.keys.ownItem('chat-1')), [id]);
    assert.deepEqual(await rec.run(), { entries: 1, jobs: 1, complete: true });
  });

  it('lists a job whose id is a key of the registry in our own part only', async () => {
    await rec.store.queues.get('rec').add('rec.task', {}, { jobId: 'queues' });
    await rec.activate('queues', { worker: 'alive', locked: true });
    await rec.worker('alive', { alive: true });
    await fleet.client.sadd(rec.keys.queues, 'rec');
    rec.store.facts.sawForeign();
    assert.equal((await rec.run()).registered, 1);
    assert.deepEqual(await rec.run(), { entries: 1, jobs: 1, complete: true });
    assert.deepEqual([await fleet.client.hget(rec.keys.taskQueues, 'queues'), await fleet.client.hlen(rec.keys.tasks)], ['rec', 0]);
  });

  it('moves a live job from the wrong item to its own', async () => {
    const [id, none] = [await rec.enqueue({ item: 'chat-1' }), await rec.enqueue()];
    await rec.register(id, { item: 'chat-2' });
    await rec.register(none, { item: 'chat-2' });
    await fleet.client.srem(rec.keys.item('chat-1'), id);
    assert.deepEqual(await rec.run(), { entries: 2, jobs: 2, registered: 2, complete: true });
    assert.deepEqual(await rec.entry(id, 'chat-1'), WHOLE);
    assert.equal(await fleet.client.hget(rec.keys.tasks, none), '');
    assert.deepEqual(await fleet.client.smembers(rec.keys.item('chat-2')), []);
  });

  it('does not restore an entry whose job finishes while it is completed', async () => {
    const id = await rec.enqueue({ item: 'chat-1' });
    await fleet.client.srem(rec.keys.item('chat-1'), id);
    const { redis } = rec.store;
    const hset = redis.hset.bind(redis) as (...words: unknown[]) => Promise<number>;
    // Its worker settles and unregisters the task just before the reconciler writes.
    const late = async (key: string, ...words: unknown[]): Promise<number> => {
      if (key === rec.keys.taskQueues) {
        await end(id, 'completed');
        await rec.unregister(id, 'chat-1');
      }
      return hset(key, ...words);
    };
    redis.hset = late;
    assert.deepEqual(await rec.run(), { entries: 1, jobs: 1, indexed: 1, stale: 2, complete: true });
    assert.deepEqual(await fleet.registrySize(rec.keys.prefix), EMPTY_REGISTRY);
  });

  it('stops the children of stopped parents, and no others', async () => {
    const [stopped, running] = [await rec.enqueue(), await rec.enqueue()];
    const child = async (parent: string): Promise<string> =>
      (await rec.producer.enqueueChild({ id: parent, queue: 'rec', item: '' }, reconciledTask, {}, {})).id;
    const [orphan, other] = [await child(stopped), await child(running)];
    await rec.activate(stopped, { worker: 'alive', locked: true });
    await rec.worker('alive', { alive: true });
    await fleet.client.hset(rec.jobs + stopped, 'stop', JSON.stringify({ reason: 'enough', by: 'alice', at: 1 }));
    assert.deepEqual(await rec.run(), { entries: 4, jobs: 4, inherited: 1, complete: true });
    const task = await rec.producer.get(orphan);
    assert.deepEqual([task?.state, task?.stop?.reason, task?.stop?.by], ['cancelled', 'enough', 'alice']);
    assert.equal((await rec.producer.get(other))?.state, 'queued');
    assert.deepEqual(await rec.run(), { entries: 3, jobs: 3, complete: true });
  });
});
