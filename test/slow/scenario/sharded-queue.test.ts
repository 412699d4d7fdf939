import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Producer, createProducer } from '../../../producer/index.js';
import { createKeys } from '../../../shared/keys.js';
import { shardOf, shardsOf } from '../../../shared/task/shards.js';
import { type FleetWorker, createWorker } from '../../../worker/index.js';
import { TestCluster } from '../../support/redis/test-cluster.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const SHARDS = 8;
const ids = Array.from({ length: 200 }, (_, n) => `id-${n}`);

describe('A queue with shards on a cluster of three masters', () => {
  const task = new ScriptedTask('load.carry', { shards: SHARDS });
  let cluster: TestCluster;
  let producer: Producer;
  let worker: FleetWorker | null = null;
  const keys = createKeys('taskfleet', true);

  before(async () => {
    cluster = await TestCluster.start();
    producer = createProducer({ redisUrl: cluster.url, cluster: true, logLevel: 'silent' });
  });
  after(async () => {
    await worker?.stop();
    await producer.close();
    await cluster.stop();
  });

  it('has tasks on every master, each shard in a different slot', async () => {
    const added = await producer.enqueueMany(
      task.definition,
      ids.map((id, n) => ({ input: {}, id, item: `chat-${n % 2}` })),
    );
    assert.equal(added.length, ids.length);
    assert.ok(added.every(({ id, queue, duplicate }) => queue === shardOf(task.definition, id) && !duplicate));
    const queues = shardsOf(task.definition);
    const lists = queues.map((queue) => `${keys.jobs(queue)}wait`);
    const [slots, masters, lengths] = await Promise.all([
      Promise.all(lists.map((list) => cluster.slotOf(list))),
      Promise.all(lists.map((list) => cluster.masterOf(list))),
      Promise.all(lists.map((list) => cluster.client().llen(list))),
    ]);
    assert.equal(new Set(slots).size, SHARDS);
    assert.equal(new Set(masters).size, 3);
    assert.deepEqual(
      lengths,
      queues.map((queue) => ids.filter((id) => shardOf(task.definition, id) === queue).length),
    );
  });

  it('finds, stops and retries each task by its id, item and queue', async () => {
    const listed = async (queue: string): Promise<string[]> =>
      (await producer.list({ queue, limit: 1_000 })).tasks.map(({ id }) => id).toSorted();
    assert.deepEqual(await listed('load'), ids.toSorted());
    assert.deepEqual(await listed('load.shard-3'), ids.filter((id) => shardOf(task.definition, id) === 'load.shard-3').toSorted());
    const [one, ...others] = ids.filter((_, n) => n % 2 === 0) as [string, ...string[]];
    assert.equal((await producer.stop(one)).outcome, 'cancelled');
    const receipts = await producer.stopItem('chat-0');
    assert.deepEqual(receipts.map(({ id }) => id).toSorted(), others.toSorted());
    assert.ok(receipts.every(({ outcome, via }) => outcome === 'cancelled' && via === 'queue'));
    assert.equal((await producer.retry(others)).filter(({ state }) => state === 'queued').length, others.length);
    assert.equal((await producer.get(one))?.state, 'cancelled');
    assert.equal((await producer.enqueue(task.definition, {}, { id: one })).duplicate, true);
  });

  it('is fetched from all masters, and stops reach the running tasks', async () => {
    worker = await createWorker({
      redisUrl: cluster.url,
      cluster: true,
      logLevel: 'silent',
      handlers: [task.handler],
      concurrency: 16,
      shutdownTimeoutMs: 0,
    });
    await worker.start();
    const running = await Promise.all(Array.from({ length: 16 }, (_, index) => task.call(index)));
    for (const [index, call] of running.entries()) if (index < 8) void call.aborted.then((cause) => call.throws(cause));
    const stopped = running.slice(0, 8).map(({ context }) => context.id);
    const receipts = await producer.stop(stopped, { waitMs: 60_000 });
    assert.ok(
      receipts.length === 8 && receipts.every(({ outcome, via }) => outcome === 'cancelled' && via === 'signal'),
      JSON.stringify(receipts),
    );
    for (const call of running.slice(8)) call.returns();
    for (let index = 16; index < ids.length - 1; index += 1) (await task.call(index)).returns();
    const client = cluster.client();
    await until(
      () => Promise.all([client.hlen(keys.tasks), client.hlen(keys.taskQueues), client.zcard(keys.live)]),
      (sizes) => sizes.every((size) => size === 0),
    );
    const ended = await Promise.all(
      ['completed', 'cancelled'].map(
        async (state) => (await producer.list({ queue: 'load', state: state as 'completed', limit: 1_000 })).tasks.length,
      ),
    );
    assert.deepEqual(ended, [ids.length - 9, 9]);
  });
});
