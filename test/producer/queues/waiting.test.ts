import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import { type Producer, type TaskView, eventToJson, taskToJson } from '../../../producer/index.js';
import { stateEventOf } from '../../../shared/events/state-event.js';
import { defineTask } from '../../../shared/task/definition.js';
import { shardOf } from '../../../shared/task/shards.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { lineUp, placeStep } from '../../support/task/line.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const input = z.object({});
const chat = defineTask({ name: 'chat', input, shards: 2, retention: KEEP });
const rated = defineTask({ name: 'rated', queue: 'chat', input, retention: KEEP, rate: { limit: 1, per: '1h' } });

async function waitOf(producer: Producer, id: string): Promise<unknown> {
  const task = (await producer.get(id)) as TaskView;
  return taskToJson(task)['waiting_for'];
}

test('every queued task of a paused queue waits for it: ready, parked, delayed by its rate, and overdue', async () => {
  const producer = fleet.producer();
  await producer.ping();
  const { store } = producer;
  const onFirst = ['a', 'b', 'c', 'd', 'e'].filter((id) => shardOf(chat, id) === 'chat');
  const onSecond = ['a', 'b', 'c', 'd', 'e'].filter((id) => shardOf(chat, id) !== 'chat');
  assert.ok(onFirst.length > 0 && onSecond.length > 0);
  for (const id of [...onFirst, ...onSecond]) await producer.enqueue(chat, {}, { id });
  await producer.enqueue(chat, {}, { id: 'urgent', priority: 1 });
  const plain = defineTask({ name: 'plain', queue: 'chat', input, retention: KEEP });
  const steps = [placeStep('plain', 'k')];
  await lineUp(producer, plain, { id: 'first', steps });
  await lineUp(producer, plain, { id: 'parked', steps });
  for (const id of ['paid', 'slow']) await producer.enqueue(rated, {}, { id });
  await producer.enqueue(chat, {}, { id: 'later', delay: 3_600_000 });
  await producer.enqueue(chat, {}, { id: 'due', delay: 1 });
  await producer.enqueue(defineTask({ name: 'other', input, retention: KEEP }), {}, { id: 'elsewhere' });
  const { paused } = await producer.queues.pause('chat', { by: 'alice', reason: 'the model is down' });
  const since = paused?.at?.toISOString();
  const wait = { kind: 'paused', queue: 'chat', since, by: 'alice', reason: 'the model is down', limit_wait: null };
  for (const id of [...onFirst, ...onSecond, 'urgent', 'first', 'due']) assert.deepEqual(await waitOf(producer, id), wait, id);
  const line = {
    kind: 'concurrency',
    name: 'plain',
    key: 'k',
    limit: 1,
    running: 1,
    position: 1,
    length: 1,
    next_at: null,
    behind: ['first'],
  };
  assert.deepEqual(await waitOf(producer, 'parked'), { ...wait, limit_wait: line });
  const slow = (await waitOf(producer, 'slow')) as { limit_wait: { kind: string } };
  assert.deepEqual([slow.limit_wait.kind, (await producer.get('slow'))?.state], ['rate', 'queued']);
  assert.deepEqual([await waitOf(producer, 'later'), (await producer.get('later'))?.state], [null, 'scheduled']);
  assert.equal(await waitOf(producer, 'elsewhere'), null);
  const receipt = await producer.stop('urgent');
  assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'queue'], 'a stop settles at once, without a worker');
  assert.deepEqual([await waitOf(producer, 'urgent'), (await producer.get('urgent'))?.state], [null, 'cancelled']);
  const event = eventToJson(stateEventOf((await producer.get('parked')) as TaskView, new Date()));
  assert.deepEqual(event['waiting_for'], { ...wait, limit_wait: { ...line, behind: null } }, 'followers share events');
  await producer.queues.resume('chat');
  assert.deepEqual([await waitOf(producer, 'a'), await waitOf(producer, 'first')], [null, null]);
  assert.deepEqual(await waitOf(producer, 'parked'), line);
  await store.queues.get('chat').pause();
  assert.deepEqual(await waitOf(producer, onFirst[0] as string), { ...wait, since: null, by: null, reason: null });
  assert.equal(await waitOf(producer, onSecond[0] as string), null, 'another client pauses one shard');
});

test('a list costs one command more for each queue that is paused, and not one for each task', async () => {
  const producer = fleet.producer();
  await producer.enqueueMany(
    chat,
    Array.from({ length: 100 }, (_, n) => ({ id: `task-${n}`, input: {} })),
  );
  const cost = async (): Promise<number> => {
    const monitor = await fleet.monitor();
    const { tasks } = await producer.list({ limit: 100 });
    assert.equal(tasks.length, 100);
    return (await monitor.stop()).length;
  };
  await cost();
  const running = await cost();
  await producer.queues.pause('chat');
  const paused = await cost();
  assert.ok(paused <= running + 4, `${running} commands, ${paused} while paused`);
});
