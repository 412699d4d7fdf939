import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { Queue, Worker } from 'bullmq';
import { z } from 'zod';
import type { Producer, StopReceipt } from '../../../producer/index.js';
import { isFleetError } from '../../../shared/errors.js';
import { createKeys } from '../../../shared/keys.js';
import { defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import { deferred } from '../../support/deferred.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { FaultProxy } from '../../support/network/fault-proxy.js';
import { KEEP } from '../../support/task/keep.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const note = defineTask({ name: 'note.take', input: z.object({}), retry: { attempts: 5, backoff: { delayMs: 60_000 } }, retention: KEEP });
const LONG = { delay: 3_600_000 };

/** A producer, and a task that failed once and waits for its retry. */
async function retrying(options: { item?: string } = {}) {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const task = await producer.enqueue(note, {}, options);
  const connection = fleet.redis.client();
  const worker = new Worker('note', () => Promise.reject(new Error('no')), { connection, prefix: createKeys(keyPrefix).bull('note') });
  await once(worker, 'failed');
  await worker.close();
  assert.equal((await producer.get(task))?.state, 'retrying');
  return { keyPrefix, producer, task };
}

function assertCancelledInQueue(receipt: StopReceipt, id: string): void {
  const { requestedAt, settledAt, latencyMs, ...rest } = receipt;
  assert.deepEqual(rest, { id, outcome: 'cancelled', endedAs: 'cancelled', via: 'queue', reason: 'enough', by: 'alice' });
  assert.ok(requestedAt && settledAt && latencyMs !== null && latencyMs >= 0);
}

async function assertNeverRuns(producer: Producer, keyPrefix: string): Promise<void> {
  const probe = await producer.enqueue(note, {});
  const ran: string[] = [];
  await fleet.worker(keyPrefix, [defineHandler(note, ({ id }) => ran.push(id))]);
  await producer.result(probe);
  assert.deepEqual(ran, [probe.id]);
}

for (const [what, options] of [
  ['a waiting', {}],
  ['a delayed', LONG],
  ['a prioritized', { priority: 3 }],
] as const) {
  test(`${what} task is cancelled at once without a worker, and never runs`, async () => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const task = await producer.enqueue(note, {}, { ...options, item: 'chat-1' });
    assertCancelledInQueue(await producer.stop(task, { reason: 'enough', by: 'alice' }), task.id);
    const view = await producer.get(task);
    assert.deepEqual([view?.state, view?.attempt, view?.startedAt, view?.error], ['cancelled', 0, null, 'Stopped by alice: enough']);
    assert.deepEqual([view?.stop?.via, view?.stop?.reason, view?.stop?.by], ['queue', 'enough', 'alice']);
    assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
    await assertNeverRuns(producer, keyPrefix);
  });
}

test('a task waiting for its retry is cancelled at once, and its attempt counts', async () => {
  const { keyPrefix, producer, task } = await retrying({ item: 'chat-1' });
  assertCancelledInQueue(await producer.stop(task, { reason: 'enough', by: 'alice' }), task.id);
  const view = await producer.get(task);
  assert.deepEqual([view?.state, view?.attempt], ['cancelled', 1]);
  assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
  await assertNeverRuns(producer, keyPrefix);
});

test('an unknown task is not found', async () => {
  const receipt = await fleet.producer().stop('nobody', { reason: 'enough' });
  assert.deepEqual(receipt, {
    id: 'nobody',
    outcome: 'not_found',
    endedAs: null,
    via: null,
    reason: null,
    by: null,
    requestedAt: null,
    settledAt: null,
    latencyMs: null,
  });
});

test('the receipt of an ended task says finished and its final state', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const fails = defineTask({ name: 'fail.ing', input: z.object({}), retention: KEEP });
  await fleet.worker(keyPrefix, [defineHandler(note, () => 'ok'), defineHandler(fails, () => Promise.reject(new Error('no')))]);
  const tasks = [await producer.enqueue(note, {}), await producer.enqueue(fails, {})];
  await Promise.allSettled(tasks.map((task) => producer.result(task)));
  const receipts = await producer.stop(tasks, { reason: 'late' });
  assert.deepEqual(
    receipts.map(({ outcome, endedAs, reason, latencyMs }) => [outcome, endedAs, reason, latencyMs]),
    [
      ['finished', 'completed', null, null],
      ['finished', 'failed', null, null],
    ],
  );
  assert.equal((await producer.get(tasks[0]!))?.state, 'completed');
});

