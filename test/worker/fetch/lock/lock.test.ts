import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { UnrecoverableError } from 'bullmq';
import type { Producer } from '../../../../producer/index.js';
import { LockLost } from '../../../../shared/stop/cause.js';
import { TaskReader } from '../../../../shared/task/task-reader.js';
import { deferred } from '../../../support/deferred.js';
import { LogLines } from '../../../support/fleet/log-lines.js';
import { EMPTY_REGISTRY, TestFleet } from '../../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';

/** Nothing expires during the test, however slow the machine. */
const LONG_LOCKS = { lockMs: 600_000, stalledCheckMs: 600_000 };
/** Locks that a busy machine still renews in time, after a quarter to half of their time. */
const RENEWED_LOCKS = { lockMs: 6_000, stalledCheckMs: 500 };

describe('A task whose lock is lost', () => {
  let fleet: TestFleet;
  let prefix: string;
  let producer: Producer;
  let log: LogLines;
  let task: ScriptedTask;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function setUp(config: Parameters<TestFleet['worker']>[2] = {}) {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    log = new LogLines();
    task = new ScriptedTask('lock.task', { retry: { attempts: 3 } });
    return fleet.worker(prefix, [task.handler], { loggers: log.loggers, ...RENEWED_LOCKS, ...config });
  }

  const lockOf = (id: string) => `${prefix}:bull:lock:${id}:lock`;

  it('is aborted with LockLost, and its result is dropped', async () => {
    await setUp({ concurrency: 1 });
    const { id } = await producer.enqueue(task.definition, {}, { item: 'chat-1' });
    const call = await task.call();
    await fleet.client.set(lockOf(id), 'stolen');
    assert.ok((await call.aborted) instanceof LockLost);
    call.returns('of the loser');
    await log.waitFor(/dropping the result/);
    // The new owner settles the task.
    const view = await producer.get(id);
    assert.deepEqual([view?.state, view?.result], ['running', null]);
    assert.equal(await producer.hasActiveTasks('chat-1'), true);
    const store = fleet.store({ keyPrefix: prefix });
    const job = await store.queues.get('lock').getJob(id);
    await job?.moveToCompleted('of the owner', 'stolen', false);
    assert.equal(await producer.result(id), 'of the owner');
  });

  it('runs again on the same worker, and the second run keeps its lock when the first ends', async () => {
    const worker = await setUp({ stopGraceMs: 60_000 });
    const { id } = await producer.enqueue(task.definition, {});
    const first = await task.call(0);
    await fleet.client.del(lockOf(id));
    const second = await task.call(1);
    assert.ok((await first.aborted) instanceof LockLost);
    first.throws(new Error('of the loser'));
    await log.waitFor(/dropping the result/);
    await log.waitFor(/Task stalled/);
    const stalls = log.find(/Task stalled/).length;
    const held = await fleet.client.pexpiretime(lockOf(id));
    const renewed = await until(
      () => fleet.client.pexpiretime(lockOf(id)),
      (at) => at < 0 || at > held + RENEWED_LOCKS.lockMs,
    );
    assert.ok(renewed > 0, 'the lock was not renewed');
    assert.equal(log.find(/Task stalled/).length, stalls);
    assert.equal(second.context.signal.aborted, false);
    second.returns('of the second');
    assert.equal(await producer.result(id), 'of the second');
    await worker.stop();
    assert.equal(task.calls.length, 2);
    assert.deepEqual(await fleet.registrySize(prefix), EMPTY_REGISTRY);
  });

  it('ends at its next fetch, without a call of the handler, if it was stopped without an owner', async () => {
    await setUp({ concurrency: 1 });
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    await fleet.client.set(lockOf(id), 'stolen');
    await call.aborted;
    call.throws(new Error('gone'));
    await log.waitFor(/dropping the result/);
    assert.equal((await producer.stop(id)).outcome, 'requested');
    await fleet.client.del(lockOf(id));
    await assert.rejects(producer.result(id, { timeoutMs: 60_000 }), { code: 'TASK_CANCELLED' });
    assert.equal(task.calls.length, 1);
    const view = await producer.get(id);
    assert.deepEqual([view?.stop?.via, view?.attempt], ['fence', 1]);
  });

  it('leaves the registry when the answer to its settlement is lost', async () => {
    const worker = await setUp(LONG_LOCKS);
    const { id } = await producer.enqueue(task.definition, {}, { item: 'chat-1' });
    const call = await task.call();
    const token = await fleet.client.get(lockOf(id));
    assert.ok(token);
    // As if the worker's own command had succeeded and its answer been lost.
    const store = fleet.store({ keyPrefix: prefix });
    const job = await store.queues.get('lock').getJob(id);
    await job?.moveToCompleted('carried out', token, false);
    call.returns('again');
    assert.equal((await log.waitFor(/The lock was gone/))['state'], 'completed');
    await worker.stop();
    assert.equal(await producer.result(id), 'carried out');
    assert.deepEqual(await fleet.registrySize(prefix), EMPTY_REGISTRY);
  });

  it('stays in the registry if it is retried while the lost answer is looked into', async (t) => {
    const worker = await setUp(LONG_LOCKS);
    const { id } = await producer.enqueue(task.definition, {}, { item: 'chat-1' });
    const call = await task.call();
    const token = await fleet.client.get(lockOf(id));
    assert.ok(token);
    const { queues } = fleet.store({ keyPrefix: prefix });
    const job = await queues.get('lock').getJob(id);
    await job?.moveToFailed(new UnrecoverableError('carried out'), token, false);
    const [read, retried] = [deferred(), deferred()];
    // eslint-disable-next-line typescript/unbound-method -- called with `this` below
    const readTasks = TaskReader.prototype.read;
    t.mock.method(
      TaskReader.prototype,
      'read',
      async function (this: TaskReader, ...args: Parameters<typeof readTasks>) {
        const tasks = await readTasks.apply(this, args);
        read.resolve();
        await retried.promise;
        return tasks;
      },
      { times: 1 },
    );
    call.returns('again');
    await read.promise;
    await queues.get('lock').pause();
    await producer.retry(id);
    retried.resolve();
    await log.waitFor(/The lock was gone/);
    await worker.stop();
    assert.deepEqual(await fleet.registrySize(prefix), { tasks: 1, queues: 1, live: 1, items: 1, leases: 0 });
  });

  it('leaves the registry when another program removes its job', async () => {
    // No renewal and no stalled check notices before the handler returns.
    const worker = await setUp(LONG_LOCKS);
    const { id } = await producer.enqueue(task.definition, {}, { item: 'chat-1' });
    const call = await task.call();
    const removal = fleet.client.multi().del(`${prefix}:bull:lock:${id}`, lockOf(id)).lrem(`${prefix}:bull:lock:active`, 1, id);
    await removal.exec();
    call.returns('dropped');
    assert.equal((await log.waitFor(/The lock was gone/))['state'], 'removed');
    await worker.stop();
    assert.deepEqual(await fleet.registrySize(prefix), EMPTY_REGISTRY);
  });
});
