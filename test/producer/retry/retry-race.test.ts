import assert from 'node:assert/strict';
import { after, afterEach, test } from 'node:test';
import { Queue, UnrecoverableError, Worker } from 'bullmq';
import { z } from 'zod';
import { TaskRetry } from '../../../producer/retry.js';
import { isFleetError } from '../../../shared/errors.js';
import { createKeys } from '../../../shared/keys.js';
import { MergedWrites } from '../../../shared/registry/merged-writes.js';
import type { Store } from '../../../shared/store.js';
import { defineTask } from '../../../shared/task/definition.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

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
  await Promise.all(writes.flushInto(fleet.client));
  assert.equal((await retried).state, 'queued');
  assert.deepEqual(await fleet.registrySize(keyPrefix), { tasks: 1, queues: 1, live: 1, items: 1, leases: 0 });
});
