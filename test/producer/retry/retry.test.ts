import assert from 'node:assert/strict';
import { after, afterEach, test } from 'node:test';
import { Queue, Worker } from 'bullmq';
import { z } from 'zod';
import { isFleetError } from '../../../shared/errors.js';
import { createKeys } from '../../../shared/keys.js';
import { defineTask } from '../../../shared/task/definition.js';
import { type TaskContext, defineHandler } from '../../../shared/task/handler.js';
import { deferred } from '../../support/deferred.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const queues: Queue[] = [];
afterEach(() => Promise.all(queues.splice(0).map((queue) => queue.close())));

const note = defineTask({
  name: 'note.take',
  input: z.object({}),
  retry: { attempts: 2, backoff: { type: 'fixed', delayMs: 0, jitter: 0 } },
  retention: KEEP,
});
const HOUR_MS = 3_600_000;
/** Streams of live tasks have a longer expiry, streams of ended tasks a shorter one. */
const LIVE_MS = 2 * HOUR_MS;

/** A producer, BullMQ's queue of its `note.take` tasks, and a function that runs them. */
function open() {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const keys = createKeys(keyPrefix);
  const queue = new Queue('note', { connection: fleet.redis.client(), prefix: keys.bull('note') });
  queues.push(queue);
  const work = (handle: (context: TaskContext<object>) => unknown) => fleet.worker(keyPrefix, [defineHandler(note, handle)]);
  const job = async (id: string) => (await queue.getJob(id))!;
  return { keyPrefix, producer, keys, queue, work, job };
}

type Opened = ReturnType<typeof open>;

/** A failed task whose worker is gone. */
async function failed({ producer, work }: Opened, options: { item?: string } = {}): Promise<string> {
  const { id } = await producer.enqueue(note, {}, options);
  const worker = await work(() => Promise.reject(new Error('no')));
  assert.equal((await producer.waitUntilFinished(id)).state, 'failed');
  await worker.stop();
  return id;
}

const cancelledHow = {
  waiting: async ({ producer }: Opened): Promise<string> => {
    const { id } = await producer.enqueue(note, {}, { item: 'chat-1' });
    assert.equal((await producer.stop(id, { reason: 'enough' })).via, 'queue');
    return id;
  },
  running: async ({ producer, work }: Opened): Promise<string> => {
    const started = deferred();
    const worker = await work(({ signal }) => {
      started.resolve();
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    });
    const { id } = await producer.enqueue(note, {}, { item: 'chat-1' });
    await started.promise;
    assert.equal((await producer.stop(id, { reason: 'enough', waitMs: 60_000 })).via, 'signal');
    await worker.stop();
    return id;
  },
};

test('a failed task gets all its attempts again and is live', async () => {
  const opened = open();
  const { producer, keyPrefix, keys, work } = opened;
  const id = await failed(opened, { item: 'chat-1' });
  assert.equal((await producer.get(id))?.attempt, 2);
  const before = Date.now();
  const view = await producer.retry(id);
  assert.deepEqual([view.id, view.state, view.attempt, view.error, view.item, view.finishedAt], [id, 'queued', 0, null, 'chat-1', null]);
  assert.deepEqual(await fleet.registrySize(keyPrefix), { tasks: 1, queues: 1, live: 1, items: 1, leases: 0 });
  assert.ok(Number(await fleet.client.zscore(keys.live, id)) >= before);
  assert.equal(await fleet.client.hget(keys.taskQueues, id), 'note');
  assert.equal(await producer.hasActiveTasks('chat-1'), true);
  const attempts: number[] = [];
  const worker = await work(({ attempt }) => {
    attempts.push(attempt);
    if (attempt === 1) throw new Error('again');
    return 'ok';
  });
  assert.equal(await producer.result(id), 'ok');
  assert.deepEqual(attempts, [1, 2]);
  await worker.stop();
  assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
});

