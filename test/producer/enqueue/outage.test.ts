import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import type { Producer } from '../../../producer/index.js';
import { isFleetError } from '../../../shared/errors.js';
import { createKeys } from '../../../shared/keys.js';
import { defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import { deferred } from '../../support/deferred.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

const fleet = await TestFleet.start({ appendonly: 'yes', extraArgs: ['--appendfsync', 'always'] });
const { redis } = fleet;
after(() => fleet.stop());

const note = defineTask({ name: 'note.take', input: z.object({}), retention: KEEP });
/** On a busy machine. A call that waits for Redis hangs. */
const WHEN_AWAY_MS = 30_000;

/** Every call of a producer. */
const CALLS: Record<string, (producer: Producer) => Promise<unknown>> = {
  enqueue: (producer) => producer.enqueue(note, {}),
  'enqueue with an id': (producer) => producer.enqueue(note, {}, { id: 'mine' }),
  enqueueMany: (producer) => producer.enqueueMany(note, [{ input: {} }, { input: {} }]),
  get: (producer) => producer.get('a'),
  list: (producer) => producer.list(),
  hasActiveTasks: (producer) => producer.hasActiveTasks('a'),
  stop: (producer) => producer.stop('a'),
  stopItem: (producer) => producer.stopItem('a'),
  result: (producer) => producer.result('a'),
  events: (producer) => producer.events('a').next(),
  ping: (producer) => producer.ping(),
};

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

async function assertUnavailable(call: Promise<unknown>, port: number, name: string): Promise<void> {
  const started = performance.now();
  await assert.rejects(call, (error) => {
    assert.ok(isFleetError(error, 'REDIS_UNAVAILABLE'), `${name}: ${String(error)}`);
    assert.match(error.message, new RegExp(`^Redis at 127\\.0\\.0\\.1:${port} cannot be reached: `), name);
    if (name.startsWith('enqueue')) assert.equal(error.details['exists'], name === 'enqueue with an id' ? 'unknown' : false, name);
    return true;
  });
  assert.ok(performance.now() - started < WHEN_AWAY_MS, `${name} took ${performance.now() - started} ms`);
}

test('without a Redis, every call rejects with host and port after the connect timeout', async () => {
  const port = await closedPort();
  const producer = fleet.producer({ redisUrl: `redis://127.0.0.1:${port}`, connectTimeoutMs: 200 });
  await Promise.all(Object.entries(CALLS).map(([name, call]) => assertUnavailable(call(producer), port, name)));
});

test('every call fails within two seconds of losing Redis, and works again once Redis is back', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix, reconnectDelayMs: 20 });
  const task = await producer.enqueue(note, {}, { item: 'a' });
  await redis.kill();
  for (const [name, call] of Object.entries(CALLS).slice(0, 3)) await assertUnavailable(call(producer), redis.port, name);
  await Promise.all(Object.entries(CALLS).map(([name, call]) => assertUnavailable(call(producer), redis.port, name)));
  await redis.restart();

  await reconnected(producer);
  assert.equal((await producer.get(task))?.state, 'queued', 'nothing is lost');
  assert.deepEqual(
    (await producer.list()).tasks.map(({ id }) => id),
    [task.id],
    'the failed calls added nothing',
  );
  const added = await producer.enqueueMany(note, [{ input: {} }, { input: {}, id: 'mine' }]);
  const receipts = await producer.stop([task, ...added]);
  assert.deepEqual(
    receipts.map(({ outcome }) => outcome),
    ['cancelled', 'cancelled', 'cancelled'],
    'scripts are known to the new server',
  );
  assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
});

test('a Redis that restarts without its data is initialised again', async (context) => {
  const own = await TestFleet.start();
  context.after(() => own.stop());
  const keyPrefix = own.newPrefix();
  const producer = own.producer({ keyPrefix, reconnectDelayMs: 20 });
  await producer.enqueue(note, {});
  await own.redis.kill();
  await own.redis.restart();
  await reconnected(producer);
  const task = await producer.enqueue(note, {});
  assert.deepEqual(await own.client.smembers(createKeys(keyPrefix).queues), ['note']);
  await producer.stop(task);
  assert.equal((await producer.get(task))?.state, 'cancelled', 'an ended task is found on its queue');
});

test('flushed scripts are loaded again', async () => {
  const producer = fleet.producer();
  const task = await producer.enqueue(note, {});
  await producer.stop(await producer.enqueue(note, {}));
  await fleet.client.script('FLUSH');
  const other = await producer.enqueue(note, {});
  await fleet.client.script('FLUSH');
  assert.equal((await producer.get(task))?.state, 'queued');
  await fleet.client.script('FLUSH');
  const receipts = await producer.stop([task, other]);
  assert.deepEqual(
    receipts.map(({ outcome }) => outcome),
    ['cancelled', 'cancelled'],
  );
});

test('waits and events survive a lost connection without gaps', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix, reconnectDelayMs: 20 });
  const started = deferred();
  const half = deferred();
  const handler = defineHandler(note, async ({ emit }) => {
    for (let n = 0; n < 20; n += 1) emit(n);
    started.resolve();
    await half.promise;
    for (let n = 20; n < 40; n += 1) emit(n);
    return 'done';
  });
  await fleet.worker(keyPrefix, [handler], { reconnectDelayMs: 20 });
  const task = await producer.enqueue(note, {});
  const result = producer.result(task);
  const heard = deferred();
  const chunks: unknown[] = [];
  const events = (async () => {
    for await (const event of producer.events(task)) {
      if (event.type === 'chunk' && chunks.push(event.chunk) === 20) heard.resolve();
    }
  })();
  await heard.promise;
  await killClients('taskfleet:producer');
  half.resolve();
  assert.equal(await result, 'done');
  await events;
  assert.deepEqual(
    chunks,
    Array.from({ length: 40 }, (_, n) => n),
  );
});

test('killing the connection during thousands of enqueues rejects some at most, and all others are added', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix, reconnectDelayMs: 20 });
  await producer.ping();
  const enqueues = Array.from({ length: 3_000 }, () => producer.enqueue(note, {}));
  const settled = Promise.allSettled(enqueues);
  await enqueues[0];
  await killClients('taskfleet:producer');
  const results = await settled;
  const ids = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value.id] : []));
  await reconnected(producer);
  const waiting = new Set(await fleet.client.lrange(`${createKeys(keyPrefix).jobs('note')}wait`, 0, -1));
  for (const result of results) {
    if (result.status === 'fulfilled') continue;
    assert.ok(isFleetError(result.reason, 'REDIS_UNAVAILABLE'), String(result.reason));
    const { exists, id } = result.reason.details;
    assert.ok(exists === 'unknown' || (exists === false && !waiting.has(id as string)), `${String(exists)}: ${String(result.reason)}`);
  }
  assert.ok(ids.length > 0 && ids.every((id) => waiting.has(id)));
});

/** Kills the connections whose name starts with `name`. */
async function killClients(name: string): Promise<void> {
  const list = (await fleet.client.client('LIST')) as string;
  const ids = list
    .split('\n')
    .filter((line) => line.includes(` name=${name}`))
    .map((line) => /^id=(\d+)/.exec(line)?.[1] as string);
  await Promise.all(ids.map((id) => fleet.client.client('KILL', 'ID', id)));
}

/** Resolves when the producer has reconnected. */
async function reconnected(producer: Producer): Promise<void> {
  for (;;) {
    try {
      return await producer.ping();
    } catch (error) {
      assert.ok(isFleetError(error, 'REDIS_UNAVAILABLE'));
      await setImmediate(); // or the news of the loss would never get in
    }
  }
}
