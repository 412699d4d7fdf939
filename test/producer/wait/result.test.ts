import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import { TaskCancelled } from '../../../producer/index.js';
import { isFleetError } from '../../../shared/errors.js';
import { createKeys } from '../../../shared/keys.js';
import { defineTask } from '../../../shared/task/definition.js';
import { type Handle, defineHandler } from '../../../shared/task/handler.js';
import { type Deferred, deferred } from '../../support/deferred.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const sum = defineTask({
  name: 'sum.up',
  input: z.object({ a: z.number(), b: z.number().default(1) }),
  output: z.object({ sum: z.number() }),
  retention: KEEP,
});
const held = defineTask({ name: 'held.back', input: z.object({}), retention: KEEP });

/** A worker whose `held.back` tasks end on demand. */
async function withHeldTasks(handle: Handle<object, unknown> = () => null) {
  const keyPrefix = fleet.newPrefix();
  const started = deferred();
  const release: Deferred<unknown> = deferred();
  const handler = defineHandler(held, async (context) => {
    started.resolve();
    await Promise.race([
      release.promise,
      new Promise((_resolve, reject) => context.signal.addEventListener('abort', () => reject(context.signal.reason as Error))),
    ]);
    return handle(context);
  });
  await fleet.worker(keyPrefix, [handler, defineHandler(sum, ({ input: { a, b } }) => ({ sum: a + b }))]);
  return { keyPrefix, producer: fleet.producer({ keyPrefix }), started, release };
}

test("result returns the handler's return value, also long after the end", async () => {
  const { producer } = await withHeldTasks();
  const task = await producer.enqueue(sum, { a: 2 });
  assert.deepEqual(await producer.result(task), { sum: 3 });
  assert.deepEqual(await producer.result(task.id), { sum: 3 });
  const view = await producer.get(task);
  assert.deepEqual([view?.state, view?.result, view?.error, view?.attempt], ['completed', { sum: 3 }, null, 1]);
});

test('a failed task rejects with TASK_FAILED and its reason', async () => {
  const { producer, release } = await withHeldTasks(() => Promise.reject(new Error('disk full')));
  const task = await producer.enqueue(held, {});
  const result = producer.result(task);
  release.resolve(null);
  await assert.rejects(
    result,
    (error) =>
      isFleetError(error, 'TASK_FAILED') && error.message === `Task ${task.id} failed: disk full` && error.details['attempt'] === 1,
  );
});

test('a stopped task rejects with its receipt', async () => {
  const { producer, started } = await withHeldTasks();
  const task = await producer.enqueue(held, {});
  await started.promise;
  const result = producer.result(task);
  const [receipt] = await Promise.all([producer.stop(task, { reason: 'enough', by: 'alice', waitMs: 60_000 }), assert.rejects(result)]);
  await assert.rejects(result, (error) => {
    assert.ok(error instanceof TaskCancelled && isFleetError(error, 'TASK_CANCELLED'));
    assert.deepEqual(error.receipt, receipt);
    assert.equal(error.message, `Task ${task.id} was stopped by alice: enough`);
    return true;
  });
});

test('waitUntilFinished resolves on completion and on failure', async () => {
  const { producer, release, started } = await withHeldTasks(() => Promise.reject(new Error('disk full')));
  const done = await producer.waitUntilFinished(await producer.enqueue(sum, { a: 2 }));
  assert.deepEqual([done.state, done.result], ['completed', { sum: 3 }]);
  const task = await producer.enqueue(held, {});
  await started.promise;
  await assert.rejects(
    producer.waitUntilFinished(task, { timeoutMs: 0 }),
    (error) => isFleetError(error, 'WAIT_TIMEOUT') && error.details['state'] === 'running',
  );
  await assert.rejects(producer.waitUntilFinished(task, { signal: AbortSignal.abort(new Error('client went away')) }), /client went away/);
  const end = producer.waitUntilFinished(task.id);
  release.resolve(null);
  assert.deepEqual([(await end).state, (await end).error], ['failed', 'disk full']);
  await assert.rejects(producer.waitUntilFinished('nobody'), (error) => isFleetError(error, 'TASK_NOT_FOUND'));
  await assert.rejects(producer.waitUntilFinished(''), (error) => isFleetError(error, 'INVALID_ID'));
});

test('waitUntilFinished rejects with the receipt of a stopped task', async () => {
  const { producer, started } = await withHeldTasks();
  const task = await producer.enqueue(held, {});
  await started.promise;
  const end = producer.waitUntilFinished(task);
  const [receipt] = await Promise.all([producer.stop(task, { by: 'alice', waitMs: 60_000 }), assert.rejects(end)]);
  await assert.rejects(end, (error) => error instanceof TaskCancelled && assert.deepEqual(error.receipt, receipt) === undefined);
});

