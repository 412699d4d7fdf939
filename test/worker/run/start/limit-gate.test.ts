import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { z } from 'zod';
import type { Producer } from '../../../../producer/index.js';
import { RetryAfter } from '../../../../shared/attempt/retry-after.js';
import { marksOf, stepsOf } from '../../../../shared/limiter/marks.js';
import type { Store } from '../../../../shared/store.js';
import { defineTask } from '../../../../shared/task/definition.js';
import { defineHandler } from '../../../../shared/task/handler.js';
import { LimitedJobs } from '../../../support/fleet/limited-jobs.js';
import { LogLines } from '../../../support/fleet/log-lines.js';
import { endOf } from '../../../support/fleet/own-worker.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { KEEP } from '../../../support/task/keep.js';
import { type HandlerCall, ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';

const ONE_PER_ITEM = { concurrency: { by: 'item', limit: 1 } } as const;
const HOUR_MS = 3_600_000;

describe('A task with limits that is fetched', () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  /** Opens a fleet with a worker for one scripted task. */
  async function open(options: ConstructorParameters<typeof ScriptedTask>[1], config: Parameters<TestFleet['worker']>[2] = {}) {
    const prefix = fleet.newPrefix();
    const task = new ScriptedTask('limited.task', options);
    const store = fleet.store({ keyPrefix: prefix });
    const producer = fleet.producer({ keyPrefix: prefix });
    const jobs = new LimitedJobs(store, task.definition);
    const start = () => fleet.worker(prefix, [task.handler], config);
    return { prefix, task, store, producer, jobs, start, worker: await start() };
  }
  const parkedAre = (jobs: LimitedJobs, ids: readonly string[]) =>
    until(
      () => jobs.parked(),
      (parked) => parked.join() === ids.join(),
    );
  const leftovers = async (store: Store) =>
    (await fleet.written(store.keys.prefix)).filter((key) => /:limits:(?!defined|seq|tended)/.test(key));

  it('is parked while its key has no place, which costs no attempt, and starts when the place is freed', async () => {
    const { task, store, producer, jobs } = await open({ ...ONE_PER_ITEM, retry: { attempts: 1 } });
    for (const id of ['a1', 'a2', 'a3', 'b1']) await jobs.add(id, id[0] as string);
    const [first, other] = [await task.call(0), await task.call(1)];
    assert.deepEqual([first.context.id, other.context.id], ['a1', 'b1']);
    await parkedAre(jobs, ['a2', 'a3']);
    first.returns();
    const second = await task.call(2);
    assert.deepEqual([second.context.id, second.context.attempt], ['a2', 1]);
    await parkedAre(jobs, ['a3']);
    second.returns('done');
    (await task.call(3)).returns();
    other.returns();
    const ended = await endOf(producer, 'a2');
    assert.deepEqual([ended.state, ended.result, ended.attempts?.length], ['completed', 'done', 1]);
    await until(
      () => leftovers(store),
      (left) => left.length === 0,
    );
  });

  const ends: readonly (readonly [what: string, end: (call: HandlerCall, producer: Producer) => unknown, state: string])[] = [
    ['completes', (call) => call.returns(), 'completed'],
    ['fails', (call) => call.throws(new RangeError('final')), 'failed'],
    ['waits for a retry', (call) => call.throws(new Error('again')), 'retrying'],
    ['asks for a retry that does not count', (call) => call.throws(new RetryAfter(HOUR_MS, 'later', { countAttempt: false })), 'retrying'],
    [
      'is stopped',
      (call, producer) => Promise.all([producer.stop(call.context.id), call.aborted.then((cause) => call.throws(cause))]),
      'cancelled',
    ],
    ['is abandoned after a stop', (call, producer) => producer.stop(call.context.id), 'cancelled'],
  ];
  for (const [what, end, state] of ends) {
    it(`gets the place of a task that ${what}`, async () => {
      const retry = { attempts: 3, backoff: { type: 'fixed', delayMs: HOUR_MS, jitter: 0 }, except: ['RangeError'] } as const;
      const { task, producer, jobs } = await open({ ...ONE_PER_ITEM, retry });
      await jobs.add('one', 'chat');
      const first = await task.call(0);
      await jobs.add('two', 'chat');
      await parkedAre(jobs, ['two']);
      await end(first, producer);
      const second = await task.call(1);
      assert.equal(second.context.id, 'two');
      assert.equal((await producer.get('one'))?.state, state);
      second.returns();
      await endOf(producer, 'two');
    });
  }

  it('is settled at once by a stop while it is parked, and the next in line starts', async () => {
    const { task, store, producer, jobs } = await open(ONE_PER_ITEM);
    await jobs.add('one', 'chat');
    const first = await task.call(0);
    for (const id of ['two', 'three']) await jobs.add(id, 'chat');
    await parkedAre(jobs, ['three', 'two']);
    const receipt = await producer.stop('two');
    assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'queue']);
    await until(
      () => store.limiter.records(['two']),
      (records) => records.size === 0,
    );
    first.returns();
    const next = await task.call(1);
    assert.equal(next.context.id, 'three');
    next.returns();
    await endOf(producer, 'three');
    assert.equal(task.calls.length, 2);
  });

  it('keeps its place while it is requeued, and runs before the next in line', async () => {
    const { task, producer, jobs, start, worker } = await open(ONE_PER_ITEM);
    await jobs.add('one', 'chat');
    const first = await task.call(0);
    await jobs.add('two', 'chat');
    await parkedAre(jobs, ['two']);
    void first.aborted.then((cause) => first.throws(cause));
    await worker.stop();
    await start();
    const again = await task.call(1);
    assert.deepEqual([again.context.id, await jobs.parked()], ['one', ['two']]);
    again.returns();
    const next = await task.call(2);
    assert.equal(next.context.id, 'two');
    next.returns();
    await endOf(producer, 'two');
  });

  it('keeps its place after the loss of its worker, while it waits for another lost task to run alone', async () => {
    const { task, store, producer, jobs, start, worker } = await open(ONE_PER_ITEM);
    await worker.stop();
    const { name, queue } = task.definition;
    for (const id of ['other', 'one', 'two']) await jobs.add(id, id === 'other' ? id : 'chat');
    for (const id of ['other', 'one']) await fleet.client.hset(store.keys.jobs(queue) + id, 'stc', task.definition.onWorkerLost.retries);
    const steps = stepsOf(task.definition, marksOf(task.definition, { input: {}, item: 'chat' }) ?? []);
    await store.limiter.start({ id: 'one', queue, name, priority: 0, steps, run: 'of the lost worker' });
    await start();
    const alone = await task.call(0);
    assert.equal(alone.context.id, 'other');
    await parkedAre(jobs, ['two']);
    const delayed = `${store.keys.jobs(queue)}delayed`;
    await until(
      () => fleet.client.zscore(delayed, 'one'),
      (score) => score !== null,
    );
    alone.returns();
    for (const [index, id] of ['one', 'two'].entries()) {
      const call = await task.call(index + 1);
      assert.equal(call.context.id, id);
      call.returns();
    }
    await Promise.all(['other', 'one', 'two'].map((id) => endOf(producer, id)));
  });

  it('never runs beside another one of its key while tasks fail and are retried at once on two workers', async () => {
    const retry = { attempts: 20, backoff: { type: 'fixed', delayMs: 0, jitter: 0 } } as const;
    const definition = defineTask({ name: 'crowd.task', input: z.object({}), retention: KEEP, retry, ...ONE_PER_ITEM });
    const running = new Set<string>();
    const overlaps: string[] = [];
    const handler = defineHandler(definition, async ({ id, attempt }) => {
      if (running.size > 0) overlaps.push(`${id} beside ${[...running].join()}`);
      running.add(id);
      await turn();
      running.delete(id);
      if (attempt < 12) throw new Error('again');
    });
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const jobs = new LimitedJobs(fleet.store({ keyPrefix }), definition);
    const ids = Array.from({ length: 5 }, (_, index) => `task-${index}`);
    for (const id of ids) await jobs.add(id, 'chat');
    await Promise.all([fleet.worker(keyPrefix, [handler]), fleet.worker(keyPrefix, [handler])]);
    const views = await Promise.all(ids.map((id) => endOf(producer, id)));
    assert.deepEqual([overlaps, views.map(({ state, attempt }) => [state, attempt])], [[], ids.map(() => ['completed', 12])]);
  });

  it('waits for its rate without a slot, and starts at its time', async () => {
    const { task, store, producer, jobs } = await open({ rate: { limit: 2, per: '2s', burst: 1 } }, { concurrency: 1 });
    for (const id of ['one', 'two', 'three']) await jobs.add(id, 'chat');
    const times: number[] = [];
    for (let index = 0; index < 3; index += 1) {
      const call = await task.call(index);
      times.push(store.clock.now());
      call.returns();
    }
    await Promise.all(['one', 'two', 'three'].map((id) => endOf(producer, id)));
    const [first = 0, second = 0, third = 0] = times;
    assert.ok(second - first >= 900 && third - second >= 900, `started at ${times.join()}`);
  });

  it('does not run while its limits cannot be read, and is logged once', async () => {
    const log = new LogLines();
    const { task, store, producer, jobs } = await open(ONE_PER_ITEM, { loggers: log.loggers });
    await fleet.client.set(store.keys.limiter('tasks'), 'text');
    for (const id of ['one', 'two']) await jobs.add(id, id);
    await log.waitFor(/Could not check the limits/);
    const due = await until(
      () => fleet.client.zcard(`${store.keys.jobs(task.definition.queue)}delayed`),
      (delayed) => delayed === 2,
    );
    assert.deepEqual([due, task.calls.length, log.find(/Could not check the limits/).length], [2, 0, 1]);
    await fleet.client.del(store.keys.limiter('tasks'));
    for (const index of [0, 1]) (await task.call(index)).returns();
    const views = await Promise.all(['one', 'two'].map((id) => endOf(producer, id)));
    assert.deepEqual(
      views.map(({ state, attempt }) => [state, attempt]),
      [
        ['completed', 1],
        ['completed', 1],
      ],
    );
  });

  it('without limits asks for nothing', async () => {
    const { task, store, producer } = await open({});
    const monitor = await fleet.monitor();
    const { id } = await producer.enqueue(task.definition, {}, { item: 'chat' });
    (await task.call(0)).returns();
    await endOf(producer, id);
    const commands = await monitor.stop();
    assert.deepEqual(
      commands.filter((words) => words.some((word) => word.startsWith(store.keys.limiter('')))),
      [],
    );
  });
});
