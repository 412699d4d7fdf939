import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { checkPauses } from '../../cli/doctor/fleet-checks.js';
import type { Queue } from '../../dashboard/api/routes/queues.js';
import type { Producer } from '../../producer/index.js';
import { readPausedQueues } from '../../shared/queue/paused-queues.js';
import { defineTask } from '../../shared/task/definition.js';
import { samplesOf } from '../support/fleet/metrics-page.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';
import { TestDashboard, type Who } from './test-dashboard.js';

const fleet = await TestFleet.start();
const chat = defineTask({ name: 'chat.answer', queue: 'chat', input: z.object({}), retention: KEEP });
let producer: Producer;
let dashboard: TestDashboard;

before(async () => {
  producer = fleet.producer();
  dashboard = await TestDashboard.start(producer);
  await producer.enqueueMany(chat, [{ id: 'a', item: 'alice:1', input: {} }, { input: {} }, { input: {}, delay: 3_600_000 }]);
  await producer.schedules.upsert('hourly', chat, {}, { every: 3_600_000 });
  await producer.enqueue(defineTask({ name: 'other', input: z.object({}), retention: KEEP }), {});
});
after(async () => {
  await dashboard.stop();
  await fleet.stop();
});

const ask = async (who: Who, method: string, path: string, body?: Readonly<Record<string, unknown>>) => {
  const reply = await dashboard.send(method, path, { token: dashboard.tokens[who], ...(body && { body }) });
  return { status: reply.status, text: reply.text, body: reply.body as never };
};
const queues = async (): Promise<Queue[]> => ((await ask('viewer', 'GET', '/api/v1/queues')).body as { queues: Queue[] }).queues;

test('a pause over HTTP is shown wherever it matters, audited with its reason, and ended by a resume', async () => {
  const first = await queues();
  assert.deepEqual(
    first.map(({ name, paused, counts }) => [name, paused, counts.queued, counts.scheduled]),
    [
      ['chat', null, 2, 2],
      ['other', null, 1, 0],
    ],
  );
  assert.equal(first[0]?.oldest_wait_task?.name, 'chat.answer');
  const readiness = (await dashboard.send('GET', '/readyz')).text;
  const { status, body } = await ask('operator', 'POST', '/api/v1/queues/chat/pause', { reason: 'the model is down' });
  const { paused } = body as Queue;
  assert.deepEqual([status, paused?.by, paused?.reason, paused?.shards], [200, 'operator', 'the model is down', ['chat']]);
  const { by, at, reason } = paused as NonNullable<Queue['paused']>;
  const task = (await ask('alice-viewer', 'GET', '/api/v1/tasks/a')).body as { waiting_for: unknown };
  assert.deepEqual(task.waiting_for, { kind: 'paused', queue: 'chat', since: at, by, reason, limit_wait: null });
  const { schedules } = (await ask('viewer', 'GET', '/api/v1/schedules')).body as { schedules: { id: string; paused: unknown }[] };
  assert.deepEqual(schedules.find(({ id }) => id === 'hourly')?.paused, { by, at, reason });
  const { paused_queues: shown } = (await ask('viewer', 'GET', '/api/v1/status')).body as { paused_queues: unknown };
  assert.deepEqual(shown, [{ name: 'chat', by, at, reason }]);
  const metrics = samplesOf((await ask('viewer', 'GET', '/metrics')).text);
  assert.deepEqual([metrics.get('taskfleet_queue_paused{queue="chat"}'), metrics.get('taskfleet_queue_paused{queue="other"}')], [1, 0]);
  const [check, ...rest] = checkPauses(await readPausedQueues(producer.store), Date.parse(at as string) + 60_000);
  assert.deepEqual(rest, []);
  assert.deepEqual([check?.level, check?.message], ['warn', 'queue chat is paused by operator: the model is down (1m ago)']);
  assert.match(check?.advice ?? '', /taskfleet queue resume chat/);
  const checksOf = (text: string): unknown =>
    (JSON.parse(text) as { checks: { name: string; ok: boolean }[] }).checks.map(({ name, ok }) => [name, ok]);
  assert.deepEqual(checksOf((await dashboard.send('GET', '/readyz')).text), checksOf(readiness), 'a pause is no fault');
  assert.equal(((await ask('operator', 'POST', '/api/v1/queues/chat/resume')).body as Queue).paused, null);
  assert.deepEqual(
    (await queues()).map(({ paused: pause }) => pause),
    [null, null],
  );
  const { records } = (await ask('admin', 'GET', '/api/v1/audit')).body as { records: Record<string, unknown>[] };
  assert.deepEqual(
    records.slice(0, 2).map((entry) => [entry['action'], entry['target'], entry['name'], entry['reason'], entry['result']]),
    [
      ['queue.resume', 'chat', 'operator', null, 'running'],
      ['queue.pause', 'chat', 'operator', 'the model is down', 'paused'],
    ],
  );
});

