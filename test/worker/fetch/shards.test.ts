import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { z } from 'zod';
import type { Producer } from '../../../producer/index.js';
import type { Keys } from '../../../shared/keys.js';
import { type TaskDefinition, defineTask } from '../../../shared/task/definition.js';
import { type TaskHandler, defineHandler } from '../../../shared/task/handler.js';
import { shardOf, shardsOf } from '../../../shared/task/shards.js';
import { ShardFinder } from '../../../worker/fetch/shards.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const sums = (shards: number): TaskDefinition<{ n: number }, number> =>
  defineTask({ name: 'sum.add', input: z.object({ n: z.number() }), output: z.number(), retention: KEEP, shards });
const adder = (shards: number): TaskHandler => defineHandler(sums(shards), ({ input }) => input.n + 1);
const COUNT = 60;
const inputs = Array.from({ length: COUNT }, (_, n) => ({ input: { n }, id: `id-${n}` }));

describe('A queue with shards', () => {
  let fleet: TestFleet;
  let keyPrefix: string;
  let keys: Keys;
  let producer: Producer;

  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(() => {
    keyPrefix = fleet.newPrefix();
    keys = fleet.keys(keyPrefix);
    producer = fleet.producer({ keyPrefix });
  });
  after(() => fleet.stop());

  const emptied = () => fleet.emptied(keyPrefix);
  const results = () => Promise.all(inputs.map(({ id }) => producer.result(id)));
  const expected = inputs.map(({ input }) => input.n + 1);

  it('runs its tasks on all shards, each once', async () => {
    const worker = await fleet.worker(keyPrefix, [adder(4)], { concurrency: 10 });
    const { queues, slots } = worker.status();
    assert.deepEqual(
      queues.filter((queue) => queue.startsWith('sum')),
      shardsOf(sums(4)),
    );
    await producer.enqueueMany(sums(4), inputs);
    assert.deepEqual(await results(), expected);
    await emptied();
    const ended = (await producer.list({ state: 'completed', queue: 'sum', limit: 1_000 })).tasks;
    assert.deepEqual(
      ended.map(({ id, queue }) => `${id} ${queue}`).toSorted(),
      inputs.map(({ id }) => `${id} ${shardOf(sums(4), id)}`).toSorted(),
    );
    // The slots of the built-in queues, and three per shard.
    const builtIn = (await fleet.worker(fleet.newPrefix(), [], { concurrency: 10 })).status();
    assert.equal(slots - builtIn.slots, 12);
  });

  it('stops queued and running tasks, by id and by item', async () => {
    const task = new ScriptedTask('slow.do', { shards: 3 });
    const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    await producer.enqueueMany(
      task.definition,
      ids.map((id) => ({ input: {}, id, item: 'chat-1' })),
    );
    assert.deepEqual(new Set(ids.map((id) => shardOf(task.definition, id))).size, 3);
    await fleet.worker(keyPrefix, [task.handler], { concurrency: 3 });
    // One task runs on each shard.
    const running = await Promise.all([0, 1, 2].map(async (index) => (await task.call(index)).context.id));
    assert.equal(new Set(running.map((id) => shardOf(task.definition, id))).size, 3);
    for (const call of task.calls) void call.aborted.then((cause) => call.throws(cause));
    const waiting = ids.filter((id) => !running.includes(id));
    const one = await producer.stop(waiting[0] as string, { waitMs: 60_000 });
    assert.deepEqual([one.outcome, one.via], ['cancelled', 'queue']);
    const receipt = await producer.stop(running[0] as string, { waitMs: 60_000 });
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'signal']);
    const receipts = await producer.stopItem('chat-1', { waitMs: 60_000 });
    // Its worker may not have removed the stopped task from the item yet.
    assert.equal(receipts.filter(({ id }) => id !== running[0]).length, ids.length - 2);
    assert.ok(
      receipts.every(({ outcome }) => outcome === 'cancelled'),
      JSON.stringify(receipts),
    );
    await emptied();
    assert.equal(await producer.hasActiveTasks('chat-1'), false);
  });

  it('retries a task on its shard, finds its children, and counts as one queue', async () => {
    const task = new ScriptedTask('slow.do', { shards: 8, retry: { attempts: 1 } });
    const child = new ScriptedTask('slow.part', { shards: 8 });
    await fleet.worker(keyPrefix, [task.handler, child.handler], { producer });
    const id = ['p', 'q', 'r', 's'].find((one) => shardOf(task.definition, one) !== 'slow') as string;
    await producer.enqueue(task.definition, {}, { id, item: 'chat-1' });
    (await task.call()).throws(new Error('Not yet'));
    assert.equal((await producer.waitUntilFinished(id)).state, 'failed');
    const again = await producer.retry(id);
    assert.deepEqual([again.state === 'failed', again.queue], [false, shardOf(task.definition, id)]);
    const run = await task.call(1);
    void run.aborted.then((cause) => run.throws(cause));
    const part = await run.context.enqueue(child.definition, {});
    assert.equal(part.queue, shardOf(child.definition, part.id));
    const playing = await child.call();
    void playing.aborted.then((cause) => playing.throws(cause));
    assert.equal((await producer.stop(id, { waitMs: 60_000 })).outcome, 'cancelled');
    assert.equal(
      await until(
        async () => (await producer.get(part.id))?.state,
        (state) => state === 'cancelled',
      ),
      'cancelled',
    );
    await emptied();
    // Each process sends its counts once a second.
    const once = [
      'enqueued|slow|slow.do',
      'enqueued|slow|slow.part',
      'retried|slow|slow.do',
      'finished|slow|slow.do|failed',
      'finished|slow|slow.do|cancelled',
      'finished|slow|slow.part|cancelled',
    ];
    const counts = await until(
      () => fleet.client.hgetall(keys.counters),
      (fields) => once.every((field) => fields[field] === '1'),
    );
    assert.deepEqual(
      Object.keys(counts).filter((field) => field.includes('.shard-')),
      [],
    );
  });

  it('runs all queued tasks when the number of shards is lowered', async () => {
    await producer.enqueueMany(sums(6), inputs);
    await fleet.worker(keyPrefix, [adder(2)]);
    assert.deepEqual(await results(), expected);
    await emptied();
  });

  it('runs all queued tasks when it no longer has shards', async () => {
    await producer.enqueueMany(sums(3), inputs);
    await fleet.worker(keyPrefix, [adder(1)]);
    assert.deepEqual(await results(), expected);
  });

  it('runs all queued tasks when producers raise the number before workers do', async () => {
    const worker = await fleet.worker(keyPrefix, [adder(1)], { heartbeatMs: 100, concurrency: 10 });
    await producer.enqueueMany(sums(1), inputs.slice(0, 20));
    await producer.enqueueMany(sums(4), inputs.slice(20));
    assert.deepEqual(await results(), expected);
    assert.deepEqual(
      worker
        .status()
        .queues.filter((queue) => queue.startsWith('sum'))
        .toSorted(),
      shardsOf(sums(4)),
    );
    await until(
      () => fleet.client.hget(keys.worker(worker.id), 'queues'),
      (queues) => queues?.includes('sum.shard-3') ?? false,
    );
    await worker.stop();
    await emptied();
  });

  it('has its queued tasks repaired by the reconciler', async () => {
    const task = defineTask({ name: 'late.do', input: z.unknown(), retention: KEEP, shards: 4 });
    const id = ['a', 'b', 'c', 'd', 'e'].find((one) => shardOf(task, one) !== 'late') as string;
    await producer.enqueue(task, {}, { id, item: 'chat-1' });
    await fleet.client.del(keys.tasks, keys.taskQueues, keys.live, keys.item('chat-1'));
    await fleet.worker(keyPrefix, [], { reconcileMs: 200 });
    assert.equal(
      await until(
        () => fleet.client.hget(keys.taskQueues, id),
        (queue) => queue !== null,
      ),
      shardOf(task, id),
    );
    assert.deepEqual(await fleet.client.smembers(keys.item('chat-1')), [id]);
    assert.equal((await producer.stop(id)).outcome, 'cancelled');
    await until(
      () => fleet.registrySize(keyPrefix),
      (size) => JSON.stringify(size) === JSON.stringify(EMPTY_REGISTRY),
    );
  });
});

describe('ShardFinder', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  it('takes each unknown shard of its queues once, and none after its stop', async () => {
    const store = fleet.store();
    await store.redis.ping();
    const slots = new Map([['chat', 10]]);
    const taken: string[] = [];
    const take = (queue: string, some: number): void => {
      slots.set(queue, some);
      taken.push(queue);
    };
    const finder = new ShardFinder({ store, slots, take, intervalMs: 60_000, logger: new LogLines().loggers('worker') });
    await store.redis.sadd(store.keys.queues, 'chat', 'chat.shard-2', 'mail', 'mail.shard-1');
    await Promise.all([finder.look(), finder.look()]);
    assert.deepEqual(taken, ['chat.shard-2']);
    await store.redis.sadd(store.keys.queues, 'chat.shard-1');
    await finder.look();
    assert.deepEqual(taken, ['chat.shard-2', 'chat.shard-1']);
    await store.redis.sadd(store.keys.queues, 'chat.shard-3');
    await finder.stop();
    await finder.look();
    assert.deepEqual(taken, ['chat.shard-2', 'chat.shard-1']);
  });
});