test('a second stop returns the record of the first', async () => {
  const producer = fleet.producer();
  const task = await producer.enqueue(note, {});
  const first = await producer.stop(task, { reason: 'first', by: 'alice' });
  const second = await producer.stop(task, { reason: 'second', by: 'bob' });
  assert.deepEqual(second, first);
});

test('two concurrent stops of one task are one stop', async () => {
  const keyPrefix = fleet.newPrefix();
  const producers = [fleet.producer({ keyPrefix }), fleet.producer({ keyPrefix })];
  await Promise.all(producers.map((producer) => producer.ping()));
  for (let round = 0; round < 20; round += 1) {
    const task = await producers[0]!.enqueue(note, {});
    const receipts = await Promise.all(producers.map((producer, n) => producer.stop(task, { reason: `from ${n}`, waitMs: 60_000 })));
    assert.deepEqual(
      receipts.map(({ outcome }) => outcome),
      ['cancelled', 'cancelled'],
    );
    assert.equal(receipts[0]?.reason, receipts[1]?.reason);
  }
  assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
});

test('the stop of a running task is requested at once, and cancelled within waitMs', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const started = deferred();
  const handler = defineHandler(note, ({ signal }) => {
    started.resolve();
    return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
  });
  const task = await producer.enqueue(note, {});
  await fleet.worker(keyPrefix, [handler]);
  await started.promise;
  const receipt = await producer.stop(task, { by: 'alice', waitMs: 60_000 });
  assert.deepEqual([receipt.outcome, receipt.via, receipt.by, receipt.reason], ['cancelled', 'signal', 'alice', null]);
  assert.deepEqual([(await producer.get(task))?.attempt, (await producer.get(task))?.state], [1, 'cancelled']);
});

test('a stop that is not settled within waitMs says requested, and the task is stopping', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const task = await producer.enqueue(note, {});
  const connection = fleet.redis.client();
  const worker = new Worker('note', null, { connection, prefix: createKeys(keyPrefix).bull('note') });
  await worker.getNextJob('token');
  const receipt = await producer.stop(task, { reason: 'enough', waitMs: 50 });
  assert.deepEqual(
    [receipt.outcome, receipt.via, receipt.settledAt, receipt.latencyMs, receipt.reason],
    ['requested', null, null, null, 'enough'],
  );
  assert.ok(receipt.requestedAt);
  assert.equal((await producer.get(task))?.state, 'stopping');
  await worker.close();
});

test('a plain BullMQ job with a numeric id is found and stopped', async () => {
  const keyPrefix = fleet.newPrefix();
  const keys = createKeys(keyPrefix);
  const producer = fleet.producer({ keyPrefix });
  await producer.enqueue(note, {}); // makes the queue known
  const queue = new Queue('note', { connection: fleet.redis.client(), prefix: keys.bull('note') });
  const { id } = await queue.add('note.take', {});
  assert.equal((await producer.get(id as string))?.state, 'queued');
  assert.equal((await producer.stop(id as string)).outcome, 'cancelled');
  await queue.close();
});

test('each id gets one receipt, in order, also duplicate ids', async () => {
  const producer = fleet.producer();
  const [a, b] = [await producer.enqueue(note, {}), await producer.enqueue(note, {}, LONG)];
  const receipts = await producer.stop([b, 'nobody', a.id, b.id]);
  assert.deepEqual(
    receipts.map(({ id, outcome }) => [id, outcome]),
    [
      [b.id, 'cancelled'],
      ['nobody', 'not_found'],
      [a.id, 'cancelled'],
      [b.id, 'cancelled'],
    ],
  );
  assert.deepEqual(await producer.stop([]), []);
});

