import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import { createProducer } from '../../producer/index.js';
import { isFleetError } from '../../shared/errors.js';
import { defineTask } from '../../shared/task/definition.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { builtUrl } from '../support/process/built.js';
import { spawnNode } from '../support/process/processes.js';
import { KEEP } from '../support/task/keep.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const note = defineTask({ name: 'note.take', input: z.object({}), retention: KEEP });

async function assertClosed(call: Promise<unknown>, name = ''): Promise<void> {
  await assert.rejects(call, (error) => isFleetError(error, 'CLOSED') || assert.fail(`${name}: ${String(error)}`));
}

test('a closed producer refuses every call with CLOSED, and may be closed again', async () => {
  const producer = fleet.producer();
  const task = await producer.enqueue(note, {});
  await Promise.all([producer.close(), producer.close()]);
  await producer.close();
  const calls: Record<string, () => Promise<unknown>> = {
    enqueue: () => producer.enqueue(note, {}),
    enqueueMany: () => producer.enqueueMany(note, [{ input: {} }]),
    get: () => producer.get(task),
    list: () => producer.list(),
    hasActiveTasks: () => producer.hasActiveTasks('a'),
    stop: () => producer.stop(task),
    stopItem: () => producer.stopItem('a'),
    result: () => producer.result(task),
    events: () => producer.events(task).next(),
    ping: () => producer.ping(),
  };
  for (const [name, call] of Object.entries(calls)) await assertClosed(call(), name);
});

test('tasks enqueued before close are sent', async () => {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  await producer.ping();
  const enqueues = [
    ...Array.from({ length: 20 }, () => producer.enqueue(note, {})),
    producer.enqueue(note, {}, { id: 'mine' }),
    producer.enqueueMany(
      note,
      Array.from({ length: 1_001 }, () => ({ input: {} })),
    ),
  ];
  await producer.close();
  await Promise.all(enqueues);
  assert.equal((await fleet.registrySize(keyPrefix)).tasks, 1_022);
});

test('waits, followers and calls without a connection reject with CLOSED', async () => {
  const producer = fleet.producer();
  const task = await producer.enqueue(note, {});
  const events = producer.events(task);
  await events.next();
  const open: Promise<unknown>[] = [producer.result(task), events.next()];
  const lost = fleet.producer({ redisUrl: 'redis://127.0.0.1:1', connectTimeoutMs: 60_000 });
  open.push(lost.ping(), lost.enqueue(note, {}));
  const closed = open.map((promise) => assertClosed(promise));
  await Promise.all([producer.close(), lost.close()]);
  await Promise.all(closed);
});

test('close does not wait for an unreachable Redis', { timeout: 60_000 }, async (context) => {
  const own = await TestFleet.start();
  context.after(() => own.stop());
  const producer = own.producer();
  const task = await producer.enqueue(note, {});
  const waiting = producer.result(task).catch((error: unknown) => error);
  await producer.ping();
  await own.redis.kill();
  await producer.close();
  assert.ok(isFleetError(await waiting));
});

test('an unused producer can be closed', async () => {
  await fleet.producer().close();
  await fleet.producer({ redisUrl: 'redis://127.0.0.1:1' }).close();
});

test('a producer requires a Redis URL', () => {
  for (const redisUrl of [undefined, '', null]) {
    assert.throws(
      () => createProducer({ redisUrl: redisUrl as unknown as string }),
      (error) => isFleetError(error, 'INVALID_SETTINGS'),
    );
  }
  assert.throws(
    () => createProducer({ redisUrl: 'http://nowhere' }),
    (error) => isFleetError(error, 'INVALID_SETTINGS') && /REDIS_URL/.test(error.message),
  );
});

test('a closed producer does not keep the process alive', { timeout: 120_000 }, async () => {
  const program = `
    import { createProducer } from ${JSON.stringify(builtUrl('dist/producer/index.js'))};
    import { fleetCanary } from ${JSON.stringify(builtUrl('dist/index.js'))};
    const producer = createProducer({ redisUrl: ${JSON.stringify(fleet.redis.url)}, keyPrefix: ${JSON.stringify(fleet.newPrefix())} });
    const task = await producer.enqueue(fleetCanary, {});
    const events = producer.events(task);
    await events.next();
    const calls = [producer.result(task), events.next(), producer.stop(task, { waitMs: 60_000 })];
    const waiting = calls.map((call) => call.catch((error) => error.code));
    await producer.close();
    const closed = performance.now();
    await Promise.all(waiting);
    process.on('exit', () => console.log('ended ' + (performance.now() - closed < 30_000 ? 'at once' : 'late')));
  `;
  const child = spawnNode(['--input-type=module', '-e', program]);
  const { code } = await child.exit;
  assert.equal(code, 0, child.stderr.text);
  assert.deepEqual(child.stdout.lines, ['ended at once']);
});
