import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { fleetCanary } from '../../index.js';
import { type EnqueuedTask, type Producer, createProducer } from '../../producer/index.js';
import { type Keys, createKeys } from '../../shared/keys.js';
import { chunks } from '../../shared/limits.js';
import { type FleetWorker, createWorker } from '../../worker/index.js';
import { type TestRedis, startTestRedis } from '../support/redis/test-redis.js';
import { type Served, serveDashboard } from './serve-dashboard.js';

const FOREIGN = '7d0f6c1e-8f5a-4a36-9a53-0c1d2e3f4a5b';
const quiet = { logLevel: 'silent' } as const;

let redis: TestRedis;
let client: Redis;
let keys: Keys;
let producer: Producer;
let served: Served;
let fleets = 0;

before(async () => {
  redis = await startTestRedis();
  client = redis.client();
});
// A separate fleet for each test.
beforeEach(async () => {
  keys = createKeys(`fleet-${(fleets += 1)}`);
  producer = createProducer({ redisUrl: redis.url, keyPrefix: keys.prefix, ...quiet });
  served = await serveDashboard(producer);
});
afterEach(async () => {
  await served.close();
  await producer.close();
});
after(() => redis.stop());

const queue = (count: number, item?: string): Promise<EnqueuedTask[]> =>
  producer.enqueueMany(
    fleetCanary,
    Array.from({ length: count }, () => ({ input: { run_ms: 60_000 }, item })),
  );
const get = async (path: string): Promise<unknown> => {
  const { status, type, body } = await served.send('GET', `/fleet${path}`);
  assert.deepEqual({ status, type }, { status: 200, type: 'application/json' });
  return body;
};
const post = async (path: string): Promise<{ status: number; body: unknown }> => {
  const { status, type, body } = await served.send('POST', `/fleet${path}`);
  assert.equal(type, 'application/json');
  return { status, body };
};

describe('GET /api/tasks', () => {
  test('an empty fleet has no tasks', async () => {
    assert.deepEqual(await get('/api/tasks'), { tasks: [] });
  });

  test('reads 100,000 foreign tasks once, across all pages', async () => {
    const [own] = await queue(1, 'mine');
    const entries = Array.from({ length: 100_000 }, (_, n) => [`foreign-${n}`, n % 1_000 === 0 ? 'theirs' : ''] as const);
    for (const some of chunks(entries, 10_000)) await client.hset(keys.tasks, ...some.flat());
    await client.config('RESETSTAT');
    const { tasks } = (await get('/api/tasks')) as { tasks: string[] };
    assert.equal(new Set(tasks).size, 100_001);
    assert.equal(tasks[0], own?.id);
    const calls = Number(/cmdstat_hscan:calls=(\d+)/.exec(await client.info('commandstats'))?.[1]);
    assert.ok(calls < 300, `${calls} steps`);
    await client.config('RESETSTAT');
    assert.deepEqual(await get('/api/tasks/chat/mine'), { task_ids: [own?.id] });
    assert.ok(!(await client.info('commandstats')).includes('hscan'), 'tasks of an item are found without a look at all');
  });

  test('lists the ids of all live tasks, foreign ones last', async () => {
    const [first, second] = await queue(2);
    await client.hset(keys.tasks, FOREIGN, 'chat-of-another');
    const { tasks } = (await get('/api/tasks')) as { tasks: string[] };
    assert.deepEqual(new Set(tasks), new Set([first?.id, second?.id, FOREIGN]));
    assert.equal(tasks.length, 3);
    assert.equal(tasks.at(-1), FOREIGN);
  });

  test('finished tasks are not listed', async () => {
    const [task] = await queue(1);
    await producer.stop(task as EnqueuedTask);
    assert.deepEqual(await get('/api/tasks'), { tasks: [] });
  });

  test('lists more tasks than fit on one page, each once', async () => {
    const added = await queue(2_500);
    const { tasks } = (await get('/api/tasks')) as { tasks: string[] };
    assert.equal(tasks.length, 2_500);
    assert.deepEqual(new Set(tasks), new Set(added.map(({ id }) => id)));
  });

  test('HEAD answers as GET does, without a body', async () => {
    const { status, type, text } = await served.send('HEAD', '/fleet/api/tasks');
    assert.deepEqual({ status, type, text }, { status: 200, type: 'application/json', text: '' });
  });
});

