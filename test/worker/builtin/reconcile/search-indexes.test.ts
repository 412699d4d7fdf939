import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { ReconcileFleet, reconciledTask } from '../../../support/fleet/reconcile-fleet.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';

describe('The reconciler and the indexes of searches', () => {
  let fleet: TestFleet;
  let rec: ReconcileFleet;
  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(() => {
    rec = new ReconcileFleet(fleet);
  });
  after(() => fleet.stop());

  const indexesOf = async () => {
    const { keys } = rec;
    const { client } = fleet;
    return {
      name: await client.zrange(keys.findName('rec.task'), '0', '-1', 'WITHSCORES'),
      tag: await client.zrange(keys.findTag('tenant:7'), '0', '-1', 'WITHSCORES'),
      texts: await client.zrange(keys.findTexts, '0', '-1'),
      names: await client.smembers(keys.findNames),
      complete: await client.exists(keys.findComplete),
    };
  };
  const TASK = { item: 'chat-1', tags: ['tenant:7'] };

  it('indexes the live tasks of an older version, page by page, and then marks the indexes as complete', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 300; n += 1) ids.push(await rec.enqueue(TASK));
    const { complete: _, ...original } = await indexesOf();
    await fleet.client.del(...(await fleet.client.keys(`${rec.keys.prefix}:find:*`)));
    let findable = 0;
    for (let runs = 1; (await indexesOf()).complete === 0; runs += 1) {
      assert.ok(runs < 10);
      findable += (await rec.run(100)).findable ?? 0;
    }
    assert.equal(findable, ids.length);
    assert.deepEqual(await indexesOf(), { ...original, complete: 1 });
    assert.equal((await rec.run()).findable, undefined);
  });

  it('does not mark the indexes after the rest of a pass that an older version began', async () => {
    await rec.enqueue(TASK);
    await fleet.client.hset(rec.keys.reconcile, 'entries_cursor', '5');
    await rec.run();
    assert.equal((await indexesOf()).complete, 0);
    await rec.run();
    assert.equal((await indexesOf()).complete, 1);
  });

  it('corrects the time of an index', async () => {
    const id = await rec.enqueue(TASK);
    await fleet.client.zadd(rec.keys.findTag('tenant:7'), 5, id);
    assert.equal((await rec.run()).findable, 1);
    const score = await fleet.client.zscore(rec.keys.live, id);
    assert.deepEqual((await indexesOf()).tag, [id, score]);
  });

  it('removes entries without a task, and names without live tasks', async () => {
    const id = await rec.enqueue(TASK);
    await rec.run();
    await fleet.client.del(rec.jobs + id);
    await fleet.client.lrem(`${rec.jobs}wait`, 0, id);
    await rec.unregister(id, 'chat-1');
    assert.equal((await rec.run()).stale, 3);
    assert.deepEqual(await indexesOf(), { name: [], tag: [], texts: [], names: [], complete: 1 });
  });

  it('adds the items and tags of tasks that ended in an older version, and drops those of removed ones', async () => {
    const ids = [await rec.enqueue(TASK), await rec.enqueue(TASK)];
    await rec.producer.stop(ids);
    const texts = rec.keys.keptTexts('rec');
    const members = await fleet.client.zrange(texts, '0', '-1');
    assert.equal(members.length, 5);
    await fleet.client.del(texts);
    assert.equal((await rec.run()).indexed, 2);
    assert.deepEqual(await fleet.client.zrange(texts, '0', '-1'), members);
    await rec.store.queues.get(reconciledTask.queue).remove(ids[0] as string);
    assert.equal((await rec.run()).stale, 2);
    const found = await rec.producer.list({ tag: 'tenant:7', state: 'ended' });
    assert.deepEqual(
      found.tasks.map(({ id }) => id),
      [ids[1]],
    );
    assert.equal(found.searched, 1);
  });
});
