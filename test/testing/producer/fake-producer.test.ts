import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { TaskCancelled, defineTask, isFleetError } from '../../../index.js';
import { Producer, type TaskEvent } from '../../../producer/index.js';
import { fakeProducer } from '../../../testing/index.js';

const answer = defineTask({
  name: 'chat.answer',
  input: z.object({ prompt: z.string().min(1), model: z.string().default('small') }),
  output: z.object({ text: z.string() }),
  chunk: z.string(),
  retry: { attempts: 2, backoff: { delayMs: 60_000, jitter: 0 } },
  tags: ({ input }) => [`model:${input.model}`],
});
const oneEach = defineTask({ name: 'doc.index', input: z.string(), concurrency: { by: 'item', limit: 1 }, whenBusy: 'reject' });

/** What a route of a service takes. */
const enqueueAnswer = (producer: Producer, prompt: string) => producer.enqueue(answer, { prompt }, { item: 'chat-1' });
const rejectsWith = (promise: Promise<unknown>, ...codes: Parameters<typeof isFleetError>[1][]) =>
  assert.rejects(promise, (error) => isFleetError(error, ...codes));

/** Collects what a follower sees, in words. */
async function follow(events: AsyncIterable<TaskEvent>): Promise<string[]> {
  const seen: string[] = [];
  for await (const event of events)
    seen.push(
      event.type === 'state' ? event.state : `${event.type} ${JSON.stringify(event.type === 'chunk' ? event.chunk : event.progress)}`,
    );
  return seen;
}