describe('GET /api/tasks/chat/{item}', () => {
  test("lists only the item's tasks, including foreign ones", async () => {
    const [mine] = await queue(1, 'chat-1');
    await queue(1, 'chat-2');
    await queue(1);
    await client.hset(keys.tasks, FOREIGN, 'chat-1');
    await client.sadd(keys.item('chat-1'), FOREIGN);
    assert.deepEqual(await get('/api/tasks/chat/chat-1'), { task_ids: [mine?.id, FOREIGN] });
  });

  test('an item without tasks has an empty list', async () => {
    assert.deepEqual(await get('/api/tasks/chat/nobody'), { task_ids: [] });
  });

  for (const [item, path] of [
    ['docs/a b.md', 'docs%2fa%20b.md'],
    ['docs/a b.md', 'docs/a%20b.md'],
    ['docs/stop', 'docs/stop'],
    ['local:socket-1', 'local:socket-1'],
    ['../etc', '..%2fetc'],
    ['🦊 chat', encodeURIComponent('🦊 chat')],
    ['100%', '100%25'],
    ['a%2fb', 'a%252fb'],
  ] as const) {
    test(`finds the item ${JSON.stringify(item)} at ${path}`, async () => {
      const [task] = await queue(1, item);
      assert.deepEqual(await get(`/api/tasks/chat/${path}`), { task_ids: [task?.id] });
      const message = `All tasks for item ${item} stopped.`;
      assert.deepEqual(await post(`/api/tasks/chat/${path}/stop`), { status: 200, body: { status: true, message } });
      assert.equal((await producer.get(task as EnqueuedTask))?.state, 'cancelled');
    });
  }
});

describe('POST /api/tasks/chat/{item}/stop', () => {
  test("stops only the item's tasks", async () => {
    const mine = await queue(3, 'chat-1');
    const [other] = await queue(1, 'chat-2');
    const { status, body } = await post('/api/tasks/chat/chat-1/stop');
    assert.deepEqual({ status, body }, { status: 200, body: { status: true, message: 'All tasks for item chat-1 stopped.' } });
    for (const task of mine) assert.equal((await producer.get(task))?.state, 'cancelled');
    assert.equal((await producer.get(other as EnqueuedTask))?.state, 'queued');
  });

  test('stopping an item without tasks succeeds', async () => {
    const message = 'No tasks found for item chat-1.';
    assert.deepEqual(await post('/api/tasks/chat/chat-1/stop'), { status: 200, body: { status: true, message } });
  });
});

describe('POST /api/tasks/stop/{task_id}', () => {
  test('a queued task is cancelled, and records its requester', async () => {
    const [task] = (await queue(1)) as [EnqueuedTask];
    const message = `Task ${task.id} stopped.`;
    assert.deepEqual(await post(`/api/tasks/stop/${task.id}`), { status: 200, body: { status: true, message } });
    const { state, stop } = (await producer.get(task)) ?? {};
    assert.deepEqual([state, stop?.by], ['cancelled', 'local']);
  });

  test('a second stop gets the same answer', async () => {
    const [task] = (await queue(1)) as [EnqueuedTask];
    const first = await post(`/api/tasks/stop/${task.id}`);
    assert.deepEqual(await post(`/api/tasks/stop/${task.id}`), first);
  });

  test("an unknown task yields a 404 in FastAPI's format", async () => {
    const { status, body } = await post('/api/tasks/stop/no-such-task');
    assert.deepEqual({ status, body }, { status: 404, body: { detail: 'Task with ID no-such-task not found.' } });
  });

  test('the program of a foreign task gets a stop command', async () => {
    await client.hset(keys.tasks, FOREIGN, '');
    const listener = redis.client();
    const heard = new Promise<unknown>((resolve) =>
      listener.on('message', (_channel, message: string) => {
        // Commands for the fleet alone lack a task_id, the only field that open-webui reads.
        const command = JSON.parse(message) as Record<string, unknown>;
        if ('task_id' in command) resolve(command);
      }),
    );
    await listener.subscribe(keys.commands);
    const { status, body } = await post(`/api/tasks/stop/${FOREIGN}`);
    assert.deepEqual({ status, body }, { status: 200, body: { status: true, message: `Task ${FOREIGN} is being stopped.` } });
    const { action, task_id } = (await heard) as Record<string, unknown>;
    assert.deepEqual({ action, task_id }, { action: 'stop', task_id: FOREIGN });
  });
});

