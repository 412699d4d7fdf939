import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { FlowProducer } from 'bullmq';
import type { Producer, TaskEvent } from '../../producer/index.js';
import { jobOptions } from '../../shared/task/job-options.js';
import type { RetentionOptions, RetentionPolicy } from '../../shared/task/policies.js';
import { Reconciler } from '../../worker/builtin/reconcile/reconciler.js';
import { LogLines } from '../support/fleet/log-lines.js';
import { EMPTY_REGISTRY, TestFleet } from '../support/fleet/test-fleet.js';
import { type HandlerCall, ScriptedTask } from '../support/task/scripted-task.js';
import { until } from '../support/until.js';

const HOUR_MS = 3_600_000;
const NONE = { ageMs: 1_000, count: 0 };

describe('Retention', () => {
  let fleet: TestFleet;
  let prefix: string;
  let producer: Producer;

  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(() => {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
  });
  after(() => fleet.stop());

  async function taskOf(retention: RetentionOptions): Promise<ScriptedTask> {
    const task = new ScriptedTask('keep.some', { retention });
    await fleet.worker(prefix, [task.handler]);
    return task;
  }

  const ENDS: Readonly<Record<keyof RetentionPolicy, (call: HandlerCall) => unknown>> = {
    completed: (call) => call.returns(),
    failed: (call) => call.throws(new Error('no')),
    cancelled: async (call) => {
      void call.aborted.then((cause) => call.throws(cause));
      await producer.stop(call.context.id);
    },
  };

  /** Runs a task to its end, and waits until the registry no longer has it. */
  async function run(task: ScriptedTask, id: string, kind: keyof RetentionPolicy): Promise<void> {
    const call = task.call(task.calls.length);
    const result = producer.result(await producer.enqueue(task.definition, {}, { id, item: 'chat-1' })).catch(() => null);
    await ENDS[kind](await call);
    await result;
    await fleet.emptied(prefix);
  }

  const placeOf = (kind: keyof RetentionPolicy) => (kind === 'completed' ? kind : 'failed');
  /** Returns the ids of a kind by its index, once they are as expected. */
  const keeps = (kind: keyof RetentionPolicy, expected: readonly string[], name = 'keep.some') =>
    until(
      () => fleet.client.zrange(fleet.keys(prefix).kept('keep', kind, name), '0', '-1'),
      (ids) => ids.join() === expected.join(),
    );
  const exist = async (ids: readonly string[]) => (await Promise.all(ids.map((id) => producer.get(id)))).map((task) => task?.state ?? null);

  for (const kind of ['completed', 'failed', 'cancelled'] as const) {
    const others = { completed: NONE, failed: NONE, cancelled: NONE };

    it(`keeps the newest ${kind} tasks, up to the count`, async () => {
      const task = await taskOf({ ...others, [kind]: { ageMs: HOUR_MS, count: 2 } });
      for (const id of ['a', 'b', 'c', 'd']) await run(task, id, kind);
      await keeps(kind, ['c', 'd']);
      assert.deepEqual(await exist(['a', 'b', 'c', 'd']), [null, null, kind, kind]);
      assert.deepEqual(await fleet.client.zrange(`${fleet.keys(prefix).jobs('keep')}${placeOf(kind)}`, '0', '-1'), ['c', 'd']);
    });

    it(`removes ${kind} tasks beyond their age when another task ends`, async () => {
      const task = await taskOf({ ...others, [kind]: { ageMs: 60_000, count: 100 } });
      for (const id of ['old', 'young']) await run(task, id, kind);
      await keeps(kind, ['old', 'young']);
      const keys = fleet.keys(prefix);
      const long = String(Date.now() - 61_000);
      for (const key of [keys.kept('keep', kind, 'keep.some'), `${keys.jobs('keep')}${placeOf(kind)}`])
        await fleet.client.zadd(key, long, 'old');
      assert.deepEqual(await exist(['old']), [kind], 'nothing has ended since');
      await run(task, 'last', kind);
      await keeps(kind, ['young', 'last']);
      assert.deepEqual(await exist(['old', 'young', 'last']), [null, kind, kind]);
    });
  }

  it('keeps a failure through 1,000 stops, to be retried', async () => {
    const task = await taskOf({ failed: { count: 20 }, cancelled: { count: 100 } });
    await run(task, 'broken', 'failed');
    const ids = Array.from({ length: 1_000 }, (_, n) => `stopped-${n}`);
    await producer.enqueueMany(
      task.definition,
      ids.map((id) => ({ input: {}, id, delay: HOUR_MS })),
    );
    const receipts = await producer.stop(ids);
    assert.ok(receipts.every(({ outcome }) => outcome === 'cancelled'));
    const keys = fleet.keys(prefix);
    const cancelled = await fleet.client.zrange(keys.kept('keep', 'cancelled', 'keep.some'), '0', '-1');
    assert.equal(cancelled.length, 100);
    assert.equal(await fleet.client.zcard(`${keys.jobs('keep')}failed`), 101);
    assert.equal((await producer.get('broken'))?.state, 'failed');
    await producer.retry('broken');
    assert.deepEqual(await fleet.client.zrange(keys.kept('keep', 'failed', 'keep.some'), '0', '-1'), []);
    (await task.call(1)).returns('mended');
    assert.equal(await producer.result('broken'), 'mended');
  });

  it('keeps a stop through many failures', async () => {
    const task = await taskOf({ failed: { count: 2 }, cancelled: { count: 1 } });
    await run(task, 'stopped', 'cancelled');
    for (const id of ['a', 'b', 'c', 'd']) await run(task, id, 'failed');
    await keeps('failed', ['c', 'd']);
    assert.deepEqual(await exist(['stopped', 'a', 'b', 'c', 'd']), ['cancelled', null, null, 'failed', 'failed']);
  });

  it('counts the tasks of each definition that shares a queue', async () => {
    const [many, few] = [3, 1].map(
      (count) => new ScriptedTask(`keep.${count}`, { retention: { completed: { count }, failed: { count } } }),
    ) as [ScriptedTask, ScriptedTask];
    await fleet.worker(prefix, [many.handler, few.handler]);
    for (const n of [1, 2, 3, 4]) for (const task of [many, few]) await run(task, `${task.definition.name}-${n}`, 'failed');
    await keeps('failed', ['keep.3-2', 'keep.3-3', 'keep.3-4'], 'keep.3');
    await keeps('failed', ['keep.1-4'], 'keep.1');
    for (const n of [5, 6]) await run(few, `keep.1-${n}`, 'completed');
    await keeps('completed', ['keep.1-6'], 'keep.1');
    assert.deepEqual(await exist(['keep.3-1', 'keep.3-2', 'keep.1-4', 'keep.1-5']), [null, 'failed', 'failed', null]);
  });

  it('of tasks enqueued by an older version is as stored, and the default for cancelled ones', async () => {
    const task = await taskOf({ failed: { count: 100 }, cancelled: { count: 1 } });
    const keys = fleet.keys(prefix);
    for (const id of ['a', 'b']) {
      const call = task.call(task.calls.length);
      await producer.enqueue(task.definition, {}, { id, delay: HOUR_MS });
      const options = JSON.parse((await fleet.client.hget(`${keys.jobs('keep')}${id}`, 'opts')) ?? '') as Record<string, unknown>;
      assert.ok('keepCancelled' in options);
      await fleet.client.hset(
        `${keys.jobs('keep')}${id}`,
        'opts',
        JSON.stringify({ ...options, keepCancelled: undefined, removeOnFail: { count: 1 } }),
      );
      if (id === 'b') await producer.stop(id);
      else {
        await (await producer.store.queues.get('keep').getJob(id))?.promote();
        (await call).throws(new Error('no'));
        await producer.waitUntilFinished(id);
      }
    }
    await keeps('failed', ['a']);
    await keeps('cancelled', ['b']);
    assert.deepEqual(await fleet.client.hgetall(fleet.keys(prefix).keptLimits('keep')), {
      'failed:keep.some': ':1',
      'cancelled:keep.some': '86400:1000',
    });
  });

  it('removes everything that BullMQ keeps for a task, and lets its parent in a flow start', async () => {
    const task = await taskOf({ failed: { count: 1 } });
    const keys = fleet.keys(prefix);
    const jobs = keys.jobs('keep');
    const flow = new FlowProducer({ connection: fleet.redis.client(), prefix: keys.bull('keep') });
    const opts = { jobId: 'child', ...jobOptions(task.definition), item: '' };
    const { job } = await flow.add({
      name: 'wait.for',
      queueName: 'keep',
      data: {},
      children: [{ name: 'keep.some', queueName: 'keep', data: {}, opts }],
    });
    (await task.call()).throws(new Error('no'));
    await until(
      () => producer.get('child'),
      (child) => child?.state === 'failed',
    );
    for (const part of ['logs', 'dependencies', 'processed', 'failed', 'unsuccessful']) await fleet.client.set(`${jobs}child:${part}`, 'x');
    await fleet.client.hset(`${jobs}child`, 'deid', 'same');
    await fleet.client.mset(`${jobs}de:same`, 'child', `${jobs}dn:same`, '{}');
    assert.equal(await job.getState(), 'waiting-children');
    const fail = async (id: string): Promise<void> => {
      const call = task.call(task.calls.length);
      await producer.enqueue(task.definition, {}, { id });
      (await call).throws(new Error('no'));
    };
    await fail('a');
    await until(
      () => job.getState(),
      (state) => state !== 'waiting-children',
    );
    await fail('b');
    await until(
      () => producer.get('child'),
      (child) => child === null,
    );
    const left = (await fleet.onEach((client) => client.keys(`${jobs}*`))).flat().map((key) => key.slice(jobs.length));
    assert.deepEqual(
      left.filter((key) => /child|same/.test(key)),
      [],
    );
    await flow.close();
  });

  it('is applied to other definitions while an index cannot be read, and to this one afterwards', async () => {
    const [broken, good] = ['keep.bad', 'keep.good'].map((name) => new ScriptedTask(name, { retention: { failed: { count: 1 } } })) as [
      ScriptedTask,
      ScriptedTask,
    ];
    const log = new LogLines();
    const keys = fleet.keys(prefix);
    const index = keys.kept('keep', 'failed', 'keep.bad');
    await fleet.client.set(index, 'x');
    await fleet.worker(prefix, [broken.handler, good.handler], { loggers: log.loggers });
    for (const n of [1, 2]) for (const task of [broken, good]) await run(task, `${task.definition.name}-${n}`, 'failed');
    await keeps('failed', ['keep.good-2'], 'keep.good');
    assert.deepEqual(await exist(['keep.bad-1', 'keep.bad-2', 'keep.good-1']), ['failed', 'failed', null]);
    assert.deepEqual(
      log.find(/Cannot read a record/).map(({ key }) => key),
      [index],
    );
    await fleet.client.del(index);
    await new Reconciler({ store: producer.store, graceMs: HOUR_MS, logger: log.loggers('worker') }).run();
    await keeps('failed', ['keep.bad-2'], 'keep.bad');
    assert.deepEqual(await exist(['keep.bad-1', 'keep.bad-2']), [null, 'failed']);
  });

  it('is applied while Redis has no memory left', async () => {
    const task = await taskOf({ failed: { count: 1 } });
    await run(task, 'a', 'failed');
    await producer.enqueue(task.definition, {}, { id: 'b' });
    const call = await task.call(1);
    await fleet.onEach((client) => client.config('SET', 'maxmemory', '1'));
    try {
      call.throws(new Error('no'));
      await keeps('failed', ['b']);
      assert.deepEqual(await exist(['a', 'b']), [null, 'failed']);
    } finally {
      await fleet.onEach((client) => client.config('SET', 'maxmemory', '0'));
    }
  });

  it('of no completed tasks still delivers results to waiters and all events to followers', async () => {
    const task = await taskOf({ completed: NONE, failed: NONE, cancelled: NONE });
    for (const [id, last] of [
      ['good', 'completed'],
      ['bad', 'failed'],
    ] as const) {
      const called = task.call(task.calls.length);
      await producer.enqueue(task.definition, {}, { id });
      const result = producer.result(id).then(String, String);
      const seen: TaskEvent[] = [];
      const following = (async () => {
        for await (const event of producer.events(id)) seen.push(event);
      })();
      const call = await called;
      call.context.emit('a word');
      await until(
        () => seen,
        (events) => events.some(({ type }) => type === 'chunk'),
      );
      if (last === 'completed') call.returns('done');
      else call.throws(new Error('broken'));
      assert.match(await result, last === 'completed' ? /^done$/ : /failed: broken$/);
      await following;
      const end = seen.at(-1);
      assert.ok(end?.type === 'state' && end.state === last);
      assert.equal(await producer.get(id), null);
      const chunks = (await fleet.client.xrange(fleet.keys(prefix).events(id), '-', '+')).filter(([, fields]) => fields.includes('chunk'));
      assert.equal(chunks.length, 1, 'the output stays for an hour');
    }
    await until(
      () => fleet.registrySize(prefix),
      ({ tasks }) => tasks === 0,
    );
    assert.deepEqual(await fleet.registrySize(prefix), EMPTY_REGISTRY);
  });

  it('of no cancelled tasks still returns the receipt of a stop; a second stop finds no task', async () => {
    const task = await taskOf({ completed: NONE, failed: NONE, cancelled: NONE });
    const { id } = await producer.enqueue(task.definition, {}, { item: 'chat-1' });
    const waiting = await producer.enqueue(task.definition, {}, { delay: HOUR_MS });
    const call = await task.call();
    void call.aborted.then((cause) => call.throws(cause));
    const receipts = await producer.stop([id, waiting.id], { waitMs: 60_000, by: 'alice' });
    assert.deepEqual(
      receipts.map(({ outcome, by, settledAt }) => [outcome, by, settledAt !== null]),
      [
        ['cancelled', 'alice', true],
        ['cancelled', 'alice', true],
      ],
    );
    assert.deepEqual(
      [await producer.get(id), await producer.get(waiting), await fleet.client.zcard(`${fleet.keys(prefix).jobs('keep')}failed`)],
      [null, null, 0],
    );
    assert.equal((await producer.stop(id)).outcome, 'not_found');
    await until(
      () => fleet.registrySize(prefix),
      ({ tasks }) => tasks === 0,
    );
    assert.deepEqual(await fleet.registrySize(prefix), EMPTY_REGISTRY);
  });
});
