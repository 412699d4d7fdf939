import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Producer } from '../../../../producer/index.js';
import { createKeys } from '../../../../shared/keys.js';
import { StopRequested } from '../../../../shared/stop/cause.js';
import { LogLines } from '../../../support/fleet/log-lines.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { KEEP } from '../../../support/task/keep.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { StepGate } from '../../../support/task/step-gate.js';
import { until } from '../../../support/until.js';

const NO_POLL = { stopPollMs: 3_600_000, stopGraceMs: 60_000 };
const WHY = { reason: 'enough', by: 'alice' };
const LONG = { delay: 3_600_000 };
/** More ids than a stop announces before its record. */
const UNKNOWN_IDS = Array.from({ length: 16 }, (_, n) => `unknown-${n}`);

describe('A stop of a task whose handler enqueues others', () => {
  let fleet: TestFleet;
  let prefix: string;
  /** The user's producer. */
  let producer: Producer;
  /** Gates of the user's producer and of the handlers' producer. */
  let stopping: StepGate;
  let enqueuing: StepGate;
  let parent: ScriptedTask;
  let child: ScriptedTask;
  /** No worker runs this task: it stays queued. */
  let idle: ScriptedTask;

  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(async () => {
    prefix = fleet.newPrefix();
    stopping = new StepGate();
    enqueuing = new StepGate();
    producer = fleet.producer({ keyPrefix: prefix, onStep: stopping.onStep });
    parent = new ScriptedTask('family.parent', { retry: { attempts: 2, backoff: { type: 'fixed', delayMs: 3_600_000, jitter: 0 } } });
    child = new ScriptedTask('family.child');
    idle = new ScriptedTask('idle.child');
    const handlersProducer = fleet.producer({ keyPrefix: prefix, onStep: enqueuing.onStep });
    await fleet.worker(prefix, [parent.handler, child.handler], { producer: handlersProducer, ...NO_POLL });
  });
  after(() => fleet.stop());

  const keys = () => createKeys(prefix);
  const stopOf = async (id: string) => {
    const view = await until(
      () => producer.get(id),
      (task) => task?.state === 'cancelled',
    );
    return [view?.stop?.reason, view?.stop?.by, view?.stop?.via];
  };
  const emptied = async () => {
    await fleet.emptied(prefix);
    assert.deepEqual(await fleet.client.keys(keys().children('*')), []);
  };
  const isStop = (error: unknown): boolean => error instanceof StopRequested && error.reason === 'enough' && error.by === 'alice';

  /** A running parent, with a child and grandchildren in every state. */
  async function family(options: Parameters<Producer['enqueue']>[2] = {}) {
    const root = await producer.enqueue(parent.definition, {}, options);
    const call = await parent.call();
    const queued = await call.context.enqueue(idle.definition, {});
    const delayed = await call.context.enqueue(child.definition, {}, LONG);
    const running = await call.context.enqueue(child.definition, {});
    const childCall = await child.call();
    const grandchild = await childCall.context.enqueue(idle.definition, {});
    return { root, call, childCall, running, waiting: [queued.id, delayed.id, grandchild.id] };
  }

  it('also stops its children and their children: queued, delayed and running ones', async () => {
    const { root, call, childCall, running, waiting } = await family();
    void call.aborted.then((cause) => call.throws(cause));
    void childCall.aborted.then((cause) => childCall.throws(cause));
    const receipt = await producer.stop(root, { ...WHY, waitMs: 60_000 });
    assert.deepEqual([receipt.id, receipt.outcome, receipt.via], [root.id, 'cancelled', 'signal']);
    // The stop waits for all of them; receipts are only for the requested ids.
    for (const id of waiting) assert.equal((await producer.get(id))?.state, 'cancelled');
    for (const id of waiting) assert.deepEqual(await stopOf(id), ['enough', 'alice', 'queue']);
    assert.deepEqual(await stopOf(running.id), ['enough', 'alice', 'signal']);
    await emptied();
  });

  it('of an item also does, with a receipt for each, and leaves later tasks of the item alone', async () => {
    const { root, call, childCall, running, waiting } = await family({ item: 'chat-1' });
    void call.aborted.then((cause) => call.throws(cause));
    void childCall.aborted.then((cause) => childCall.throws(cause));
    const receipts = await producer.stopItem('chat-1', { ...WHY, waitMs: 60_000 });
    assert.deepEqual(receipts.map(({ id }) => id).toSorted(), [root.id, running.id, ...waiting].toSorted());
    assert.ok(receipts.every(({ outcome, reason }) => outcome === 'cancelled' && reason === 'enough'));
    const next = await producer.enqueue(child.definition, 'next', { item: 'chat-1' });
    const nextCall = await child.call(1);
    const made = await nextCall.context.enqueue(child.definition, 'of the next');
    (await child.call(2)).returns('fine');
    assert.equal(await producer.result(made.id), 'fine');
    nextCall.returns('too');
    assert.equal(await producer.result(next), 'too');
    await emptied();
  });

  it('also stops the children of a task that waits for its retry', async () => {
    const { root, call, childCall, running, waiting } = await family();
    call.throws(new Error('first attempt'));
    await until(
      () => producer.get(root),
      (task) => task?.state === 'retrying',
    );
    void childCall.aborted.then((cause) => childCall.throws(cause));
    const receipt = await producer.stop(root, { ...WHY, waitMs: 60_000 });
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'queue']);
    for (const id of [...waiting, running.id])
      assert.equal((await producer.get(id))?.state, 'cancelled', 'by the stop, not by the reconciler');
    assert.deepEqual(await stopOf(running.id), ['enough', 'alice', 'signal']);
    for (const id of waiting) assert.deepEqual(await stopOf(id), ['enough', 'alice', 'queue']);
    await emptied();
  });

  it('also stops the children of a child that has ended', async () => {
    const root = await producer.enqueue(parent.definition, {});
    const call = await parent.call();
    const middle = await call.context.enqueue(child.definition, {});
    const childCall = await child.call();
    const held = stopping.holdNext('stop:recorded');
    const stopped = producer.stop([root.id, ...UNKNOWN_IDS], { ...WHY });
    assert.equal(await held.reached, root.id);
    const grandchild = await childCall.context.enqueue(idle.definition, {});
    childCall.returns();
    await producer.result(middle.id);
    // An entry leaves the registry some ms after the end of its task.
    await until(
      () => fleet.client.scard(keys().children(root.id)),
      (count) => count === 0,
    );
    await fleet.client.sadd(keys().children(root.id), middle.id);
    held.release();
    await stopped;
    assert.deepEqual(await stopOf(grandchild.id), ['enough', 'alice', 'queue']);
    call.throws(await call.aborted);
  });

  it('of an item also stops the children of a task that ends while the item is read', async () => {
    const root = await producer.enqueue(parent.definition, {}, { item: 'chat-1' });
    const call = await parent.call();
    const made = await call.context.enqueue(idle.definition, {});
    call.returns();
    await producer.result(root);
    await until(
      () => fleet.client.sismember(keys().ownItem('chat-1'), root.id),
      (listed) => listed === 0,
    );
    // The state at the read of the item: the parent had not ended, and the child did not exist.
    await fleet.client.sadd(keys().ownItem('chat-1'), root.id);
    for (const key of [keys().ownItem('chat-1'), keys().item('chat-1')]) await fleet.client.srem(key, made.id);
    const receipts = await producer.stopItem('chat-1', WHY);
    assert.deepEqual(
      receipts.map(({ id, outcome }) => [id, outcome]),
      [
        [root.id, 'finished'],
        [made.id, 'cancelled'],
      ],
    );
  });

  for (const settled of [false, true]) {
    const order = settled ? ', and its parent ends first' : '';
    it(`catches a child that is checked but not registered when the stop arrives${order}`, async () => {
      const root = await producer.enqueue(parent.definition, {}, { item: 'chat-1' });
      const call = await parent.call();
      const held = enqueuing.holdNext('enqueue:checked');
      const refused = assert.rejects(call.context.enqueue(child.definition, {}, { id: 'late-child' }), isStop);
      assert.equal(await held.reached, 'late-child');
      if (settled) void call.aborted.then((cause) => call.throws(cause));
      const receipt = await producer.stop(root, { ...WHY, waitMs: settled ? 10_000 : 0 });
      assert.equal(receipt.outcome, settled ? 'cancelled' : 'requested');
      held.release();
      await refused;
      assert.deepEqual((await stopOf('late-child')).slice(0, 2), ['enough', 'alice']);
      call.throws(await call.aborted);
      assert.equal(child.calls.length, 0);
      await emptied();
    });
  }

  it('also catches such a child of a parent without retention', async () => {
    const brief = new ScriptedTask('brief.parent', {
      retention: { ...KEEP, failed: { ageMs: 1_000, count: 0 }, cancelled: { ageMs: 1_000, count: 0 } },
    });
    await fleet.worker(prefix, [brief.handler], { producer: fleet.producer({ keyPrefix: prefix, onStep: enqueuing.onStep }), ...NO_POLL });
    const root = await producer.enqueue(brief.definition, {});
    const call = await brief.call();
    const held = enqueuing.holdNext('enqueue:checked');
    const refused = assert.rejects(call.context.enqueue(idle.definition, {}, { id: 'orphan' }), isStop);
    await held.reached;
    void call.aborted.then((cause) => call.throws(cause));
    assert.equal((await producer.stop(root, { ...WHY, waitMs: 60_000 })).outcome, 'cancelled');
    assert.equal(await producer.get(root), null);
    held.release();
    await refused;
    assert.deepEqual(await stopOf('orphan'), ['enough', 'alice', 'queue']);
  });

  for (const what of ['the parent', 'the item'] as const) {
    it(`of ${what} catches a child that is enqueued between the record and the message`, async () => {
      const root = await producer.enqueue(parent.definition, {}, { item: 'chat-1' });
      const call = await parent.call();
      const checked = enqueuing.holdNext('enqueue:checked');
      const refused = assert.rejects(call.context.enqueue(idle.definition, {}, { id: 'in-the-gap' }), isStop);
      await checked.reached;
      const held = stopping.holdNext('stop:recorded');
      const stopped = what === 'the parent' ? producer.stop(root, { ...WHY }) : producer.stopItem('chat-1', { ...WHY });
      assert.equal(await held.reached, root.id);
      checked.release();
      await refused;
      assert.deepEqual(await stopOf('in-the-gap'), ['enough', 'alice', 'queue']);
      const next = await producer.enqueue(child.definition, 'next', { item: 'chat-1' });
      held.release();
      await stopped;
      call.throws(await call.aborted);
      (await child.call()).returns('not touched');
      assert.equal(await producer.result(next), 'not touched');
      await emptied();
    });
  }

  it('catches a child enqueued by a parent that has not received the stop', async () => {
    const root = await producer.enqueue(parent.definition, {});
    const call = await parent.call();
    const held = stopping.holdNext('stop:recorded');
    const stopped = producer.stop([root.id, ...UNKNOWN_IDS], { ...WHY });
    await held.reached;
    assert.equal(call.context.signal.aborted, false);
    await assert.rejects(call.context.enqueue(idle.definition, {}, { id: 'unaware' }), isStop);
    assert.deepEqual(await stopOf('unaware'), ['enough', 'alice', 'queue']);
    held.release();
    await stopped;
    call.throws(await call.aborted);
  });

  it('of a child that is being enqueued does not stop its parent', async () => {
    const root = await producer.enqueue(parent.definition, {});
    const call = await parent.call();
    // Registered without a job: the state in the middle of an enqueue.
    await fleet.client.hset(keys().taskQueues, 'only-child', 'idle');
    await fleet.client.hset(keys().tasks, 'only-child', '');
    assert.equal((await producer.stop('only-child', { ...WHY })).outcome, 'requested');
    const made = await call.context.enqueue(idle.definition, {}, { id: 'only-child' });
    assert.deepEqual([made.id, made.duplicate], ['only-child', false]);
    assert.deepEqual(await stopOf('only-child'), ['enough', 'alice', 'queue']);
    call.returns('went on');
    assert.equal(await producer.result(root), 'went on');
  });

  it('applies to a child that is still queued: its worker does not start it', async () => {
    const root = await producer.enqueue(parent.definition, {});
    const call = await parent.call();
    const made = await call.context.enqueue(idle.definition, {});
    // Only the record, as if the stopper had died before it reached the child.
    await fleet.client.hset(keys().jobs('family') + root.id, 'stop', JSON.stringify({ ...WHY, at: Date.now() }));
    const log = new LogLines();
    await fleet.worker(prefix, [idle.handler], { ...NO_POLL, loggers: log.loggers });
    await assert.rejects(producer.result(made.id, { timeoutMs: 60_000 }), { code: 'TASK_CANCELLED' });
    assert.deepEqual(await stopOf(made.id), ['enough', 'alice', 'queue']);
    assert.deepEqual([(await producer.get(made.id))?.attempt, idle.calls.length], [0, 0]);
    call.throws(new Error('over'));
  });
});
