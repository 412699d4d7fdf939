import assert from 'node:assert/strict';
import { after, afterEach, test } from 'node:test';
import { Queue, UnrecoverableError, Worker } from 'bullmq';
import { z } from 'zod';
import { isFleetError } from '../../../shared/errors.js';
import { createKeys } from '../../../shared/keys.js';
import { MergedWrites } from '../../../shared/registry/merged-writes.js';
import { TaskRetry } from '../../../shared/retry/task-retry.js';
import type { Store } from '../../../shared/store.js';
import { defineTask } from '../../../shared/task/definition.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { StepGate } from '../../support/task/step-gate.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const queues: Queue[] = [];
afterEach(() => Promise.all(queues.splice(0).map((queue) => queue.close())));

const note = defineTask({ name: 'note.take', input: z.object({}), retention: KEEP });
const HOUR_MS = 3_600_000;

function open() {
  const keyPrefix = fleet.newPrefix();
  const keys = createKeys(keyPrefix);
  const queue = new Queue('note', { connection: fleet.redis.client(), prefix: keys.bull('note') });
  queues.push(queue);
  return { keyPrefix, keys, producer: fleet.producer({ keyPrefix }), job: async (id: string) => (await queue.getJob(id))! };
}

/** A task that was stopped while queued. */
async function cancelled({ producer }: ReturnType<typeof open>): Promise<string> {
  const { id } = await producer.enqueue(note, {}, { item: 'chat-1' });
  assert.equal((await producer.stop(id)).via, 'queue');
  return id;
}

/** A retry with `meanwhile` running between its read and its move of the task. */
function retryWith(store: Store, meanwhile: () => Promise<unknown>): TaskRetry {
  const registry = {
    writes: () => store.registry.writes(),
    find: async (ids: readonly string[]) => {
      await meanwhile();
      return store.registry.find(ids);
    },
  } as Store['registry'];
  return new TaskRetry({ ...store, registry }, new LogLines().loggers('producer'));
}

/** A retry whose registration is removed before the move, as by a slow process that ended the last run. */
function retryOvertaken(store: Store, id: string): TaskRetry {
  let isFirst = true;
  const writes = (): MergedWrites => {
    const made = store.registry.writes();
    const flushInto = made.flushInto.bind(made);
    if (isFirst)
      made.flushInto = (commands) => {
        const sent = flushInto(commands);
        const late = new MergedWrites(store.keys);
        late.remove(id, { item: 'chat-1' });
        return [...sent, ...late.flushInto(commands)];
      };
    isFirst = false;
    return made;
  };
  const registry = { writes, find: (ids: readonly string[]) => store.registry.find(ids) } as Store['registry'];
  return new TaskRetry({ ...store, registry }, new LogLines().loggers('producer'));
}

test('a stop that goes on only after its task was retried takes nothing from the next run', async () => {
  const { keyPrefix, keys, producer } = open();
  const gate = new StepGate();
  const slow = fleet.producer({ keyPrefix, onStep: gate.onStep });
  const { id } = await producer.enqueue(note, {}, { item: 'chat-1' });
  await fleet.client.xadd(keys.events(id), '*', 'type', 'state', 'data', '"running"');
  const held = gate.holdNext('stop:recorded', id);
  const stopping = slow.stop(id);
  await held.reached;
  await producer.retry(id);
  held.release();
  assert.equal((await stopping).outcome, 'cancelled');
  assert.equal((await producer.get(id))?.state, 'queued');
  assert.deepEqual(
    (await producer.list({ item: 'chat-1' })).tasks.map((task) => task.id),
    [id],
  );
  await assert.rejects(producer.enqueue(note, {}, { item: 'chat-1', onBusy: 'reject' }), (error) => isFleetError(error, 'ITEM_BUSY'));
  const events = (await fleet.client.xrange(keys.events(id), '-', '+')).flatMap(([, fields]) => fields);
  assert.ok(!events.some((word) => word.includes('cancelled')), events.join(' '));
});

test('retrying a task that is removed concurrently rejects with not found and leaves no keys behind', async () => {
  const opened = open();
  const id = await cancelled(opened);
  const store = fleet.store({ keyPrefix: opened.keyPrefix });
  await fleet.client.xadd(opened.keys.events(id), '*', 'type', 'chunk', 'data', '"x"');
  const retry = retryWith(store, async () => (await opened.job(id)).remove());
  await assert.rejects(retry.retry([id]), (error) => isFleetError(error, 'TASK_NOT_FOUND'));
  assert.deepEqual(await fleet.registrySize(opened.keyPrefix), EMPTY_REGISTRY);
  assert.equal(await fleet.client.exists(`${opened.keys.jobs('note')}${id}`), 0);
  assert.ok((await fleet.client.pttl(opened.keys.events(id))) <= HOUR_MS);
});