test('queues cover all items: callers with item patterns may neither list, pause nor resume them', async () => {
  for (const [method, path] of [
    ['GET', '/api/v1/queues'],
    ['POST', '/api/v1/queues/chat/pause'],
    ['POST', '/api/v1/queues/chat/resume'],
  ] as const) {
    const { status, body } = await ask('alice-operator', method, path, method === 'POST' ? {} : undefined);
    assert.deepEqual([status, (body as { code: string }).code], [403, 'FORBIDDEN']);
  }
  const unknown = await ask('operator', 'POST', '/api/v1/queues/none/pause', {});
  assert.deepEqual([unknown.status, (unknown.body as { code: string }).code], [404, 'QUEUE_NOT_FOUND']);
  const shard = await ask('operator', 'POST', '/api/v1/queues/chat.shard-1/pause', {});
  assert.deepEqual([shard.status, (shard.body as { code: string }).code], [400, 'INVALID_OPTION']);
});

test('garbage in Redis costs the record that it is in, and nothing else', async () => {
  const { redis, keys, pauses, queues: bull } = producer.store;
  await bull.get('chat').pause();
  for (const garbage of ['', 'null', '[]', '{"at":"now"}', '{"at":1,"shards":7}', '{"by":7,"at":1e99,"shards":[]}', '\u0000']) {
    await redis.hset(keys.pausedQueues, 'chat', garbage, 'no:queue', garbage, 'other', garbage);
    await pauses.tend();
    const [first, second] = await queues();
    assert.deepEqual(first?.paused, { by: null, at: null, reason: null, shards: ['chat'] }, JSON.stringify(garbage));
    assert.equal(second?.paused, null, 'an unreadable record pauses no queue');
    const task = (await ask('viewer', 'GET', '/api/v1/tasks/a')).body as { waiting_for: { kind: string; by: unknown } };
    assert.deepEqual([task.waiting_for.kind, task.waiting_for.by], ['paused', null]);
  }
  await redis.hset(keys.pausedQueues, 'chat', JSON.stringify({ by: 7, at: 1, reason: 'x'.repeat(9_999), shards: ['chat', 7, 'a:b'] }));
  const [odd] = await queues();
  assert.deepEqual([odd?.paused?.by, odd?.paused?.at, odd?.paused?.reason?.length], [null, '1970-01-01T00:00:00.001Z', 500]);
  await redis.del(keys.pausedQueues);
  await redis.set(keys.pausedQueues, 'of another type');
  assert.deepEqual((await queues())[0]?.paused, { by: null, at: null, reason: null, shards: ['chat'] });
  await redis.del(keys.pausedQueues);
  const jobs = keys.jobs('other');
  for (const name of ['wait', 'delayed', 'meta', 'kept:limits']) await redis.del(jobs + name);
  for (const name of ['wait', 'delayed', 'meta', 'kept:limits']) await redis.set(jobs + name, 'of another type');
  await redis.hset(`${keys.jobs('chat')}meta`, 'concurrency', 'many');
  const minute = keys.minute(String(Math.floor(producer.store.clock.now() / 60_000)));
  await redis.hset(minute, 'in|chat', 'many', 'out|other', '-1');
  const [good, bad] = await queues();
  assert.deepEqual([good?.counts.queued, good?.concurrency, good?.problem], [2, null, null]);
  assert.deepEqual([bad?.counts.queued, bad?.paused, bad?.out_per_minute], [0, null, 0]);
  assert.match(bad?.problem ?? '', /keys of the wrong type: .*:other:/);
  assert.equal((await ask('operator', 'POST', '/api/v1/queues/chat/resume')).status, 200);
});
