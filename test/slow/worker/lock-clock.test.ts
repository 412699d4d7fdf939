import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../producer/index.js';
import { LockLost } from '../../../shared/stop/cause.js';
import type { Step } from '../../../shared/store.js';
import { Run } from '../../../worker/run/run.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

/** A busy machine renews them in time, unless the test blocks it for longer. */
const SHORT_LOCKS = { lockMs: 3_000, stalledCheckMs: 500 };
const TOO_LONG_MS = 3_050;
/** A busy machine must renew them in time. */
const LOCK_MS = 10_000;
const LOCK = { id: 'a', queue: 'q', name: 'q.task', item: '', token: 't', lockMs: 1_000, clock: Date };

/** Blocks the event loop, as a CPU-bound handler does. */
function blockFor(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end;);
}

describe('A run whose lock has expired by its own clock', () => {
  let fleet: TestFleet;
  let prefix: string;
  let producer: Producer;
  let task: ScriptedTask;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function runOne(locks: { lockMs: number } = SHORT_LOCKS) {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    task = new ScriptedTask('lock.task', { retry: { attempts: 3 } });
    const worker = await fleet.worker(prefix, [task.handler], { producer, ...locks });
    const { id } = await producer.enqueue(task.definition, {});
    return { id, worker, call: await task.call() };
  }

  const outputOf = async (id: string) => [
    await fleet.client.exists(`${prefix}:tasks:events:${id}`),
    await fleet.client.hget(`${prefix}:bull:lock:${id}`, 'progress'),
  ];

  /** The task stalls and comes back to the same worker. */
  async function assertRunsAgain(id: string): Promise<void> {
    (await task.call(1)).returns('second run');
    assert.equal(await producer.result(id), 'second run');
    assert.deepEqual(await outputOf(id), [0, null]);
  }

  it('is aborted with LockLost, writes no output and enqueues nothing', async () => {
    const { id, worker, call } = await runOne();
    const child = new ScriptedTask('lock.child');
    assert.equal(call.context.signal.aborted, false);
    call.context.emit('before');
    call.context.progress(50);
    blockFor(TOO_LONG_MS);
    // Another worker may have the task; this process has read nothing from Redis since.
    const refused = assert.rejects(
      call.context.enqueue(child.definition, {}, { id: 'nobody' }),
      (error) => error instanceof LockLost && error === call.context.signal.reason,
    );
    call.context.emit('after');
    await refused;
    assert.ok((await call.aborted) instanceof LockLost);
    call.throws(new Error('first run'));
    await assertRunsAgain(id);
    assert.equal(await producer.get('nobody'), null);
    await worker.stop();
  });

  it('does not start in a process that was frozen right after the fetch', async () => {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    task = new ScriptedTask('lock.task');
    let frozen = false;
    const onStep = (step: Step): Promise<void> => {
      if (step === 'worker:tracked' && !frozen) {
        frozen = true;
        blockFor(TOO_LONG_MS);
      }
      return Promise.resolve();
    };
    const worker = await fleet.worker(prefix, [task.handler], { ...SHORT_LOCKS, onStep });
    const { id } = await producer.enqueue(task.definition, {});
    // The only call: the task came back after its stall.
    (await task.call()).returns('second run');
    assert.equal(await producer.result(id, { timeoutMs: 60_000 }), 'second run');
    assert.ok(frozen);
    assert.equal(task.calls.length, 1);
    assert.equal((await producer.get(id))?.state, 'completed');
    await worker.stop();
  });

  it('is aborted when its output is sent', async () => {
    const { id, worker, call } = await runOne();
    assert.equal(call.context.signal.aborted, false);
    call.context.emit('before');
    call.context.progress(50);
    blockFor(TOO_LONG_MS);
    assert.ok((await call.aborted) instanceof LockLost);
    call.returns('first run');
    await assertRunsAgain(id);
    await worker.stop();
  });

  it('does not write its last output if it ends before the abort', async () => {
    const { id, worker, call } = await runOne();
    call.context.emit('last words');
    call.context.progress(100);
    blockFor(TOO_LONG_MS);
    call.returns('first run');
    await assertRunsAgain(id);
    await worker.stop();
  });

  it('keeps writing output while its lock is renewed', async () => {
    const { id, worker, call } = await runOne({ lockMs: LOCK_MS });
    const enough = performance.now() + 1.2 * LOCK_MS;
    await until(
      () => performance.now(),
      (now) => now > enough,
    );
    call.context.emit('still here');
    call.context.progress(60);
    call.returns('done');
    assert.equal(await producer.result(id), 'done');
    assert.deepEqual(await outputOf(id), [1, '60']);
    assert.equal(call.context.signal.aborted, false);
    await worker.stop();
  });

  it('counts from the grant of the lock and from the start of each renewal', () => {
    assert.equal(new Run({ ...LOCK, lockedAt: Date.now() - 1_001 }).checkLock(), false);
    const run = new Run({ ...LOCK, lockedAt: Date.now() });
    assert.equal(run.checkLock(), true);
    run.lockRenewed(performance.now() - 1_001);
    assert.deepEqual([run.cause, run.checkLock(), run.cause?.kind], [null, false, 'lock-lost']);
    run.lockRenewed(performance.now());
    assert.equal(run.checkLock(), false, 'a lost lock stays lost');
    const ended = new Run({ ...LOCK, lockedAt: Date.now() - 1_001 });
    ended.end();
    assert.deepEqual([ended.checkLock(), ended.cause], [false, null]);
  });
});
