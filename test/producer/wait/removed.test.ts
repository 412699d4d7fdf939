import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Queue, Worker } from 'bullmq';
import { z } from 'zod';
import { TaskCancelled, type TaskEvent } from '../../../producer/index.js';
import { JobEvents } from '../../../producer/wait/events.js';
import { StreamHub } from '../../../producer/wait/stream-reader.js';
import { Waiter } from '../../../producer/wait/waiter.js';
import { Watch } from '../../../producer/wait/watch.js';
import { createKeys } from '../../../shared/keys.js';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import { defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import { deferred } from '../../support/deferred.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

const fleet = await TestFleet.start();
const closing: (() => Promise<unknown>)[] = [];
after(async () => {
  for (const close of closing.toReversed()) await close();
  await fleet.stop();
});

const note = defineTask({ name: 'note.take', input: z.object({}), retention: KEEP });
const HOUR_MS = 3_600_000;
const NEVER_MS = 2 ** 31 - 1;
const REMOVED = 'The task was removed before it ended';

/** A producer, BullMQ's queue of its tasks, and a plain worker that takes them on demand. */
function open() {
  const keyPrefix = fleet.newPrefix();
  const prefix = createKeys(keyPrefix).bull('note');
  const queue = new Queue('note', { connection: fleet.redis.client(), prefix });
  const worker = new Worker('note', null, { connection: fleet.redis.client(), prefix });
  closing.push(
    () => worker.close(),
    () => queue.close(),
  );
  return { keyPrefix, producer: fleet.producer({ keyPrefix }), queue, worker };
}

type Opened = ReturnType<typeof open>;

/** A watch without rechecks, which reacts to notifications only. `listening` resolves once it receives them. */
function watchOf({ keyPrefix }: Opened, { forgetful = false } = {}) {
  const store = fleet.store({ keyPrefix });
  const hub = new StreamHub(
    store.redis,
    () => fleet.redis.client({ maxRetriesPerRequest: null }),
    createLoggerFactory({ settings: resolveSettings({ logLevel: 'silent' }) })('producer'),
  );
  closing.push(() => hub.close());
  const jobEvents = new JobEvents(store.redis, hub, store.keys);
  const heard = deferred();
  const listen = jobEvents.listen.bind(jobEvents);
  jobEvents.listen = async (...args) => {
    const end = await listen(...args);
    heard.resolve();
    return end;
  };
  if (forgetful) jobEvents.endOf = () => Promise.resolve(null);
  const watch = new Watch({ ...store, hub, waiter: new Waiter(jobEvents, () => Promise.resolve()), recheckMs: NEVER_MS });
  const listening = async (): Promise<void> => {
    await heard.promise;
    // The read that follows takes two round trips on this connection.
    for (let trip = 0; trip < 4; trip += 1) await store.redis.ping();
  };
  return { watch, listening };
}

test('no end is missed before, between or after reading and listening', async () => {
  const opened = open();
  const { watch } = watchOf(opened);
  await fleet.worker(opened.keyPrefix, [defineHandler(note, ({ id }) => id)]);
  for (let round = 0; round < 15; round += 1) {
    // Without rechecks, each wait ends by a notification or by its first read.
    const ends = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const { id } = await opened.producer.enqueue(note, {});
        const { state, result } = await watch.untilFinished(id, { timeoutMs: 60_000 });
        return [state, result === id];
      }),
    );
    assert.deepEqual(
      ends,
      ends.map(() => ['completed', true]),
    );
  }
});

