import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import type { Producer } from '../../../../producer/index.js';
import { isFleetError } from '../../../../shared/errors.js';
import { createKeys } from '../../../../shared/keys.js';
import { defineTask } from '../../../../shared/task/definition.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { KEEP } from '../../../support/task/keep.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';

const RETRY = { retry: { attempts: 3, backoff: { type: 'fixed', delayMs: 0, jitter: 0 } } } as const;

/** Beyond the enqueue, which refuses a deadline that has passed, on a busy machine. */
const SOON_MS = 1_000;

describe('A deadline', () => {
  let fleet: TestFleet;
  let prefix: string;
  let producer: Producer;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function setUp(options: ConstructorParameters<typeof ScriptedTask>[1] = {}) {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    await producer.ping(); // connects, so that the deadline does not pass meanwhile
    return new ScriptedTask('timely.task', { ...RETRY, ...options });
  }

  const past = (at: number) =>
    until(
      () => Date.now(),
      (now) => now > at,
    );
  const deadlineOf = async (id: string) =>
    (JSON.parse((await fleet.client.hget(createKeys(prefix).jobs('timely') + id, 'opts')) ?? '{}') as { deadline?: number }).deadline;

  async function assertMissed(id: string, deadline: number, attempt = 1): Promise<void> {
    await assert.rejects(producer.result(id, { timeoutMs: 60_000 }), { code: 'TASK_FAILED' });
    const view = await producer.get(id);
    assert.deepEqual(
      [view?.state, view?.attempt, view?.error],
      ['failed', attempt, `Not started before its deadline, ${new Date(deadline).toISOString()}`],
    );
    await fleet.emptied(prefix);
  }

  for (const kind of ['of the call', 'of the definition'] as const) {
    it(`${kind} fails a task not started by then, without a call of its handler or a retry`, async () => {
      const task = await setUp(kind === 'of the definition' ? { deadlineMs: 30 } : {});
      const deadline = new Date(Date.now() + SOON_MS);
      const { id } = await producer.enqueue(task.definition, {}, { item: 'chat-1', ...(kind === 'of the call' && { deadline }) });
      const kept = (await deadlineOf(id)) as number;
      if (kind === 'of the call') assert.equal(kept, deadline.getTime());
      await past(kept);
      await fleet.worker(prefix, [task.handler]);
      await assertMissed(id, kept);
      assert.equal(task.calls.length, 0);
    });
  }

  it('that has not passed lets the task start, and does not end it later', async () => {
    const task = await setUp({ deadlineMs: 60_000 });
    await fleet.worker(prefix, [task.handler]);
    const deadline = new Date(Date.now() + 5_000); // enough for a busy machine to start the task
    const { id } = await producer.enqueue(task.definition, {}, { deadline });
    const call = await task.call();
    await past(deadline.getTime() + 50);
    assert.equal(call.context.signal.aborted, false);
    call.returns('in time');
    assert.equal(await producer.result(id), 'in time');
  });

  it('of the definition counts from the enqueue or the end of the delay; a deadline of the call replaces it', async () => {
    const task = await setUp({ deadlineMs: 60_000 });
    const [from, delay] = [Date.now(), 600_000];
    const [plain, delayed, own] = [
      await producer.enqueue(task.definition, {}),
      await producer.enqueue(task.definition, {}, { delay }),
      await producer.enqueue(task.definition, {}, { deadline: new Date(from + 5_000) }),
    ];
    const offsets = (await Promise.all([plain, delayed, own].map(({ id }) => deadlineOf(id)))).map((at) => (at as number) - from);
    const took = Date.now() - from;
    assert.ok(offsets[0]! >= 60_000 && offsets[0]! <= 60_000 + took, `${offsets[0]}`);
    assert.ok(offsets[1]! >= 660_000 && offsets[1]! <= 660_000 + took, `${offsets[1]}`);
    assert.equal(offsets[2], 5_000);
  });

  it('may be later than a delay', async () => {
    const task = await setUp();
    const deadline = Date.now() + SOON_MS;
    const { id } = await producer.enqueue(task.definition, {}, { delay: 50, deadline: new Date(deadline) });
    await past(deadline);
    await fleet.worker(prefix, [task.handler]);
    await assertMissed(id, deadline);
    const other = await producer.enqueue(task.definition, {}, { delay: 50, deadline: new Date(Date.now() + 60_000) });
    (await task.call()).returns('started');
    assert.equal(await producer.result(other), 'started');
  });

  it('fails a retry that would start after it', async () => {
    const task = await setUp();
    await fleet.worker(prefix, [task.handler]);
    const deadline = Date.now() + 4_000;
    const { id } = await producer.enqueue(task.definition, {}, { deadline: new Date(deadline) });
    (await task.call(0)).throws(new Error('first'));
    const second = await task.call(1);
    await past(deadline);
    second.throws(new Error('second'));
    await assertMissed(id, deadline, 3);
    assert.equal(task.calls.length, 2);
  });

  it('yields to a stop: the task is cancelled', async () => {
    const task = await setUp();
    const deadline = Date.now() + SOON_MS;
    const { id } = await producer.enqueue(task.definition, {}, { deadline: new Date(deadline) });
    await past(deadline);
    assert.equal((await producer.stop(id)).outcome, 'cancelled');
  });

  it('that has passed, precedes the end of the delay or is no Date is refused, and nothing is enqueued', async () => {
    const task = await setUp();
    const refused = (options: Parameters<Producer['enqueue']>[2], message: RegExp) =>
      assert.rejects(
        producer.enqueue(task.definition, {}, options),
        (error) => isFleetError(error, 'INVALID_OPTION') && message.test(error.message) && error.details['field'] === 'deadline',
      );
    await refused({ deadline: new Date(Date.now() - 1) }, /is before now/);
    await refused({ deadline: new Date(Date.now() + 1_000), delay: 60_000 }, /is before the end of the delay/);
    await refused({ deadline: new Date(NaN) }, /expected a Date, got an invalid Date/);
    for (const bad of [Date.now() + 60_000, '2030-01-01', null, {}])
      await refused({ deadline: bad as unknown as Date }, /expected a Date, got/);
    await fleet.emptied(prefix);
  });

  it('of a definition is a whole number of ms, at least 1', () => {
    for (const deadlineMs of [0, -1, 1.5, Infinity, '5' as unknown as number]) {
      assert.throws(
        () => defineTask({ name: 'timely.task', input: z.unknown(), deadlineMs, retention: KEEP }),
        { code: 'INVALID_DEFINITION' },
        String(deadlineMs),
      );
    }
    assert.equal(defineTask({ name: 'timely.task', input: z.unknown(), retention: KEEP }).deadlineMs, null);
  });
});