test('a wait rejects at its timeout, and the task keeps running', async () => {
  const { producer, started, release } = await withHeldTasks(() => 'late');
  const task = await producer.enqueue(held, {});
  await started.promise;
  for (const timeoutMs of [0, 30]) {
    await assert.rejects(
      producer.result(task, { timeoutMs }),
      (error) => isFleetError(error, 'WAIT_TIMEOUT') && error.message === `Task ${task.id} is still running after ${timeoutMs} ms.`,
    );
  }
  release.resolve(null);
  assert.equal(await producer.result(task), 'late');
});

test('a signal ends the wait with its reason', async () => {
  const { producer, started } = await withHeldTasks();
  const task = await producer.enqueue(held, {});
  await started.promise;
  const controller = new AbortController();
  const reason = new Error('client went away');
  const result = producer.result(task, { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(result, reason);
  await assert.rejects(producer.result(task, { signal: controller.signal }), reason);
});

test('invalid wait options are refused', async () => {
  const producer = fleet.producer();
  const task = await producer.enqueue(held, {});
  for (const timeoutMs of [-1, Number.NaN, '5' as unknown as number]) {
    await assert.rejects(
      producer.result(task, { timeoutMs }),
      (error) => isFleetError(error, 'INVALID_OPTION') && /Bad timeoutMs/.test(error.message),
    );
  }
  await assert.rejects(producer.result('nobody'), (error) => isFleetError(error, 'TASK_NOT_FOUND'));
  await assert.rejects(producer.result('a\0b'), (error) => isFleetError(error, 'INVALID_ID'));
});

test('many waits share one connection besides the command connection', async () => {
  const { producer, release } = await withHeldTasks(() => 'ok');
  const before = await idsOfClients('taskfleet:producer:follow');
  const tasks = await producer.enqueueMany(
    held,
    Array.from({ length: 10 }, () => ({ input: {} })),
  );
  const waiters = tasks.flatMap((task) => Array.from({ length: 20 }, () => producer.result(task)));
  await producer.ping();
  const live = producer.events(await producer.enqueue(sum, { a: 1 }, { delay: 60_000 }));
  await live.next();
  release.resolve(null);
  assert.deepEqual(new Set(await Promise.all(waiters)), new Set(['ok']));
  const connected = (await idsOfClients('taskfleet:producer:follow')).filter((id) => !before.includes(id));
  assert.equal(connected.length, 1);
  await live.return();
});

test('pending waits get the result of a task without retention', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const brief = defineTask({
    name: 'brief.run',
    input: z.object({ fail: z.boolean() }),
    retention: { completed: { ageMs: 1_000, count: 0 }, failed: { ageMs: 1_000, count: 0 } },
  });
  const release = deferred();
  const handler = defineHandler(brief, async ({ input }) => {
    await release.promise;
    if (input.fail) throw new Error('no');
    return { n: 7 };
  });
  const worker = await fleet.worker(keyPrefix, [handler]);
  const [good, bad] = await producer.enqueueMany(brief, [{ input: { fail: false } }, { input: { fail: true } }]);
  const results = Promise.allSettled([producer.result(good!), producer.result(bad!)]);
  const states = (async () => {
    const seen: unknown[] = [];
    for await (const event of producer.events(good!)) {
      if (event.type === 'state') seen.push(event.state);
      release.resolve();
    }
    return seen;
  })();
  const [completed, failed] = await results;
  assert.deepEqual(completed, { status: 'fulfilled', value: { n: 7 } });
  assert.ok(failed.status === 'rejected' && isFleetError(failed.reason, 'TASK_FAILED') && failed.reason.message.endsWith('failed: no'));
  assert.ok(failed.reason.cause instanceof Error && failed.reason.cause.message === 'no');
  assert.equal((await states).at(-1), 'completed');
  assert.equal(await producer.get(good!), null);
  await worker.stop();
  assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
});

test('a wait for a foreign task ends when its owner unregisters it', async () => {
  const keyPrefix = fleet.newPrefix();
  const keys = createKeys(keyPrefix);
  const producer = fleet.producer({ keyPrefix });
  await fleet.client.hset(keys.tasks, 'theirs', 'chat-1');
  await assert.rejects(producer.result('theirs', { timeoutMs: 10 }), (error) => isFleetError(error, 'WAIT_TIMEOUT'));
  const result = producer.result('theirs');
  await fleet.client.hdel(keys.tasks, 'theirs');
  await result.catch((error: unknown) => assert.ok(isFleetError(error, 'TASK_NOT_FOUND'), 'it may have been gone before the first look'));
});

async function idsOfClients(name: string): Promise<string[]> {
  const list = (await fleet.client.client('LIST')) as string;
  return list
    .split('\n')
    .filter((line) => line.includes(` name=${name} `))
    .map((line) => line.split(' ')[0] as string);
}