for (const [when, cancel] of Object.entries(cancelledHow)) {
  test(`retrying a task that was cancelled while ${when} clears its stop and runs it`, async () => {
    const opened = open();
    const { producer, work, keys } = opened;
    const id = await cancel(opened);
    await work(() => 'ran after all');
    const view = await producer.retry(id);
    assert.equal(view.stop, null);
    assert.equal(await producer.result(id), 'ran after all');
    assert.deepEqual([(await producer.get(id))?.state, (await producer.get(id))?.attempt], ['completed', 1]);
    assert.deepEqual(await fleet.client.hmget(`${keys.jobs('note')}${id}`, 'stop', 'stop_via', 'defa'), [null, null, null]);
  });

  for (const retry of ['job.retry', 'queue.retryJobs'] as const) {
    test(`BullMQ's own ${retry} of a task cancelled while ${when} cancels it again without a run`, async () => {
      const opened = open();
      const { producer, keyPrefix, queue, job, work } = opened;
      const id = await cancel(opened);
      if (retry === 'job.retry') await (await job(id)).retry('failed');
      else await queue.retryJobs();
      assert.equal((await producer.get(id))?.state, 'stopping');
      const ran: string[] = [];
      const worker = await work((context) => ran.push(context.id));
      const [end] = await Promise.allSettled([producer.waitUntilFinished(id)]);
      await worker.stop();
      assert.ok(end.status === 'rejected' && isFleetError(end.reason, 'TASK_CANCELLED'));
      assert.deepEqual([(await producer.get(id))?.state, (await producer.get(id))?.stop?.reason, ran], ['cancelled', 'enough', []]);
      assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
    });
  }
}

test('the deadline of the first run does not apply to a retry', async () => {
  const { producer, keyPrefix, keys } = open();
  const { id } = await producer.enqueue(note, {}, { deadline: new Date(Date.now() + 600_000) });
  await producer.stop(id);
  const job = `${keys.jobs('note')}${id}`;
  const options = JSON.parse((await fleet.client.hget(job, 'opts')) ?? '') as { deadline: number };
  assert.ok(options.deadline > Date.now());
  await fleet.client.hset(job, 'opts', JSON.stringify({ ...options, deadline: Date.now() - 1 }));
  await producer.retry(id);
  await fleet.worker(keyPrefix, [defineHandler(note, () => null)]);
  assert.equal((await producer.waitUntilFinished(id)).state, 'completed');
});

test('a retried task is registered before a worker can see it, and its stop is cleared in the transaction that requeues it', async () => {
  const opened = open();
  const id = await cancelledHow.waiting(opened);
  const monitor = await fleet.monitor();
  await opened.producer.retry(id);
  const lines = (await monitor.stop()).map((words) => words.join(' ').toLowerCase());
  const place = (part: string): number => {
    const found = lines.findIndex((line) => line.startsWith(part.toLowerCase()));
    assert.ok(found >= 0, `${part} in ${lines.join('\n')}`);
    return found;
  };
  const jobs = opened.keys.jobs('note');
  const visible = place(`lpush ${jobs}wait ${id}`);
  for (const registered of [
    `hset ${opened.keys.taskQueues} ${id}`,
    `hset ${opened.keys.tasks} ${id}`,
    `zadd ${opened.keys.live}`,
    `sadd ${opened.keys.item('chat-1')}`,
  ])
    assert.ok(place(registered) < visible, registered);
  const cleared = place(`hdel ${jobs}${id} stop`);
  const begins = lines.lastIndexOf('multi', cleared);
  assert.ok(begins >= 0 && cleared < visible && lines.indexOf('exec', begins) > visible, lines.join('\n'));
});

test('the stream of a retried task records the retry, and has the expiry of a live task', async () => {
  const { producer, work, keys } = open();
  const spoke = await work(({ emit, progress }) => {
    emit('half of it');
    progress(40);
    throw new Error('no');
  });
  const { id } = await producer.enqueue(note, {});
  assert.equal((await producer.waitUntilFinished(id)).progress, 40);
  await spoke.stop();
  assert.ok((await fleet.client.pttl(keys.events(id))) <= HOUR_MS);
  await producer.retry(id);
  assert.ok((await fleet.client.pttl(keys.events(id))) > LIVE_MS);
  const last = (await fleet.client.xrevrange(keys.events(id), '+', '-', 'COUNT', 1))[0]?.[1];
  assert.deepEqual(last, ['type', 'state', 'data', '"queued"']);
  assert.equal((await producer.get(id))?.progress, null);
  const quiet = await producer.enqueue(note, {});
  await producer.stop(quiet);
  await producer.retry(quiet);
  assert.equal(await fleet.client.exists(keys.events(quiet.id)), 0);
});