test('a concurrent retry by another process keeps the registration and a new stop', async () => {
  const opened = open();
  const id = await cancelled(opened);
  const store = fleet.store({ keyPrefix: opened.keyPrefix });
  const hash = `${opened.keys.jobs('note')}${id}`;
  const retry = retryWith(store, async () => {
    await (await opened.job(id)).retry('failed');
    await fleet.client.hset(hash, 'stop', '{"reason":"again","by":null,"at":1}', 'defa', 'Stopped: again');
  });
  await assert.rejects(retry.retry([id]), (error) => isFleetError(error, 'TASK_NOT_RETRYABLE') && error.details['state'] === 'stopping');
  assert.deepEqual(await fleet.registrySize(opened.keyPrefix), { tasks: 1, queues: 1, live: 1, items: 1, leases: 0 });
  assert.deepEqual(await fleet.client.hmget(hash, 'stop', 'defa'), ['{"reason":"again","by":null,"at":1}', 'Stopped: again']);
});

test('one of two concurrent retries starts the run, and the task stays registered', async () => {
  const opened = open();
  const other = fleet.producer({ keyPrefix: opened.keyPrefix });
  for (let round = 0; round < 10; round += 1) {
    const id = await cancelled(opened);
    const both = await Promise.allSettled([opened.producer.retry(id), other.retry(id)]);
    const refused = both.filter((one) => one.status === 'rejected');
    assert.equal(refused.length, 1);
    assert.ok(isFleetError(refused[0]?.reason, 'TASK_NOT_RETRYABLE'));
    assert.equal(await fleet.client.hget(opened.keys.taskQueues, id), 'note');
    await opened.producer.stop(id);
  }
  assert.deepEqual(await fleet.registrySize(opened.keyPrefix), EMPTY_REGISTRY);
});

test('a removal between the registration and the move is undone', async () => {
  const opened = open();
  const id = await cancelled(opened);
  const store = fleet.store({ keyPrefix: opened.keyPrefix });
  assert.equal((await retryOvertaken(store, id).retry([id]))[0]?.state, 'queued');
  assert.deepEqual(await fleet.registrySize(opened.keyPrefix), { tasks: 1, queues: 1, live: 1, items: 1, leases: 0 });
});

test('a removal decided before the move, and executed after it, finds another entry', async () => {
  const opened = open();
  const id = await cancelled(opened);
  const store = fleet.store({ keyPrefix: opened.keyPrefix });
  const { queues: all, registry } = store;
  const reading: Promise<string>[] = [];
  const seen = {
    // Called between the registration and the move, which go out on the connection of this read.
    backend: (queue: string) => {
      if (reading.length === 0) reading.push(registry.scoreOf(id));
      return all.backend(queue);
    },
    scriptKeys: (...args: Parameters<Store['queues']['scriptKeys']>) => all.scriptKeys(...args),
  } as Store['queues'];
  await new TaskRetry({ ...store, queues: seen }, new LogLines().loggers('producer')).retry([id]);
  const [score = ''] = await Promise.all(reading);
  assert.notEqual(score, '');
  assert.deepEqual(await registry.removeUnchanged([{ id, item: 'chat-1', score }]), new Set());
  assert.deepEqual(await fleet.registrySize(opened.keyPrefix), { tasks: 1, queues: 1, live: 1, items: 1, leases: 0 });
});

test('a late removal by the last run does not remove the new entry', async () => {
  const { producer, keys, keyPrefix } = open();
  const task = await producer.enqueue(note, {}, { item: 'chat-1' });
  const plain = new Worker('note', null, { connection: fleet.redis.client(), prefix: keys.bull('note') });
  const job = await plain.getNextJob('token');
  await job?.moveToFailed(new UnrecoverableError('no'), 'token', false);
  await plain.close();
  const retried = producer.retry(task);
  // Far more round trips than a retry without this wait takes.
  for (let trip = 0; trip < 12; trip += 1) await producer.ping();
  const writes = new MergedWrites(keys);
  writes.remove(task.id, { item: 'chat-1' });
  await Promise.all(writes.flushInto(fleet.scripted));
  assert.equal((await retried).state, 'queued');
  assert.deepEqual(await fleet.registrySize(keyPrefix), { tasks: 1, queues: 1, live: 1, items: 1, leases: 0 });
});
