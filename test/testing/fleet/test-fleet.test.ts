import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { z } from 'zod';
import { defineHandler, defineTask, isFleetError } from '../../../index.js';
import { type TestFleet, type TestFleetOptions, testFleet } from '../../../testing/index.js';

const note = defineTask({
  name: 'note.take',
  input: z.object({ text: z.string(), failures: z.number().default(0), children: z.number().default(0) }),
  output: z.string(),
  retry: { attempts: 5, backoff: { type: 'exponential', delayMs: 60_000, jitter: 0 } },
});
/** Waits for a stop. */
const wait = defineTask({ name: 'wait.stop', input: z.null() });
const line = defineTask({ name: 'line.up', input: z.string(), concurrency: { by: 'item', limit: 1 } });

const opened: TestFleet[] = [];
after(() => Promise.all(opened.map((fleet) => fleet.stop())));

/** Starts a fleet whose handlers add what they do, with the fleet's time since its start in minutes, to `seen`. */
async function startFleet(options: TestFleetOptions = {}): Promise<{ fleet: TestFleet; seen: string[] }> {
  const seen: string[] = [];
  let start = 0;
  const record = (text: string): void => void seen.push(`${text} @${Math.round((fleet.now().getTime() - start) / 60_000)}`);
  const takeNote = defineHandler(note, async ({ input, attempt, enqueue }) => {
    record(input.text);
    for (let child = 0; child < input.children; child += 1) await enqueue(note, { text: `child ${child}` });
    if (attempt <= input.failures) throw new Error('no luck');
    return `${input.text} in attempt ${attempt}`;
  });
  const waitForStop = defineHandler(
    wait,
    ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  );
  const lineUp = defineHandler(line, async ({ input }) => record(input));
  const fleet = await testFleet({ handlers: [takeNote, waitForStop, lineUp], ...options });
  opened.push(fleet);
  start = fleet.now().getTime();
  return { fleet, seen };
}