describe('fakeProducer', () => {
  test('is a Producer, and records enqueues as JSON carries them', async () => {
    const fake = fakeProducer();
    const real: Producer = fake;
    assert.ok(real instanceof Producer);
    const task = await enqueueAnswer(real, 'Hello');
    assert.deepEqual([task.name, task.queue, task.item, task.duplicate], ['chat.answer', 'chat', 'chat-1', false]);
    const [recorded] = fake.enqueued;
    assert.deepEqual(
      [recorded?.id, recorded?.input, recorded?.item, recorded?.tags, recorded?.delay, recorded?.parent],
      [task.id, { prompt: 'Hello' }, 'chat-1', ['model:small'], 0, null],
    );
    fake.reset();
    assert.deepEqual([fake.enqueued, await fake.get(task)], [[], null]);
  });

  test('refuses what the real one refuses, and records nothing then', async () => {
    const fake = fakeProducer({ settings: { maxInputBytes: 1_024 } });
    await rejectsWith(fake.enqueue(answer, { prompt: '' }), 'INVALID_INPUT');
    await rejectsWith(fake.enqueue(answer, { prompt: 'x'.repeat(2_000) }), 'INPUT_TOO_LARGE');
    await rejectsWith(fake.enqueue(answer, { prompt: 'a' }, { id: 'a:b' }), 'INVALID_ID');
    await rejectsWith(fake.enqueue(answer, { prompt: 'a' }, { item: '' }), 'INVALID_ITEM');
    await rejectsWith(fake.enqueue(answer, { prompt: 'a' }, { priority: -1 }), 'INVALID_OPTION');
    await rejectsWith(fake.enqueueMany(answer, [{ input: { prompt: 'a' } }, { input: { prompt: '' } }]), 'INVALID_INPUT');
    await rejectsWith(fake.list({ state: 'lost' as never }), 'INVALID_OPTION');
    await rejectsWith(fake.stop('unknown', { waitMs: -1 }), 'INVALID_OPTION');
    await rejectsWith(fake.schedules.upsert('nightly', answer, { prompt: 'a' }, { cron: 'never' }), 'INVALID_OPTION');
    assert.equal(fake.enqueued.length, 0);
  });

  test('the test ends tasks: result, events and logs follow', async () => {
    const fake = fakeProducer();
    const task = await enqueueAnswer(fake, 'Hello');
    const [result, events] = [fake.result(task), follow(fake.events(task))];
    fake.emit(task, 'Hi');
    fake.progress(task, { done: 1, total: 2 });
    fake.log(task, 'info', 'Answered', { tokens: 3 });
    assert.equal((await fake.get(task))?.state, 'running');
    assert.throws(
      () => fake.emit(task, 1),
      (error) => isFleetError(error, 'INVALID_OUTPUT'),
    );
    assert.throws(
      () => fake.finish(task, { text: 1 } as never),
      (error) => isFleetError(error, 'INVALID_OUTPUT'),
    );
    fake.finish(task, { text: 'Hi' });
    assert.deepEqual(await result, { text: 'Hi' });
    assert.deepEqual(await events, ['queued', 'running', 'chunk "Hi"', 'progress {"done":1,"total":2}', 'completed']);
    // A later follower sees the same.
    assert.deepEqual(await follow(fake.events(task)), ['queued', 'running', 'chunk "Hi"', 'progress {"done":1,"total":2}', 'completed']);
    const {
      lines: [line],
    } = await fake.logPage(task);
    for await (const followed of fake.logs(task, { follow: true })) assert.deepEqual(followed, line);
    assert.deepEqual([line?.message, line?.level, line?.fields], ['Answered', 'info', { tokens: 3 }]);
    assert.throws(
      () => fake.fail(task, new Error('late')),
      (error) => isFleetError(error, 'TASK_FINISHED'),
    );
    assert.throws(
      () => fake.start('unknown'),
      (error) => isFleetError(error, 'TASK_NOT_FOUND'),
    );
  });

  test('a failure is retried by the definition; then the task fails, and may be retried', async () => {
    const fake = fakeProducer();
    const task = await enqueueAnswer(fake, 'Hello');
    const result = fake.result(task);
    const failed = assert.rejects(result, (error) => isFleetError(error, 'TASK_FAILED') && (error.cause as Error).message === 'down again');
    fake.fail(task, new Error('down'));
    const retrying = await fake.get(task);
    assert.deepEqual([retrying?.state, retrying?.attempt, retrying?.error], ['retrying', 1, 'down']);
    assert.ok((retrying?.nextAttemptAt?.getTime() ?? 0) > Date.now() + 50_000);
    fake.fail(task, new Error('down again'));
    await failed;
    assert.deepEqual(
      (await fake.get(task))?.attempts?.map(({ outcome }) => outcome),
      ['failed', 'failed'],
    );
    assert.equal((await fake.retry(task)).state, 'queued');
    fake.finish(task, { text: 'up' });
    assert.deepEqual(await fake.result(task), { text: 'up' });
    const retried = await fake.get(task);
    assert.deepEqual([retried?.attempt, retried?.attempts?.map(({ number }) => number)], [1, [1, 2, 1]]);
    await rejectsWith(fake.retry(task), 'TASK_NOT_RETRYABLE');
    const final = await enqueueAnswer(fake, 'Hello');
    fake.fail(final, new Error('no'), { final: true });
    assert.equal((await fake.get(final))?.state, 'failed');
  });

  test('stops queued tasks at once and running ones by their handler, with children and receipts', async () => {
    const fake = fakeProducer();
    const queued = await enqueueAnswer(fake, 'one');
    const receipt = await fake.stop(queued, { reason: 'changed my mind', by: 'alice' });
    assert.deepEqual([receipt.outcome, receipt.via, receipt.by], ['cancelled', 'queue', 'alice']);
    await assert.rejects(fake.result(queued), (error) => error instanceof TaskCancelled && error.receipt.reason === 'changed my mind');
    const running = await enqueueAnswer(fake, 'two');
    fake.start(running);
    const parent = { id: running.id, queue: running.queue, item: 'chat-1' };
    const child = await fake.enqueueChild(parent, answer, { prompt: 'child' });
    assert.equal(fake.enqueued.at(-1)?.parent, running.id);
    const receipts = await fake.stopItem('chat-1', { waitMs: 2_000 });
    assert.deepEqual(
      new Map(receipts.map(({ id, outcome, via }) => [id, [outcome, via]])),
      new Map([
        [child.id, ['cancelled', 'queue']],
        [running.id, ['cancelled', 'signal']],
      ]),
    );
    assert.equal(await fake.hasActiveTasks('chat-1'), false);
    assert.equal((await fake.stop('unknown')).outcome, 'not_found');
    assert.equal((await fake.stop(running)).outcome, 'cancelled');
  });

  test('without heedStops, a running task is stopping until the test cancels it', async () => {
    const fake = fakeProducer({ heedStops: false });
    const task = await enqueueAnswer(fake, 'one');
    fake.start(task);
    assert.equal((await fake.stop(task)).outcome, 'requested');
    assert.equal((await fake.get(task))?.state, 'stopping');
    fake.cancel(task);
    assert.equal((await fake.get(task))?.state, 'cancelled');
  });

  test('follows ids, deduplication, busy items and busy keys', async () => {
    const fake = fakeProducer();
    const first = await fake.enqueue(answer, { prompt: 'a' }, { id: 'same' });
    assert.equal((await fake.enqueue(answer, { prompt: 'b' }, { id: 'same' })).duplicate, true);
    const once = await fake.enqueue(answer, { prompt: 'a' }, { dedupe: { key: 'k' } });
    assert.equal((await fake.enqueue(answer, { prompt: 'b' }, { dedupe: { key: 'k' } })).id, once.id);
    fake.finish(once, { text: '' });
    assert.equal((await fake.enqueue(answer, { prompt: 'b' }, { dedupe: { key: 'k' } })).duplicate, false);
    const debounced = await fake.enqueue(answer, { prompt: 'a' }, { dedupe: { key: 'd', mode: 'debounce', withinMs: 60_000 } });
    assert.equal(
      (await fake.enqueue(answer, { prompt: 'z' }, { dedupe: { key: 'd', mode: 'debounce', withinMs: 60_000 } })).id,
      debounced.id,
    );
    assert.equal((await fake.get(debounced))?.state, 'scheduled');
    assert.deepEqual(fake.enqueued.find(({ id }) => id === debounced.id)?.input, { prompt: 'z' });
    const old = await fake.enqueue(answer, { prompt: 'a' }, { item: 'chat-2' });
    await rejectsWith(fake.enqueue(answer, { prompt: 'b' }, { item: 'chat-2', whenBusy: 'reject' }), 'ITEM_BUSY');
    const next = await fake.enqueue(answer, { prompt: 'b' }, { item: 'chat-2', whenBusy: 'stop-previous' });
    assert.deepEqual(next.superseded, [old.id]);
    assert.equal((await fake.get(old))?.state, 'cancelled');
    await fake.enqueue(oneEach, 'a', { item: 'doc-1' });
    await rejectsWith(fake.enqueue(oneEach, 'b', { item: 'doc-1' }), 'ITEM_BUSY');
    const waits = await fake.enqueue(oneEach, 'b', { item: 'doc-1', whenBusy: 'wait' });
    const replacing = await fake.enqueue(oneEach, 'c', { item: 'doc-1', whenBusy: 'replace-waiting' });
    assert.deepEqual(replacing.superseded, [waits.id]);
    await fake.enqueue(oneEach, 'c', { item: 'doc-2' });
    assert.equal(first.id, 'same');
  });

  test('lists, counts and acts on many, with the filters of the real one', async () => {
    const fake = fakeProducer();
    const tasks = await fake.enqueueMany(
      answer,
      ['a', 'b', 'c'].map((prompt) => ({ input: { prompt }, item: `chat-${prompt}` })),
    );
    fake.finish(tasks[0] as (typeof tasks)[0], { text: 'a' });
    fake.fail(tasks[1] as (typeof tasks)[1], new Error('Broken pipe'), { final: true });
    assert.deepEqual(
      (await fake.list()).tasks.map(({ item }) => item),
      ['chat-c'],
    );
    assert.deepEqual(
      (await fake.list({ state: 'failed', error: 'broken' })).tasks.map(({ item }) => item),
      ['chat-b'],
    );
    const page = await fake.list({ state: ['live', 'ended'], tag: 'model:small', limit: 2 });
    assert.equal(page.tasks.length, 2);
    assert.equal((await fake.list({ state: ['live', 'ended'], limit: 2, after: page.next as string })).tasks.length, 1);
    assert.equal((await fake.count({ name: 'chat.*', state: ['live', 'ended'] })).count, 3);
    assert.equal((await fake.retryWhere({ name: 'chat.answer' })).outcomes.retried, 1);
    assert.equal((await fake.stopWhere({ queue: 'chat' })).receipts.length, 2);
    assert.equal((await fake.list()).tasks.length, 0);
  });

  test('keeps schedules, pauses, tokens and usage', async () => {
    const fake = fakeProducer();
    const view = await fake.schedules.upsert('nightly', answer, { prompt: 'report' }, { cron: '0 3 * * *', timeZone: 'Europe/Berlin' });
    assert.ok(view.nextAt && view.nextAt.getTime() > Date.now());
    assert.deepEqual(
      (await fake.schedules.list()).map(({ id }) => id),
      ['nightly'],
    );
    const run = await fake.schedules.runNow('nightly');
    assert.deepEqual([fake.enqueued[0]?.id, fake.enqueued[0]?.input], [run.id, { prompt: 'report' }]);
    assert.equal((await fake.queues.pause('chat', { by: 'alice' })).paused?.by, 'alice');
    assert.equal((await fake.get(run))?.waitingFor?.kind, 'paused');
    assert.equal((await fake.queues.resume('chat')).paused, null);
    assert.equal(await fake.schedules.remove('nightly'), true);
    await rejectsWith(fake.schedules.runNow('nightly'), 'SCHEDULE_NOT_FOUND');
    await fake.usage.touch('small', 'session-1');
    assert.deepEqual(await fake.usage.inUse(), ['small']);
    assert.match((await fake.itemTokens.issue({ role: 'viewer', items: ['chat-1'] })).token, /^tfi_/);
    assert.deepEqual([(await fake.workers.list()).length, (await fake.billing.plans()).plans.length], [0, 0]);
    await rejectsWith(fake.workers.drain('w'), 'WORKER_NOT_FOUND');
  });

  test('plays an outage, and refuses calls once closed', async () => {
    const fake = fakeProducer();
    fake.available = false;
    await rejectsWith(enqueueAnswer(fake, 'a'), 'REDIS_UNAVAILABLE');
    fake.available = true;
    const task = await enqueueAnswer(fake, 'a');
    const waiting = rejectsWith(fake.result(task), 'CLOSED');
    await fake.ping();
    await fake.close();
    await waiting;
    await rejectsWith(enqueueAnswer(fake, 'a'), 'CLOSED');
  });
});
