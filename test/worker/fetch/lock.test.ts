import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../producer/index.js';
import { LockLost } from '../../../shared/stop/cause.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

/** The shortest allowed locks; a lock is renewed after a quarter to half of its time. */
const SHORT_LOCKS = { lockMs: 1_000, stalledCheckMs: 500 };

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
    return fleet.worker(prefix, [task.handler], { loggers: log.loggers, ...SHORT_LOCKS, ...config });
  }

  const lockOf = (id: string) => `${prefix}:bull:lock:${id}:lock`;

  it('is aborted with LockLost, and its result is dropped', async () => {
    await setUp({ stalledCheckMs: 1_000, concurrency: 1 });
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
    // Three times the lock's duration.
    const stalls = log.find(/Task stalled/).length;
    const enough = performance.now() + 3 * SHORT_LOCKS.lockMs;
    const left = await until(
      () => fleet.client.pttl(lockOf(id)),
      (ms) => ms <= 0 || performance.now() > enough,
    );
    assert.ok(left > 0, 'the lock was not renewed');
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
    await assert.rejects(producer.result(id, { timeoutMs: 10_000 }), { code: 'TASK_CANCELLED' });
    assert.equal(task.calls.length, 1);
    const view = await producer.get(id);
    assert.deepEqual([view?.stop?.via, view?.attempt], ['fence', 1]);
  });

  it('leaves the registry when the answer to its settlement is lost', async () => {
    const worker = await setUp();
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

  it('leaves the registry when another program removes its job', async () => {
    // No renewal and no stalled check notices before the handler returns.
    const worker = await setUp({ lockMs: 60_000, stalledCheckMs: 60_000 });
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