test('several tasks are retried once each and returned in the order of the ids', async () => {
  const { producer, keyPrefix } = open();
  const tasks = await producer.enqueueMany(note, [{ input: {} }, { input: {}, priority: 3 }, { input: {}, delay: HOUR_MS }]);
  await producer.stop(tasks);
  const ids = tasks.map(({ id }) => id);
  const views = await producer.retry([...ids.toReversed(), tasks[0]!]);
  assert.deepEqual(
    views.map(({ id, state }) => [id, state]),
    [...ids.toReversed(), ids[0]].map((id) => [id, 'queued']),
  );
  assert.equal((await fleet.registrySize(keyPrefix)).tasks, 3);
  assert.deepEqual(await producer.retry([]), []);
});

test('a retried task can be stopped again', async () => {
  const opened = open();
  const id = await cancelledHow.running(opened);
  await opened.producer.retry(id);
  const receipt = await opened.producer.stop(id, { reason: 'once more' });
  assert.deepEqual([receipt.outcome, receipt.via, receipt.reason], ['cancelled', 'queue', 'once more']);
  assert.deepEqual(await fleet.registrySize(opened.keyPrefix), EMPTY_REGISTRY);
});

test('live, completed and foreign tasks cannot be retried, and then none is', async () => {
  const opened = open();
  const { producer, keys, keyPrefix, job } = opened;
  const stopped = await cancelledHow.waiting(opened);
  const queued = await producer.enqueue(note, {});
  const scheduled = await producer.enqueue(note, {}, { delay: HOUR_MS });
  const plain = new Worker('note', null, { connection: fleet.redis.client(), prefix: keys.bull('note') });
  const running = await plain.getNextJob('token');
  const completed = await producer.enqueue(note, {});
  const next = await plain.getNextJob('token');
  await next?.moveToCompleted('ok', 'token', false);
  await plain.close();
  await fleet.client.hset(keys.tasks, 'theirs', 'chat-1');
  const before = await fleet.registrySize(keyPrefix);
  const states = { [queued.id]: 'running', [scheduled.id]: 'scheduled', [completed.id]: 'completed', theirs: 'running' };
  assert.equal(running?.id, queued.id);
  for (const [id, state] of Object.entries(states)) {
    await assert.rejects(
      producer.retry([stopped, id]),
      (error) => isFleetError(error, 'TASK_NOT_RETRYABLE') && error.details['id'] === id && error.details['state'] === state,
    );
  }
  await assert.rejects(
    producer.retry([stopped, 'nobody']),
    (error) => isFleetError(error, 'TASK_NOT_FOUND') && error.details['id'] === 'nobody',
  );
  await assert.rejects(producer.retry('a\0b'), (error) => isFleetError(error, 'INVALID_ID'));
  assert.equal(await (await job(stopped)).getState(), 'failed');
  assert.deepEqual(await fleet.registrySize(keyPrefix), before);
});

/** A cancelled child of a live task. */
async function cancelledChild({ producer, queue }: Opened): Promise<{ parent: string; options: object }> {
  const { id: parent } = await producer.enqueue(note, {}, { delay: HOUR_MS });
  const options = { jobId: 'kid', item: 'chat-1', childOf: { queue: 'note', id: parent } };
  await queue.add('note.take', {}, options);
  assert.equal((await producer.stop('kid')).outcome, 'cancelled');
  return { parent, options };
}

test('a child of a live task is listed with its parent again', async () => {
  const opened = open();
  const { parent } = await cancelledChild(opened);
  await opened.producer.retry('kid');
  assert.deepEqual(await fleet.client.smembers(opened.keys.children(parent)), ['kid']);
});

test('a retried child of a stopped task is detached and runs', async () => {
  const opened = open();
  const { producer, keys, work, job } = opened;
  const { parent } = await cancelledChild(opened);
  await producer.stop(parent);
  await producer.retry('kid');
  assert.equal(await fleet.client.exists(keys.children(parent)), 0);
  const { item, childOf } = (await job('kid')).opts as Record<string, unknown>;
  assert.deepEqual([item, childOf], ['chat-1', undefined]);
  await work(() => 'ran');
  assert.equal(await producer.result('kid'), 'ran');
});
