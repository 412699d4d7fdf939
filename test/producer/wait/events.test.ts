import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { z } from 'zod';
import type { TaskEvent } from '../../../producer/index.js';
import { isFleetError } from '../../../shared/errors.js';
import { defineTask } from '../../../shared/task/definition.js';
import { type TaskContext, defineHandler } from '../../../shared/task/handler.js';
import { deferred } from '../../support/deferred.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const talk = defineTask({ name: 'talk.on', input: z.object({}), retention: KEEP });

/** A producer, and a worker that runs `talk.on` with the given handler. */
async function open(handle: (context: TaskContext<object>) => unknown) {
  const keyPrefix = fleet.newPrefix();
  await fleet.worker(keyPrefix, [defineHandler(talk, handle)]);
  return fleet.producer({ keyPrefix });
}

async function collect(events: AsyncIterable<TaskEvent>): Promise<TaskEvent[]> {
  const all: TaskEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

const textOf = (event: TaskEvent): string =>
  event.type === 'chunk' ? String(event.chunk) : event.type === 'progress' ? JSON.stringify(event.progress) : `<${event.state}>`;
const idOf = (event: TaskEvent): string => event.id as string;

test('events start with the state, stay in order, and end with the terminal state', async () => {
  const go = deferred();
  const producer = await open(async ({ emit, progress }) => {
    await go.promise;
    for (let n = 0; n < 300; n += 1) emit(`${n}`);
    progress({ done: 1, total: 1 });
    return 'ok';
  });
  const task = await producer.enqueue(talk, {});
  const events = producer.events(task);
  const { value: first } = await events.next();
  assert.ok(first?.type === 'state' && ['queued', 'running'].includes(first.state));
  go.resolve();
  const rest = await collect(events);
  assert.deepEqual(
    rest.filter(({ type }) => type === 'chunk').map(textOf),
    Array.from({ length: 300 }, (_, n) => `${n}`),
  );
  assert.deepEqual(rest.filter(({ type }) => type === 'progress').map(textOf), ['{"done":1,"total":1}']);
  const states = [first, ...rest].flatMap((event) => (event.type === 'state' ? [event.state] : []));
  assert.deepEqual(
    states.filter((state) => state !== 'queued'),
    ['running', 'completed'],
  );
  assert.equal(rest.at(-1)?.type, 'state');
});

test('each chunk arrives while the task is still running', async () => {
  const steps = [deferred(), deferred(), deferred()];
  const producer = await open(async ({ emit }) => {
    for (const [n, step] of steps.entries()) {
      emit(`piece ${n}`);
      await step.promise;
    }
  });
  const task = await producer.enqueue(talk, {});
  const seen: string[] = [];
  for await (const event of producer.events(task)) {
    if (event.type !== 'chunk') continue;
    steps[seen.length]?.resolve();
    seen.push(textOf(event));
  }
  assert.deepEqual(seen, ['piece 0', 'piece 1', 'piece 2']);
});

test('following resumes after the last event seen', async () => {
  const producer = await open(({ emit }) => {
    for (let n = 0; n < 10; n += 1) emit(`${n}`);
  });
  const task = await producer.enqueue(talk, {});
  const all = await collect(producer.events(task));
  const chunks = all.filter(({ type }) => type === 'chunk');
  assert.equal(chunks.length, 10);
  for (const seen of [0, 4, 9]) {
    const rest = await collect(producer.events(task, { after: idOf(chunks[seen]!) }));
    assert.deepEqual(rest.map(textOf), [...chunks.slice(seen + 1).map(textOf), '<completed>']);
  }
});

test('resuming in the middle of a running task repeats and misses nothing', async () => {
  const half = deferred();
  const resumed = deferred();
  const producer = await open(async ({ emit }) => {
    for (let n = 0; n < 50; n += 1) emit(`${n}`);
    half.resolve();
    await resumed.promise;
    for (let n = 50; n < 100; n += 1) emit(`${n}`);
  });
  const task = await producer.enqueue(talk, {});
  const before: TaskEvent[] = [];
  for await (const event of producer.events(task)) {
    if (event.type === 'chunk') before.push(event);
    if (before.length === 30) break;
  }
  await half.promise;
  const events = producer.events(task, { after: idOf(before.at(-1)!) });
  const rest: TaskEvent[] = [];
  for await (const event of events) {
    resumed.resolve();
    if (event.type === 'chunk') rest.push(event);
  }
  assert.deepEqual(
    [...before, ...rest].map(textOf),
    Array.from({ length: 100 }, (_, n) => `${n}`),
  );
});

test('the events of an ended task are the stored events, then its state', async () => {
  const producer = await open(({ emit }) => emit('hello'));
  const quiet = await open(() => 'nothing to say');
  const task = await producer.enqueue(talk, {});
  await producer.result(task);
  const texts = (await collect(producer.events(task))).map(textOf);
  assert.deepEqual(texts, ['<queued>', '<running>', 'hello', '<completed>']);
  const silent = await quiet.enqueue(talk, {});
  await quiet.result(silent);
  assert.deepEqual((await collect(quiet.events(silent))).map(textOf), ['<queued>', '<running>', '<completed>']);
});

test('output emitted before a stop stays readable', async () => {
  const spoke = deferred();
  const producer = await open(async ({ emit, signal }) => {
    emit('half of it');
    spoke.resolve();
    await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
  });
  const task = await producer.enqueue(talk, {});
  const live = collect(producer.events(task));
  await spoke.promise;
  const receipt = await producer.stop(task, { waitMs: 60_000 });
  const at = receipt.settledAt as Date;
  assert.deepEqual((await live).at(-1), { type: 'state', id: null, at, state: 'cancelled', attempt: 1, receipt });
  assert.equal(receipt.via, 'signal');
  const seen = (await live).map(textOf).filter((text) => text !== '<queued>');
  assert.deepEqual(
    seen.filter((text) => text !== '<stopping>'),
    ['<running>', 'half of it', '<cancelled>'],
  );
  assert.ok((await collect(producer.events(task))).map(textOf).includes('half of it'));
});

test('a stop of a queued task ends its events', async () => {
  const producer = fleet.producer();
  const task = await producer.enqueue(talk, {});
  const events = producer.events(task);
  assert.equal(textOf((await events.next()).value as TaskEvent), '<queued>');
  const rest = collect(events);
  const receipt = await producer.stop(task, { reason: 'enough', by: 'alice' });
  assert.deepEqual(
    [(await rest).at(-1), receipt.via, receipt.by],
    [{ type: 'state', id: null, at: receipt.settledAt, state: 'cancelled', attempt: null, receipt }, 'queue', 'alice'],
  );
  assert.deepEqual(
    (await rest).map(textOf).filter((text) => text !== '<stopping>'),
    ['<cancelled>'],
  );
});

test('other final states have no receipt', async () => {
  const producer = await open(() => 'ok');
  const events = await collect(producer.events(await producer.enqueue(talk, {})));
  const { at, ...last } = events.at(-1) as TaskEvent;
  assert.deepEqual(last, { type: 'state', id: null, state: 'completed', attempt: 1 });
  assert.ok(at.getTime() > 0);
  assert.ok(events.every((event) => !('receipt' in event)));
});

test('the events of a retried task continue with its new run', async () => {
  const producer = await open(({ emit, attempt }) => {
    emit(`run ${attempt}`);
    throw new Error('no');
  });
  const task = await producer.enqueue(talk, {});
  await producer.waitUntilFinished(task);
  await producer.retry(task);
  await producer.waitUntilFinished(task);
  const texts = (await collect(producer.events(task))).map(textOf);
  assert.deepEqual(
    texts.filter((text) => text !== '<retrying>'),
    ['<queued>', '<running>', 'run 1', '<queued>', '<running>', 'run 1', '<failed>'],
  );
});

test('a signal ends the events with its reason, also while idle', async () => {
  const producer = fleet.producer();
  const controller = new AbortController();
  const events = producer.events(await producer.enqueue(talk, {}), { signal: controller.signal });
  await events.next();
  const next = events.next();
  controller.abort(new Error('client went away'));
  await assert.rejects(next, /client went away/);
});

test('an invalid event id or task id is refused', async () => {
  const producer = fleet.producer();
  const task = await producer.enqueue(talk, {});
  for (const wrong of ['', 'x', '1-', '-1', '1-2-3', '(1-0', '$', '+']) {
    await assert.rejects(producer.events(task, { after: wrong }).next(), (error) => isFleetError(error, 'INVALID_OPTION'), wrong);
  }
  await assert.rejects(producer.events('nobody').next(), (error) => isFleetError(error, 'TASK_NOT_FOUND'));
  await assert.rejects(producer.events('a\0b').next(), (error) => isFleetError(error, 'INVALID_ID'));
});