test('a thousand ids take as few round trips as ten', async (context) => {
  const oneWayMs = 25;
  const far = await FaultProxy.start(fleet.redis.port);
  context.after(() => far.stop());
  far.delay(oneWayMs);
  const timeOf = async (count: number): Promise<number> => {
    const producer = fleet.producer({ redisUrl: far.url, connectTimeoutMs: 10_000 });
    const tasks = await producer.enqueueMany(
      note,
      Array.from({ length: count }, () => ({ input: {}, ...LONG })),
    );
    const started = performance.now();
    const receipts = await producer.stop(tasks);
    assert.equal(receipts.length, count);
    assert.ok(receipts.every(({ outcome }) => outcome === 'cancelled'));
    return performance.now() - started;
  };
  const [few, many] = [await timeOf(10), await timeOf(1_000)];
  // Sequentially, a thousand would take at least this long, and many times as long as ten.
  const inTurn = 2 * oneWayMs * 1_000;
  assert.ok(many - few < inTurn / 3, `a thousand took ${many} ms, ten ${few} ms`);
});

test('fifteen hundred queued tasks are settled by the call, and none runs', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const tasks = await producer.enqueueMany(
    note,
    Array.from({ length: 1_500 }, () => ({ input: {}, item: 'all' })),
  );
  const receipts = await producer.stopItem('all', { reason: 'enough' });
  assert.equal(receipts.length, 1_500);
  assert.ok(receipts.every(({ outcome, via, reason }) => outcome === 'cancelled' && via === 'queue' && reason === 'enough'));
  await assertNeverRuns(producer, keyPrefix);
  const settled = await producer.stop(tasks, { waitMs: 60_000 });
  assert.ok(settled.length === 1_500 && settled.every(({ outcome, via }) => outcome === 'cancelled' && via === 'queue'));
});

test('stopItem stops all live tasks of the item and no others', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const mine = [await producer.enqueue(note, {}, { item: 'a' }), await producer.enqueue(note, {}, { item: 'a', ...LONG })];
  const other = await producer.enqueue(note, {}, { item: 'b' });
  const receipts = await producer.stopItem('a', { reason: 'closed' });
  assert.deepEqual(new Set(receipts.map(({ id }) => id)), new Set(mine.map(({ id }) => id)));
  assert.ok(receipts.every(({ outcome, reason }) => outcome === 'cancelled' && reason === 'closed'));
  assert.equal((await producer.get(other))?.state, 'queued');
  assert.deepEqual(await producer.stopItem('a'), []);
});

test('a dry run names the tasks of an item and stops none', async () => {
  const producer = fleet.producer();
  const tasks = [await producer.enqueue(note, {}, { item: 'a' }), await producer.enqueue(note, {}, { item: 'a', ...LONG })];
  const receipts = await producer.stopItem('a', { dryRun: true });
  assert.deepEqual(receipts.map(({ id }) => id).toSorted(), tasks.map(({ id }) => id).toSorted());
  assert.ok(receipts.every(({ requestedAt, reason }) => requestedAt === null && reason === null));
  for (const task of tasks) assert.match((await producer.get(task))?.state ?? '', /^(queued|scheduled)$/);
});

test('an invalid stop option is named, and nothing is stopped', async () => {
  const producer = fleet.producer();
  const task = await producer.enqueue(note, {});
  await assert.rejects(
    producer.stop(task, { reason: 'x'.repeat(501) }),
    (error) => isFleetError(error, 'INVALID_OPTION') && /Bad reason: .*500 characters, got 501/.test(error.message),
  );
  await assert.rejects(
    producer.stop(task, { by: 7 as unknown as string }),
    (error) => isFleetError(error, 'INVALID_OPTION') && /Bad by/.test(error.message),
  );
  await assert.rejects(
    producer.stop(task, { waitMs: -1 }),
    (error) => isFleetError(error, 'INVALID_OPTION') && /Bad waitMs/.test(error.message),
  );
  for (const id of ['a\0b', 'x'.repeat(1_001), '', undefined, 7])
    await assert.rejects(producer.stop([task, id as string]), (error) => isFleetError(error, 'INVALID_ID'), String(id));
  await assert.rejects(producer.stopItem('a\n'), (error) => isFleetError(error, 'INVALID_ITEM'));
  assert.equal((await producer.get(task))?.state, 'queued');
});
