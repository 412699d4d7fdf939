import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { createDashboard } from '../../dashboard/index.js';
import type { AttemptSpan, RequestSpan, Telemetry } from '../../shared/tracing/telemetry.js';
import { openTelemetry } from '../../telemetry/index.js';
import { defineHandler, defineTask } from '../../worker/index.js';
import { serve } from '../dashboard/serve-dashboard.js';
import { LogLines } from '../support/fleet/log-lines.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';
import { ScriptedTask } from '../support/task/scripted-task.js';

const parent = defineTask({ name: 'chat.parent', input: z.object({}), output: z.string(), retention: KEEP });
const child = defineTask({ name: 'chat.child', input: z.object({}), output: z.string(), retention: KEEP });
const parentHandler = defineHandler(parent, async ({ enqueue }) => (await enqueue(child, {}, { id: 'the-child' })).id);
const childHandler = defineHandler(child, () => 'fine');

const fail = (): never => {
  throw new Error('telemetry is broken');
};

/** A span whose every member throws; `run` and `resume` before or after they run their work. */
function brokenSpan(early: boolean): AttemptSpan & RequestSpan {
  const run = <Result>(work: () => Result): Result => {
    if (!early) void Promise.resolve(work()).catch(() => undefined);
    return fail();
  };
  return {
    get carrier() {
      return fail();
    },
    get fields() {
      return fail();
    },
    get thread() {
      return fail();
    },
    ...{ run, resume: <Result>(_carrier: string, work: () => Result) => run(work), aborted: fail, end: fail },
  };
}

function broken(how: 'at once' | 'before the work' | 'after the work'): Telemetry {
  const during = async <Result>(_start: unknown, work: (carrier: undefined) => Promise<Result>): Promise<Result> => {
    if (how === 'after the work') await work(undefined);
    return fail();
  };
  const span = how === 'at once' ? fail : () => brokenSpan(how === 'before the work');
  return {
    send: how === 'at once' ? fail : during,
    stop: during,
    attempt: span,
    stopSettled: fail,
    request: span,
    observe: fail,
  };
}

describe('Telemetry that throws', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  for (const how of ['at once', 'before the work', 'after the work'] as const)
    it(`${how} breaks no enqueue, attempt, stop or request, and is logged`, async () => {
      const log = new LogLines();
      const telemetry = broken(how);
      const keyPrefix = fleet.newPrefix();
      const producer = fleet.producer({ keyPrefix, telemetry });
      const slow = new ScriptedTask('chat.slow');
      await fleet.worker(keyPrefix, [parentHandler, childHandler, slow.handler], { telemetry, producer, loggers: log.loggers });

      const { id } = await producer.enqueue(parent, {}, { id: 'the-parent' });
      assert.equal(await producer.result(await producer.enqueue(parent, {}, { id })), 'the-child');
      assert.equal(await producer.result(await producer.enqueue(child, {}, { id: 'the-child' })), 'fine');
      const bulk = await producer.enqueueMany(child, [{ input: {} }, { input: {} }]);
      assert.equal(bulk.length, 2);
      await assert.rejects(producer.enqueue(child, { at: new Date() } as never), { code: 'INVALID_INPUT' });

      await producer.enqueue(slow.definition, {}, { id: 'slow' });
      const call = await slow.call();
      void call.aborted.then((cause) => call.throws(cause));
      assert.equal((await producer.stop('slow', { waitMs: 60_000 })).outcome, 'cancelled');
      assert.equal((await producer.get('slow'))?.state, 'cancelled');
      assert.ok(log.lines.some(({ msg, component }) => component === 'worker' && msg.startsWith('Telemetry failed')));

      const dashboard = createDashboard({ producer, auth: false, definitions: [child] });
      const served = await serve(dashboard.handler('/fleet'));
      const answer = await fetch(`http://127.0.0.1:${served.port}/fleet/api/v1/tasks`, {
        ...{ method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name: 'chat.child', id: 'by-http' }) },
      });
      assert.deepEqual([answer.status, ((await answer.json()) as { id: string }).id], [202, 'by-http']);
      await dashboard.close();
      await served.close();
    });

  it('for a malformed context starts a new trace', async () => {
    const propagator = { inject: () => undefined, extract: fail, fields: () => [] };
    const telemetry = openTelemetry({ propagator });
    const log = new LogLines();
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const contexts = ['{"baggage":5}', '[]', 'null', '"x"', '{', 7, { a: 1 }, '{"traceparent":["00"],"__proto__":3}'];
    const tasks = await producer.enqueueMany(
      child,
      contexts.map(() => ({ input: {} })),
    );
    for (const [index, { id, queue }] of tasks.entries()) {
      const key = fleet.keys(keyPrefix).jobs(queue) + id;
      const options = JSON.parse((await fleet.client.hget(key, 'opts')) ?? '') as object;
      await fleet.client.hset(key, 'opts', JSON.stringify({ ...options, tm: contexts[index] }));
    }
    await fleet.worker(keyPrefix, [childHandler], { telemetry, loggers: log.loggers });
    assert.deepEqual(
      await Promise.all(tasks.map((task) => producer.result(task))),
      contexts.map(() => 'fine'),
    );
    assert.deepEqual(log.find(/^Telemetry failed/), []);
  });
});
