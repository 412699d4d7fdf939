import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { z } from 'zod';
import type { Producer } from '../../../../producer/index.js';
import { createKeys } from '../../../../shared/keys.js';
import { ShuttingDown, StopRequested, TimedOut } from '../../../../shared/stop/cause.js';
import { defineTask } from '../../../../shared/task/definition.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { KEEP } from '../../../support/task/keep.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { StepGate } from '../../../support/task/step-gate.js';
import { until } from '../../../support/until.js';

describe('A task that a handler enqueues', () => {
  let fleet: TestFleet;
  let prefix: string;
  let producer: Producer;
  let parent: ScriptedTask;
  let child: ScriptedTask;

  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(() => {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    parent = new ScriptedTask('family.parent', { retry: { attempts: 2, backoff: { delayMs: 0 } } });
    child = new ScriptedTask('family.child');
  });
  after(() => fleet.stop());

  const start = (config: Parameters<TestFleet['worker']>[2] = {}) =>
    fleet.worker(prefix, [parent.handler, child.handler], { producer, ...config });
  const keys = () => createKeys(prefix);
  const childrenOf = (id: string) => fleet.client.smembers(keys().children(id));

  it("has its parent's item, and is listed below the parent and the item until it ends", async () => {
    await start();
    const { id: parentId } = await producer.enqueue(parent.definition, {}, { item: 'chat-1' });
    const call = await parent.call();
    const made = await call.context.enqueue(child.definition, { n: 1 });
    assert.deepEqual({ ...made }, { id: made.id, name: 'family.child', queue: 'family', item: 'chat-1', duplicate: false, superseded: [] });
    assert.deepEqual(await childrenOf(parentId), [made.id]);
    assert.deepEqual((await fleet.client.smembers(keys().item('chat-1'))).toSorted(), [parentId, made.id].toSorted());
    assert.equal(await fleet.client.hget(keys().jobs('family') + parentId, 'kids'), '1');
    const ttl = await fleet.client.pttl(keys().children(parentId));
    assert.ok(ttl > 23 * 3_600_000 && ttl <= 24 * 3_600_000, `${ttl} ms`);

    const childCall = await child.call();
    assert.deepEqual([childCall.context.id, childCall.context.item, childCall.context.input], [made.id, 'chat-1', { n: 1 }]);
    childCall.returns('grown');
    assert.equal(await producer.result(made.id), 'grown');
    assert.deepEqual(
      await until(
        () => childrenOf(parentId),
        (ids) => ids.length === 0,
      ),
      [],
    );
    assert.deepEqual(
      await until(
        () => fleet.client.smembers(keys().item('chat-1')),
        (ids) => ids.length === 1,
      ),
      [parentId],
    );
    call.returns();
    await producer.result(parentId);
    await fleet.emptied(prefix);
  });

  it('has no item if its parent has none, and has the given delay and priority', async () => {
    await start();
    await producer.enqueue(parent.definition, {});
    const call = await parent.call();
    const { enqueue } = call.context; // works without its object
    const made = await enqueue(child.definition, {}, { delay: 3_600_000, priority: 3 });
    assert.equal(made.item, null);
    assert.equal((await producer.get(made.id))?.state, 'scheduled');
    const { priority } = JSON.parse((await fleet.client.hget(keys().jobs('family') + made.id, 'opts')) ?? '{}') as { priority?: number };
    assert.equal(priority, 3);
    call.returns();
    await producer.stop(made.id);
  });

  it('outlives a parent that completes', async () => {
    await start();
    const { id } = await producer.enqueue(parent.definition, {}, { item: 'chat-1' });
    const call = await parent.call();
    const made = await call.context.enqueue(child.definition, {});
    const childCall = await child.call();
    call.returns();
    await producer.result(id);
    assert.equal((await producer.stop(id)).outcome, 'finished');
    assert.equal(childCall.context.signal.aborted, false);
    childCall.returns('alone');
    assert.equal(await producer.result(made.id), 'alone');
  });

  it('is one task if its id is given twice, also by a retry of its parent', async () => {
    await start();
    await producer.enqueue(parent.definition, {}, { item: 'chat-1' });
    const first = await parent.call(0);
    const [one, other] = await Promise.all([1, 2].map((n) => first.context.enqueue(child.definition, { n }, { id: 'only-child' })));
    assert.notEqual(one?.duplicate, other?.duplicate);
    first.throws(new Error('again'));
    const second = await parent.call(1);
    assert.equal((await second.context.enqueue(child.definition, {}, { id: 'only-child' })).duplicate, true);
    (await child.call()).returns('once');
    assert.equal(await producer.result('only-child'), 'once');
    second.returns();
    assert.equal(child.calls.length, 1);
  });

  it('is refused without a producer, or with an invalid input, id or option', async () => {
    const strict = defineTask({ name: 'family.strict', input: z.object({ text: z.string() }), retention: KEEP });
    const other = new ScriptedTask('lonely.parent');
    await start();
    await fleet.worker(prefix, [other.handler]);
    await producer.enqueue(other.definition, {});
    await producer.enqueue(parent.definition, {});
    const [lonely, call] = [await other.call(), await parent.call()];
    await assert.rejects(lonely.context.enqueue(child.definition, {}), { code: 'NO_PRODUCER' });
    const { enqueue } = call.context;
    await assert.rejects(
      enqueue(strict, { text: 5 } as unknown as { text: string }),
      (error: Error & { code?: string; details?: unknown }) => {
        assert.deepEqual(
          [error.code, error.details],
          [
            'INVALID_INPUT',
            {
              task: 'family.strict',
              fields: ['text'],
              errors: [{ field: 'input.text', message: 'Invalid input: expected string, received number' }],
            },
          ],
        );
        return /text/.test(error.message);
      },
    );
    await assert.rejects(enqueue(child.definition, {}, { id: 'a:b' }), { code: 'INVALID_ID' });
    await assert.rejects(enqueue(child.definition, {}, { delay: -1 }), { code: 'INVALID_OPTION', details: { field: 'delay' } });
    await assert.rejects(enqueue(child.definition, {}, { deadline: new Date(0) }), {
      code: 'INVALID_OPTION',
      details: { field: 'deadline' },
    });
    lonely.returns();
    call.returns();
    await until(
      () => fleet.registrySize(prefix),
      ({ tasks }) => tasks === 0,
    );
    assert.equal(child.calls.length, 0);
  });

  it('is refused with the cause of the abort after its parent was aborted or abandoned', async () => {
    const slow = new ScriptedTask('slow.parent', { timeoutMs: 20 });
    await fleet.worker(prefix, [slow.handler], { producer, stopGraceMs: 60_000 });
    await start({ stopGraceMs: 20 });
    const late = await producer.enqueue(slow.definition, {});
    const slowCall = await slow.call();
    assert.ok((await slowCall.aborted) instanceof TimedOut);
    await assert.rejects(slowCall.context.enqueue(child.definition, {}), (error) => error === slowCall.context.signal.reason);
    slowCall.returns();
    await assert.rejects(producer.result(late), { code: 'TASK_FAILED' });

    const { id } = await producer.enqueue(parent.definition, {});
    const call = await parent.call();
    assert.equal((await producer.stop(id, { reason: 'enough', by: 'bob', waitMs: 60_000 })).via, 'abandon');
    await assert.rejects(
      call.context.enqueue(child.definition, {}),
      (error) => error instanceof StopRequested && error.reason === 'enough' && error.by === 'bob',
    );
    call.returns();
    assert.equal(child.calls.length, 0);
  });

  it('is refused while its worker shuts down, and after the end of its parent', async () => {
    const worker = await start({ shutdownTimeoutMs: 0 });
    const ended = await producer.enqueue(parent.definition, {});
    const first = await parent.call(0);
    first.returns();
    await producer.result(ended);
    await assert.rejects(first.context.enqueue(child.definition, {}), { code: 'CLOSED' });
    await producer.enqueue(parent.definition, {});
    const call = await parent.call(1);
    const stopping = worker.stop();
    const cause = await call.aborted;
    await assert.rejects(call.context.enqueue(child.definition, {}), (error) => error === cause && error instanceof ShuttingDown);
    call.throws(cause);
    await stopping;
    assert.equal(child.calls.length, 0);
  });

  it('belongs to one parent if two parents of an item enqueue the same id at once', async () => {
    const gate = new StepGate();
    await start({ producer: fleet.producer({ keyPrefix: prefix, onStep: gate.onStep }) });
    const other = await producer.enqueue(parent.definition, {}, { item: 'chat-1' });
    const otherCall = await parent.call(0);
    const owner = await producer.enqueue(parent.definition, {}, { item: 'chat-1' });
    const call = await parent.call(1);
    const held = gate.holdNext('enqueue:checked');
    const second = otherCall.context.enqueue(child.definition, {}, { id: 'shared' });
    await held.reached;
    assert.equal((await call.context.enqueue(child.definition, {}, { id: 'shared' })).duplicate, false);
    held.release();
    assert.equal((await second).duplicate, true);
    assert.deepEqual([await childrenOf(owner.id), await childrenOf(other.id)], [['shared'], []]);
    void otherCall.aborted.then((cause) => otherCall.throws(cause));
    await producer.stop(other, { waitMs: 60_000 });
    (await child.call()).returns('not touched');
    assert.equal(await producer.result('shared'), 'not touched');
    call.returns();
  });

  it('costs its parent one mark and one expiry per batch', async () => {
    await start();
    const { id } = await producer.enqueue(parent.definition, {});
    const call = await parent.call();
    const monitor = await fleet.monitor();
    const many = await Promise.all(Array.from({ length: 50 }, () => call.context.enqueue(child.definition, {}, { delay: 3_600_000 })));
    const mark = fleet.keys(prefix).children(id);
    const expiries = (await monitor.stop()).filter(([name, key]) => name === 'pexpire' && key === mark).length;
    // One, unless this process pauses in between.
    assert.ok(expiries > 0 && expiries <= 10, `${expiries} times`);
    assert.deepEqual((await childrenOf(id)).toSorted(), many.map((one) => one.id).toSorted());
    call.returns();
  });
});