describe('with a worker', () => {
  let worker: FleetWorker;
  beforeEach(async () => {
    worker = await createWorker({ redisUrl: redis.url, keyPrefix: keys.prefix, ...quiet });
    await worker.start();
    await worker.ready();
  });
  afterEach(() => worker.stop());

  /** Waits for the first output of the task's handler. */
  async function untilRunning(id: string): Promise<void> {
    for await (const event of producer.events(id)) if (event.type === 'progress') return;
    assert.fail('the task ended');
  }

  test('a running task is listed, stopped and then no longer listed', async () => {
    const [task] = (await queue(1, 'chat-1')) as [EnqueuedTask];
    await untilRunning(task.id);
    assert.deepEqual(await get('/api/tasks'), { tasks: [task.id] });
    const { status, body } = await post(`/api/tasks/stop/${task.id}`);
    assert.equal(status, 200);
    assert.equal((body as { status: boolean }).status, true);
    await assert.rejects(producer.result(task), { code: 'TASK_CANCELLED' });
    assert.deepEqual(await get('/api/tasks/chat/chat-1'), { task_ids: [] });
  });

  test('stopping an item stops its running task', async () => {
    const [task] = (await queue(1, 'chat-1')) as [EnqueuedTask];
    await untilRunning(task.id);
    assert.equal(((await post('/api/tasks/chat/chat-1/stop')).body as { status: boolean }).status, true);
    await assert.rejects(producer.result(task), { code: 'TASK_CANCELLED' });
  });

  test('stopping a completed task succeeds without effect', async () => {
    const task = await producer.enqueue(fleetCanary, { run_ms: 0 });
    await producer.result(task);
    const message = `Task ${task.id} had already ended.`;
    assert.deepEqual(await post(`/api/tasks/stop/${task.id}`), { status: 200, body: { status: true, message } });
  });

  test('a job of a plain BullMQ queue with a numeric id is listed and stopped', async () => {
    const plain = new Queue(fleetCanary.queue, { connection: redis.client(), prefix: keys.bull(fleetCanary.queue) });
    plain.on('error', () => undefined);
    const job = await plain.add(fleetCanary.name, { run_ms: 60_000 });
    assert.equal(job.id, '1');
    // The worker registers a task before it runs; its first progress shows that it runs.
    const events = redis.client();
    for (let seen: unknown = null; seen === null;) seen = await events.xread('BLOCK', 1_000, 'STREAMS', keys.events('1'), '0');
    assert.deepEqual(await get('/api/tasks'), { tasks: ['1'] });
    assert.equal((await post('/api/tasks/stop/1')).status, 200);
    for (let last = ''; last !== '"cancelled"';) last = await lastState(events, '1');
    assert.deepEqual(await get('/api/tasks'), { tasks: [] });
    await plain.close();
  });

  async function lastState(events: Redis, id: string): Promise<string> {
    const [entry] = await events.xrevrange(keys.events(id), '+', '-', 'COUNT', 1);
    if (entry?.[1].includes('"cancelled"')) return '"cancelled"';
    await events.xread('BLOCK', 1_000, 'STREAMS', keys.events(id), entry?.[0] ?? '0');
    return '';
  }
});
