import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { UnrecoverableError } from 'bullmq';
import { z } from 'zod';
import { RetryAfter } from '../../../../shared/attempt/retry-after.js';
import { defineHandler, defineTask } from '../../../../worker/index.js';
import { endOf, ownWorker } from '../../../support/fleet/own-worker.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { KEEP } from '../../../support/task/keep.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';

const AGAIN = { attempts: 3, backoff: { delayMs: 0 } } as const;

describe('After a failed attempt', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  const never: readonly [what: string, thrown: () => unknown, error: RegExp][] = [
    ['an UnrecoverableError', () => new UnrecoverableError('no use'), /^no use$/],
    ["a schema's refusal", () => z.object({ n: z.number() }).safeParse({ n: 'one' }).error, /expected number/],
    ['an error that the definition excepts', () => Object.assign(new Error('no such file'), { code: 'ENOENT' }), /^no such file$/],
  ];
  for (const [what, thrown, error] of never) {
    it(`there is no retry after ${what}, although attempts are left`, async () => {
      const task = new ScriptedTask('retry.never', { retry: { ...AGAIN, except: ['ENOENT'] } });
      const { producer } = await ownWorker(fleet, [task.handler]);
      const { id } = await producer.enqueue(task.definition, {});
      (await task.call()).throws(thrown());
      const view = await endOf(producer, id);
      assert.deepEqual([view.state, view.attempt, view.maxAttempts], ['failed', 1, 3]);
      assert.match(view.error ?? '', error);
      assert.equal(task.calls.length, 1);
    });
  }

  it('there is no retry after an invalid output', async () => {
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    const outputs: readonly [name: string, value: unknown, output: z.ZodType | undefined, error: RegExp][] = [
      ['out.bad', { n: 'one' }, z.object({ n: z.number() }), /^Bad output of out\.bad: n: /],
      ['out.circle', circle, undefined, /^Bad output of out\.circle: not JSON \(.*circular/i],
      ['out.bigint', 1n, undefined, /^Bad output of out\.bigint: not JSON \(/],
      ['out.later', {}, z.object({}).refine(() => Promise.resolve(true)), /^Bad output of out\.later: its schema failed/],
    ];
    let calls = 0;
    const tasks = outputs.map(([name, value, output]) => {
      const definition = defineTask({ name, input: z.unknown(), ...(output && { output }), retry: AGAIN, retention: KEEP });
      return defineHandler(definition, () => {
        calls += 1;
        return value;
      });
    });
    const { producer } = await ownWorker(fleet, tasks);
    for (const [index, { definition }] of tasks.entries()) {
      const view = await endOf(producer, (await producer.enqueue(definition, {})).id);
      assert.deepEqual([view.state, view.attempt, calls], ['failed', 1, index + 1], view.name ?? '');
      assert.match(view.error ?? '', outputs[index]?.[3] as RegExp);
    }
  });

  it('there is no retry after an input whose schema throws', async () => {
    const definition = defineTask({
      name: 'input.later',
      input: z.unknown().refine(() => Promise.resolve(true)),
      retry: AGAIN,
      retention: KEEP,
    });
    const { prefix, producer } = await ownWorker(fleet, [defineHandler(definition, () => 1)]);
    const store = fleet.store({ keyPrefix: prefix });
    await store.queues.get('input').add('input.later', {}, { jobId: 'plain', attempts: 3 });
    const view = await until(
      () => producer.get('plain'),
      (task) => task?.state === 'failed',
    );
    assert.equal(view?.attempt, 1);
    assert.match(view?.error ?? '', /^Bad input for input\.later: its schema failed/);
  });

  it('there is no retry if a child was refused for its arguments, unless the handler catches the error', async () => {
    const child = defineTask({ name: 'retry.child', input: z.object({ n: z.number() }), retention: KEEP });
    const parent = defineTask({ name: 'retry.parent', input: z.unknown(), retry: AGAIN, retention: KEEP });
    const prefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix: prefix });
    const handler = defineHandler(parent, ({ enqueue }) => enqueue(child, { n: 'one' } as never));
    await fleet.worker(prefix, [handler], { producer });
    const view = await endOf(producer, (await producer.enqueue(parent, {})).id);
    assert.deepEqual([view.state, view.attempt], ['failed', 1]);
    assert.match(view.error ?? '', /^Bad input for retry\.child: n: /);
  });

  it('the retry waits for the backoff of the definition, up to its maximum', async () => {
    const task = new ScriptedTask('retry.waits', {
      retry: { attempts: 100, backoff: { delayMs: 10_000, maxDelayMs: 60_000, jitter: 0.5 } },
    });
    const { prefix, producer } = await ownWorker(fleet, [task.handler]);
    const waits = async (failed: number): Promise<number> => {
      const id = `after-${failed}`;
      const called = task.call(task.calls.length);
      await producer.enqueue(task.definition, {}, { id, delay: 3_600_000 });
      await fleet.client.hset(`${prefix}:bull:retry:${id}`, 'atm', failed);
      await (await fleet.store({ keyPrefix: prefix }).queues.get('retry').getJob(id))?.promote();
      const call = await called;
      assert.equal(call.context.attempt, failed + 1);
      call.throws(new Error('no'));
      await until(
        () => producer.get(id),
        (view) => view?.state === 'retrying',
      );
      return Number(await fleet.client.hget(`${prefix}:bull:retry:${id}`, 'delay'));
    };
    const [first, third, last] = [await waits(0), await waits(2), await waits(98)];
    assert.ok(first >= 5_000 && first <= 10_000, `${first} ms`);
    assert.ok(third >= 20_000 && third <= 40_000, `${third} ms`);
    assert.ok(last >= 30_000 && last <= 60_000, `${last} ms`);
  });

  it('the retry waits for as long as the error asks', async () => {
    const task = new ScriptedTask('retry.asked', { retry: { attempts: 2, backoff: { delayMs: 1 } } });
    const { prefix, producer } = await ownWorker(fleet, [task.handler]);
    const { id } = await producer.enqueue(task.definition, {});
    (await task.call()).throws(new RetryAfter(40_000, 'busy'));
    await until(
      () => producer.get(id),
      (view) => view?.state === 'retrying',
    );
    assert.equal(await fleet.client.hget(`${prefix}:bull:retry:${id}`, 'delay'), '40000');
  });

  it('a foreign job with its own backoff is retried', async () => {
    const task = new ScriptedTask('retry.plain');
    const { prefix, producer } = await ownWorker(fleet, [task.handler]);
    await fleet
      .store({ keyPrefix: prefix })
      .queues.get('retry')
      .add('retry.plain', {}, { jobId: 'plain', attempts: 2, backoff: { type: 'theirs', delay: 1 } });
    (await task.call()).throws(new Error('once'));
    (await task.call(1)).returns('second time');
    const view = await until(
      () => producer.get('plain'),
      (found) => found?.state === 'completed',
    );
    assert.deepEqual([view?.attempt, view?.maxAttempts, view?.result], [2, 2, 'second time']);
  });

  it("a task whose handler throws BullMQ's own errors fails instead of staying active", async () => {
    const task = new ScriptedTask('retry.moved');
    const { producer, worker } = await ownWorker(fleet, [task.handler]);
    const { id } = await producer.enqueue(task.definition, {});
    (await task.call()).throws(Object.assign(new Error('gone elsewhere'), { name: 'DelayedError' }));
    const view = await endOf(producer, id);
    assert.deepEqual([view.state, view.error], ['failed', 'the handler threw DelayedError: gone elsewhere']);
    assert.equal(worker.status().running.length, 0);
  });
});
