import assert from 'node:assert/strict';
import { after, beforeEach, describe, it } from 'node:test';
import type { Producer } from '../../../producer/index.js';
import { type Keys, createKeys } from '../../../shared/keys.js';
import { MergedWrites } from '../../../shared/registry/merged-writes.js';
import { formatStop } from '../../../shared/stop/receipt.js';
import { deferred } from '../../support/deferred.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { StepGate } from '../../support/task/step-gate.js';
import { until } from '../../support/until.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const WHY = { reason: 'too soon', by: 'alice' };
const NO_POLL = { stopPollMs: 3_600_000 };

describe('A stop of a registered task without a job', () => {
  let prefix: string;
  let keys: Keys;
  let producer: Producer;
  let task: ScriptedTask;

  beforeEach(() => {
    prefix = fleet.newPrefix();
    keys = createKeys(prefix);
    producer = fleet.producer({ keyPrefix: prefix });
    task = new ScriptedTask('note.take', { retry: { attempts: 3, backoff: { delayMs: 0 } } });
  });

  async function register(id: string, item = ''): Promise<void> {
    const writes = new MergedWrites(keys);
    writes.add({ id, item, queue: 'note', at: Date.now() });
    await Promise.all(writes.flushInto(fleet.scripted));
  }

  async function assertNeverRan(id: string): Promise<void> {
    await assert.rejects(producer.result(id, { timeoutMs: 60_000 }), { code: 'TASK_CANCELLED' });
    const view = await producer.get(id);
    assert.deepEqual(
      [view?.state, view?.attempt, view?.stop?.reason, view?.stop?.by, view?.stop?.via],
      ['cancelled', 0, 'too soon', 'alice', 'queue'],
    );
    const probe = await producer.enqueue(task.definition, 'probe');
    await fleet.worker(prefix, [task.handler], NO_POLL);
    (await task.call()).returns();
    await producer.result(probe);
    assert.deepEqual(
      task.calls.map(({ context }) => context.input),
      ['probe'],
    );
    await until(
      () => fleet.registrySize(prefix),
      ({ tasks, items }) => tasks + items === 0,
    );
    assert.deepEqual([await fleet.registrySize(prefix), await fleet.client.exists(keys.pendingStops)], [EMPTY_REGISTRY, 0]);
  }

  for (const what of ['stop', 'stopItem'] as const) {
    it(`by ${what} is kept and carried out by the enqueuer: the task never runs`, async () => {
      await register('early', 'chat-1');
      const receipts = what === 'stop' ? [await producer.stop('early', WHY)] : await producer.stopItem('chat-1', WHY);
      assert.deepEqual(
        receipts.map(({ id, outcome, reason, by, via }) => [id, outcome, reason, by, via]),
        [['early', 'requested', 'too soon', 'alice', null]],
      );
      assert.deepEqual(await fleet.client.hkeys(keys.pendingStops), ['early']);
      const added = await producer.enqueue(task.definition, {}, { id: 'early', item: 'chat-1' });
      assert.deepEqual([added.id, added.duplicate], ['early', false]);
      await assertNeverRan('early');
    });
  }

  it('waits for the job if it has waitMs', async () => {
    await register('early');
    const stopped = producer.stop('early', { ...WHY, waitMs: 60_000 });
    await until(
      () => fleet.client.hlen(keys.pendingStops),
      (count) => count === 1,
    );
    await fleet.producer({ keyPrefix: prefix }).enqueue(task.definition, {}, { id: 'early' });
    const receipt = await stopped;
    assert.deepEqual([receipt.outcome, receipt.via, receipt.reason], ['cancelled', 'queue', 'too soon']);
    await assertNeverRan('early');
  });

  it('keeps the first of two reasons', async () => {
    await register('early');
    await producer.stop('early', WHY);
    await producer.stop('early', { reason: 'second', by: 'bob' });
    await producer.enqueue(task.definition, {}, { id: 'early' });
    await assertNeverRan('early');
  });

  it('finds a job that arrives during the stop, at any step, and leaves no keys behind', async () => {
    for (let round = 0; round < 30; round += 1) {
      const id = `racing-${round}`;
      const other = fleet.producer({ keyPrefix: prefix });
      await other.ping();
      await register(id);
      const [receipt, added] = await Promise.all([producer.stop(id, WHY), other.enqueue(task.definition, {}, { id })]);
      assert.ok(receipt.outcome === 'requested' || receipt.outcome === 'cancelled', receipt.outcome);
      assert.equal(added.duplicate, false);
      const view = await until(
        () => producer.get(id),
        (now) => now?.state === 'cancelled',
      );
      assert.equal(view?.stop?.reason, 'too soon');
      assert.equal(await fleet.client.exists(keys.pendingStops), 0);
    }
    assert.equal((await fleet.registrySize(prefix)).tasks, 0);
  });

  it('finds a job that arrives between its first and second read', async () => {
    const gate = new StepGate();
    const stopper = fleet.producer({ keyPrefix: prefix, onStep: gate.onStep });
    await register('early');
    const held = gate.holdNext('stop:recorded');
    const stopped = stopper.stop('early', WHY);
    assert.equal(await held.reached, 'early');
    await producer.enqueue(task.definition, {}, { id: 'early' });
    assert.equal((await producer.get('early'))?.state, 'queued');
    held.release();
    const receipt = await stopped;
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'queue']);
    await assertNeverRan('early');
  });

  it('is found at pick-up by a worker that received it, if the enqueuer is dead', async () => {
    const log = new LogLines();
    await fleet.worker(prefix, [task.handler], { ...NO_POLL, loggers: log.loggers });
    await log.waitFor(/Listening for stop commands/);
    await register('early');
    await producer.stop('early', WHY);
    // Messages arrive in order: once the worker has this one, it has received the stop.
    await fleet.client.publish(keys.commands, 'marker');
    await log.waitFor(/Unsupported message/);
    const { queues } = fleet.store({ keyPrefix: prefix });
    await queues.get('note').add('note.take', {}, { jobId: 'early', item: '' } as object);
    await assert.rejects(producer.result('early', { timeoutMs: 60_000 }), { code: 'TASK_CANCELLED' });
    const view = await producer.get('early');
    assert.deepEqual([view?.attempt, view?.stop?.reason, view?.stop?.via, task.calls.length], [0, 'too soon', 'queue', 0]);
  });

  it('is found by the poll of a worker that is running the task', async () => {
    // The reconciler finds such stops too, so it must not run during this test.
    await fleet.worker(prefix, [task.handler], { stopPollMs: 50, reconcileMs: 3_600_000 });
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    await fleet.client.hset(keys.pendingStops, id, formatStop({ ...WHY, at: Date.now() }));
    const cause = await call.aborted;
    assert.equal(cause.message, 'Stopped by alice: too soon');
    call.throws(cause);
    await assert.rejects(producer.result(id), { code: 'TASK_CANCELLED' });
    assert.deepEqual([(await producer.get(id))?.stop?.reason, (await producer.get(id))?.stop?.via], ['too soon', 'signal']);
  });

  it('does not delay or affect other tasks enqueued in the same turn', async () => {
    await register('early');
    await producer.stop('early', WHY);
    const started = deferred();
    void task.call().then(() => started.resolve());
    await fleet.worker(prefix, [task.handler], NO_POLL);
    const [early, other] = await producer.enqueueMany(task.definition, [{ input: {}, id: 'early' }, { input: 'other' }]);
    await started.promise;
    const call = task.calls.find(({ context }) => context.id === other?.id) ?? (await task.call(1));
    call.returns('fine');
    assert.equal(await producer.result(other!), 'fine');
    await until(
      () => producer.get(early!.id),
      (view) => view?.state === 'cancelled',
    );
    assert.equal(await fleet.client.exists(keys.pendingStops), 0);
  });
});