describe('testFleet', () => {
  test('runs tasks and their children on a real Redis; idle waits for all of them', async () => {
    const ends: string[] = [];
    const { fleet, seen } = await startFleet({ hooks: { onTaskFinished: ({ state }) => void ends.push(state) } });
    await fleet.idle();
    const task = await fleet.producer.enqueue(note, { text: 'parent', children: 3 }, { item: 'chat-1' });
    await fleet.producer.enqueue(line, 'first', { item: 'a' });
    await fleet.producer.enqueue(line, 'second', { item: 'a' });
    await fleet.idle({ timeoutMs: 60_000 });
    assert.deepEqual(seen.toSorted(), ['child 0 @0', 'child 1 @0', 'child 2 @0', 'first @0', 'parent @0', 'second @0']);
    assert.equal(ends.length, 6);
    assert.equal(await fleet.producer.result(task), 'parent in attempt 1');
  });

  test('advance starts delayed tasks, retries and schedules in the order of their due times', async () => {
    const { fleet, seen } = await startFleet();
    // Half an hour away from any run of it at the start or the end.
    const minute = (fleet.now().getUTCMinutes() + 30) % 60;
    await fleet.producer.schedules.upsert('hourly', note, { text: 'hourly' }, { cron: `${minute} * * * *` });
    await fleet.producer.schedules.upsert('often', note, { text: 'often' }, { every: 25 * 60_000 });
    const delayed = await fleet.producer.enqueue(note, { text: 'delayed' }, { delay: 5 * 60_000 });
    const failing = await fleet.producer.enqueue(note, { text: 'failing', failures: 2 });
    await fleet.idle({ timeoutMs: 60_000 });
    assert.equal((await fleet.producer.get(delayed))?.state, 'scheduled');
    assert.equal((await fleet.producer.get(failing))?.state, 'retrying');
    await fleet.advance('1h', { timeoutMs: 60_000 });
    const hourly = seen.filter((text) => text.startsWith('hourly'));
    assert.equal(hourly.length, 1);
    assert.ok(Math.abs(Number(hourly[0]?.split('@')[1]) - 30) <= 1);
    assert.deepEqual(
      seen.filter((text) => !text.startsWith('hourly')),
      ['failing @0', 'failing @1', 'failing @3', 'delayed @5', 'often @25', 'often @50'],
    );
    assert.equal(await fleet.producer.result(failing), 'failing in attempt 3');
    const view = await fleet.producer.get(delayed);
    assert.ok((view?.finishedAt?.getTime() ?? 0) - (view?.enqueuedAt?.getTime() ?? 0) >= 5 * 60_000);
    const next = (await fleet.producer.schedules.list()).find(({ id }) => id === 'often')?.nextAt;
    assert.equal(Math.round(((next?.getTime() ?? 0) - fleet.now().getTime()) / 60_000), 15);
  });

  test('deadlines keep to the moved time', async () => {
    const { fleet, seen } = await startFleet();
    await fleet.producer.enqueue(note, { text: 'before' });
    await fleet.idle({ timeoutMs: 60_000 });
    await fleet.producer.queues.pause('note');
    const late = await fleet.producer.enqueue(note, { text: 'late' }, { deadline: new Date(fleet.now().getTime() + 60_000) });
    await fleet.advance('2m', { timeoutMs: 60_000 });
    await fleet.producer.queues.resume('note');
    await fleet.idle({ timeoutMs: 60_000 });
    assert.match((await fleet.producer.get(late))?.error ?? '', /Not started before its deadline/);
    assert.deepEqual(seen, ['before @0']);
  });

  test('without a worker, tasks stay queued; idle names them', async () => {
    const { fleet } = await startFleet({ worker: false });
    const queued = await fleet.producer.enqueue(note, { text: 'queued' });
    assert.equal(fleet.worker, null);
    await assert.rejects(
      fleet.idle({ timeoutMs: 10 }),
      (error) => isFleetError(error, 'WAIT_TIMEOUT') && error.message.includes(queued.id),
    );
  });

  test('runDelayed passes every retry, whatever its backoff', async () => {
    const { fleet, seen } = await startFleet();
    const task = await fleet.producer.enqueue(note, { text: 'failing', failures: 5 });
    await fleet.runDelayed({ timeoutMs: 60_000 });
    assert.deepEqual(
      seen,
      [0, 1, 3, 7, 15].map((minute) => `failing @${minute}`),
    );
    assert.equal((await fleet.producer.get(task))?.state, 'failed');
  });

  test('a running task that waits for its stop is named, and may be left out', async () => {
    const { fleet, seen } = await startFleet();
    const running = await fleet.producer.enqueue(wait, null);
    await fleet.producer.enqueue(note, { text: 'delayed' }, { delay: 60_000 });
    await assert.rejects(
      fleet.idle({ timeoutMs: 200 }),
      (error) => isFleetError(error, 'WAIT_TIMEOUT') && error.message.includes(running.id),
    );
    await fleet.advance('1m', { running: false, timeoutMs: 60_000 });
    assert.equal((await fleet.producer.stop(running, { waitMs: 60_000 })).outcome, 'cancelled');
    await fleet.idle({ timeoutMs: 60_000 });
    assert.deepEqual(seen, ['delayed @1']);
  });

  test('a paused queue is idle, and its tasks start after the pause', async () => {
    const { fleet, seen } = await startFleet();
    await fleet.producer.enqueue(note, { text: 'before' });
    await fleet.idle({ timeoutMs: 60_000 });
    await fleet.producer.queues.pause('note');
    await fleet.producer.enqueue(note, { text: 'paused' });
    await fleet.idle({ timeoutMs: 60_000 });
    assert.deepEqual(seen, ['before @0']);
    await fleet.producer.queues.resume('note');
    await fleet.idle({ timeoutMs: 60_000 });
    assert.deepEqual(seen, ['before @0', 'paused @0']);
  });

  test('refuses fake timers', async () => {
    const real = globalThis.setTimeout;
    globalThis.setTimeout = Object.assign((...args: Parameters<typeof real>) => real(...args), { clock: {} }) as unknown as typeof real;
    try {
      await assert.rejects(testFleet(), (error) => isFleetError(error, 'INVALID_OPTION'));
    } finally {
      globalThis.setTimeout = real;
    }
  });

  test('two fleets of a process share a server and no tasks; the Redis of a caller is left clean', async () => {
    const [one, two] = [await startFleet(), await startFleet()];
    assert.equal(one.fleet.address.redisUrl, two.fleet.address.redisUrl);
    await one.fleet.producer.enqueue(note, { text: 'one' });
    await Promise.all([one.fleet.idle({ timeoutMs: 60_000 }), two.fleet.idle({ timeoutMs: 60_000 })]);
    assert.deepEqual([one.seen, two.seen], [['one @0'], []]);
    const given = await startFleet({ redisUrl: one.fleet.address.redisUrl });
    await given.fleet.producer.enqueue(note, { text: 'given' });
    await given.fleet.idle({ timeoutMs: 60_000 });
    await given.fleet.stop();
    const { redis } = one.fleet.producer.store;
    assert.deepEqual(await redis.keys(`${given.fleet.address.keyPrefix}:*`), []);
  });

  test('rejects if the Redis of the caller is down', { timeout: 120_000 }, async () => {
    const nowhere = { redisUrl: 'redis://127.0.0.1:1', settings: { connectTimeoutMs: 100 } };
    await assert.rejects(testFleet(nowhere), (error) => isFleetError(error, 'REDIS_UNAVAILABLE'));
  });
});