async function cancelledBy(end: Promise<unknown>): Promise<TaskCancelled> {
  const error = await end.then(
    () => assert.fail('it ended'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof TaskCancelled, String(error));
  return error;
}

async function last(events: AsyncIterable<TaskEvent>): Promise<TaskEvent | undefined> {
  let event: TaskEvent | undefined;
  for await (event of events);
  return event;
}

const removals = {
  'job.remove of a waiting job': [{}, async ({ queue }: Opened, id: string) => (await queue.getJob(id))?.remove()],
  'job.remove of a delayed job': [{ delay: HOUR_MS }, async ({ queue }: Opened, id: string) => (await queue.getJob(id))?.remove()],
  'queue.clean of waiting jobs': [{}, ({ queue }: Opened) => queue.clean(-HOUR_MS, 0, 'wait')],
  'queue.clean of delayed jobs': [{ delay: HOUR_MS }, ({ queue }: Opened) => queue.clean(-HOUR_MS, 0, 'delayed')],
} as const;

for (const [how, [options, remove]] of Object.entries(removals)) {
  test(`${how} settles waits at once`, { timeout: 120_000 }, async () => {
    const opened = open();
    const { id } = await opened.producer.enqueue(note, {}, options);
    const [waiting, following] = [watchOf(opened), watchOf(opened)];
    const end = cancelledBy(waiting.watch.untilFinished(id, {}));
    const events = last(following.watch.events(id, {}));
    await Promise.all([waiting.listening(), following.listening()]);
    const before = Date.now();
    await remove(opened, id);
    const { receipt, code } = await end;
    const { settledAt, ...rest } = receipt;
    assert.deepEqual(
      [code, rest],
      [
        'TASK_CANCELLED',
        { id, outcome: 'cancelled', endedAs: 'cancelled', via: null, reason: REMOVED, by: null, requestedAt: null, latencyMs: null },
      ],
    );
    assert.ok(settledAt && settledAt.getTime() >= before);
    const event = await events;
    assert.ok(event?.type === 'state' && event.state === 'cancelled' && event.receipt);
    assert.deepEqual([event.receipt.outcome, event.receipt.reason], ['cancelled', REMOVED]);
  });
}

test('a forced obliterate, which sends no events, settles waits for queued and running tasks', async () => {
  const { producer, queue, worker } = open();
  const running = await producer.enqueue(note, {});
  await worker.getNextJob('token');
  const queued = await producer.enqueue(note, {});
  const ends = [producer.result(running), producer.waitUntilFinished(running), producer.result(queued)].map(cancelledBy);
  const events = producer.events(queued);
  assert.equal((await events.next()).value?.type, 'state');
  await queue.obliterate({ force: true });
  for (const { receipt } of await Promise.all(ends)) assert.deepEqual([receipt.outcome, receipt.reason], ['cancelled', REMOVED]);
  const event = await last(events);
  assert.ok(event?.type === 'state' && event.state === 'cancelled');
});

test('the receipt of a stopped task that is removed before its end names who stopped it', { timeout: 120_000 }, async () => {
  const opened = open();
  const { producer, worker, queue } = opened;
  const { id } = await producer.enqueue(note, {});
  await worker.getNextJob('token');
  const { requestedAt } = await producer.stop(id, { reason: 'enough', by: 'alice' });
  const { watch, listening } = watchOf(opened);
  const end = cancelledBy(watch.untilFinished(id, {}));
  await listening();
  await fleet.client.del(`${queue.toKey(id)}:lock`);
  await (await queue.getJob(id))?.remove();
  const { receipt } = await end;
  assert.deepEqual(
    [receipt.outcome, receipt.via, receipt.reason, receipt.by, receipt.requestedAt],
    ['cancelled', null, 'enough', 'alice', requestedAt],
  );
});

test('removing an ended task does not change its final state', { timeout: 120_000 }, async () => {
  const opened = open();
  const { producer, worker, queue } = opened;
  const { id } = await producer.enqueue(note, {});
  const job = await worker.getNextJob('token');
  const { watch, listening } = watchOf(opened);
  const end = watch.untilFinished(id, {});
  await listening();
  // One transaction, so that the task cannot be read between the two.
  await job?.moveToCompleted({ n: 7 }, 'token', false);
  await queue.remove(id);
  assert.deepEqual([(await end).state, (await end).result], ['completed', { n: 7 }]);
});

test('a task removed after a retry does not report the end of its first run', { timeout: 120_000 }, async () => {
  const opened = open();
  const { producer, worker, queue } = opened;
  const { id } = await producer.enqueue(note, {});
  await (await worker.getNextJob('token'))?.moveToFailed(new Error('no'), 'token', false);
  await producer.retry(id);
  const { watch, listening } = watchOf(opened);
  const end = cancelledBy(watch.untilFinished(id, {}));
  await listening();
  // No event names this job, so the end of the first run is its last event.
  await queue.clean(-HOUR_MS, 0, 'wait');
  assert.equal((await end).receipt.reason, REMOVED);
});

test("the end of a task without retention is the one heard, if the queue's events are trimmed", { timeout: 120_000 }, async () => {
  const opened = open();
  const { producer, worker } = opened;
  const brief = defineTask({ name: 'note.brief', input: z.object({}), retention: { ...KEEP, completed: { ageMs: 1_000, count: 0 } } });
  const { id } = await producer.enqueue(brief, {});
  const job = await worker.getNextJob('token');
  const { watch, listening } = watchOf(opened, { forgetful: true });
  const end = watch.untilFinished(id, {});
  await listening();
  await job?.moveToCompleted({ n: 7 }, 'token', false);
  assert.deepEqual((await end).result, { n: 7 });
});
