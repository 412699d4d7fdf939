import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../producer/index.js';
import type { Step } from '../../../shared/step-hook.js';
import { LockLost } from '../../../shared/stop/cause.js';
import { Run } from '../../../worker/run/run.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { until } from '../../support/until.js';

/** The shortest there are. */
const SHORT_LOCKS = { lockMs: 1_000, stalledCheckMs: 500 };
const LOCK = { id: 'a', queue: 'q', name: 'q.task', item: '', token: 't', lockMs: 1_000, clock: Date };

/** What a CPU-bound handler does: nothing else happens in this process. */
function blockFor(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end;);
}

describe('A run whose lock has run out by its own clock', () => {
  let fleet: TestFleet;
  let prefix: string;
  let producer: Producer;
  let task: ScriptedTask;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function runOne() {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    task = new ScriptedTask('lock.task', { retry: { attempts: 3 } });
    const worker = await fleet.worker(prefix, [task.handler], { producer, ...SHORT_LOCKS });
    const { id } = await producer.enqueue(task.definition, {});
    return { id, worker, call: await task.call() };
  }

  const spoken = async (id: string) => [
    await fleet.client.exists(`${prefix}:tasks:events:${id}`),
    await fleet.client.hget(`${prefix}:bull:lock:${id}`, 'progress'),
  ];

  /** The task comes back, here, for nobody has it. */
  async function assertRunsAgain(id: string): Promise<void> {
    (await task.call(1)).returns('of the second');
    assert.equal(await producer.result(id), 'of the second');
    assert.deepEqual(await spoken(id), [0, null]);
  }

  it('writes nothing of what it says, is aborted with LockLost, and enqueues nothing', async () => {
    const { id, worker, call } = await runOne();
    const child = new ScriptedTask('lock.child');
    assert.equal(call.context.signal.aborted, false);
    call.context.emit('before');
    call.context.progress(50);
    blockFor(1_050);
    // Another worker has it, or may at any moment; nothing from Redis has been read since.
    const refused = assert.rejects(
      call.context.enqueue(child.definition, {}, { id: 'nobody' }),
      (error) => error instanceof LockLost && error === call.context.signal.reason,
    );
    call.context.emit('after');
    await refused;
    assert.ok((await call.aborted) instanceof LockLost);
    call.throws(new Error('of the loser'));
    await assertRunsAgain(id);
    assert.equal(await producer.get('nobody'), null);
    await worker.stop();
  });

  it('does not begin, as in a process that was frozen right after it fetched the task', async () => {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    task = new ScriptedTask('lock.task');
    let frozen = false;
    const onStep = (step: Step): Promise<void> => {
      if (step === 'worker:tracked' && !frozen) {
        frozen = true;
        blockFor(1_050);
      }
      return Promise.resolve();
    };
    const worker = await fleet.worker(prefix, [task.handler], { ...SHORT_LOCKS, onStep });
    const { id } = await producer.enqueue(task.definition, {});
    // The only one: it has come back, for nobody had it.
    (await task.call()).returns('of the second');
    assert.equal(await producer.result(id, { timeoutMs: 10_000 }), 'of the second');
    assert.ok(frozen);
    assert.equal(task.calls.length, 1);
    assert.equal((await producer.get(id))?.state, 'completed');
    await worker.stop();
  });

  it('notices that when its own words are to go out', async () => {
    const { id, worker, call } = await runOne();
    assert.equal(call.context.signal.aborted, false);
    call.context.emit('before');
    call.context.progress(50);
    blockFor(1_050);
    assert.ok((await call.aborted) instanceof LockLost);
    call.returns('of the loser');
    await assertRunsAgain(id);
    await worker.stop();
  });

  it('does not write its last words either, if it ends before it could notice', async () => {
    const { id, worker, call } = await runOne();
    call.context.emit('last words');
    call.context.progress(100);
    blockFor(1_050);
    call.returns('of the loser');
    await assertRunsAgain(id);
    await worker.stop();
  });

  it('is none whose lock was renewed: it speaks on', async () => {
    const { id, worker, call } = await runOne();
    const enough = performance.now() + 2 * SHORT_LOCKS.lockMs;
    await until(
      () => performance.now(),
      (now) => now > enough,
    );
    call.context.emit('still here');
    call.context.progress(60);
    call.returns('done');
    assert.equal(await producer.result(id), 'done');
    assert.deepEqual(await spoken(id), [1, '60']);
    assert.equal(call.context.signal.aborted, false);
    await worker.stop();
  });

  it('counts from when the lock was asked for, and from when its renewal was', () => {
    assert.equal(new Run({ ...LOCK, lockedAt: Date.now() - 1_001 }).checkLock(), false);
    const run = new Run({ ...LOCK, lockedAt: Date.now() });
    assert.equal(run.checkLock(), true);
    run.lockRenewed(performance.now() - 1_001);
    assert.deepEqual([run.cause, run.checkLock(), run.cause?.kind], [null, false, 'lock-lost']);
    run.lockRenewed(performance.now());
    assert.equal(run.checkLock(), false, 'what is lost stays lost');
    const ended = new Run({ ...LOCK, lockedAt: Date.now() - 1_001 });
    ended.end();
    assert.deepEqual([ended.checkLock(), ended.cause], [false, null]);
  });
});
