import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { UnrecoverableError, Worker } from 'bullmq';
import { z } from 'zod';
import { createKeys } from '../../../shared/keys.js';
import { TimedOut } from '../../../shared/stop/cause.js';
import { fleetCanary } from '../../../worker/builtin/definitions.js';
import { createWorker, defineHandler, defineTask } from '../../../worker/index.js';
import { endOf, ownWorker } from '../../support/fleet/own-worker.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

describe('A worker', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  it('retries a failing task with its attempts and backoff', async () => {
    const task = new ScriptedTask('try.again', { retry: { attempts: 3, backoff: { type: 'fixed', delayMs: 60, jitter: 0 } } });
    const { prefix, producer, worker } = await ownWorker(fleet, [task.handler]);
    const { id } = await producer.enqueue(task.definition, {});
    const times: number[] = [];
    for (let index = 0; index < 3; index += 1) {
      const call = await task.call(index);
      times.push(performance.now());
      assert.equal(call.context.attempt, index + 1);
      call.throws(new Error(`attempt ${index + 1}`));
    }
    const view = await endOf(producer, id);
    assert.deepEqual([view.state, view.attempt, view.error], ['failed', 3, 'attempt 3']);
    assert.ok((times[1] ?? 0) - (times[0] ?? 0) >= 55 && (times[2] ?? 0) - (times[1] ?? 0) >= 55, times.join(' '));
    await worker.stop();
    await fleet.emptied(prefix);
  });

  it('keeps a task registered until its last attempt has ended', async () => {
    const task = new ScriptedTask('try.listed', { retry: { attempts: 2, backoff: { delayMs: 0 } } });
    const { prefix, producer } = await ownWorker(fleet, [task.handler]);
    const { id } = await producer.enqueue(task.definition, {}, { item: 'chat-1' });
    (await task.call()).throws(new Error('once'));
    const call = await task.call(1);
    assert.equal(await fleet.client.hget(`${prefix}:tasks`, id), 'chat-1');
    call.returns();
    assert.equal((await endOf(producer, id)).state, 'completed');
  });

  it('does not retry after an UnrecoverableError or a bad input', async () => {
    const task = new ScriptedTask('try.once', { input: z.object({ n: z.number() }), retry: { attempts: 5, backoff: { delayMs: 0 } } });
    const { prefix, producer } = await ownWorker(fleet, [task.handler]);
    const { id } = await producer.enqueue(task.definition, { n: 1 });
    (await task.call()).throws(new UnrecoverableError('no use'));
    const view = await endOf(producer, id);
    assert.deepEqual([view.state, view.attempt, view.error], ['failed', 1, 'no use']);

    const store = fleet.store({ keyPrefix: prefix });
    await store.queues.get('try').add('try.once', { n: 'one' }, { jobId: 'bad-input', attempts: 5 });
    const bad = await endOf(producer, 'bad-input');
    assert.equal(bad.state, 'failed');
    assert.match(bad.error ?? '', /^Bad input for try\.once: n: /);
    assert.equal(task.calls.length, 1);
  });

  it('aborts a task at its timeout, and fails it for good', async () => {
    const task = new ScriptedTask('time.out', { timeoutMs: 30, retry: { attempts: 5, backoff: { delayMs: 0 } } });
    const { producer } = await ownWorker(fleet, [task.handler]);
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    const cause = await call.aborted;
    assert.ok(cause instanceof TimedOut && cause.timeoutMs === 30);
    call.throws(cause);
    const view = await endOf(producer, id);
    assert.deepEqual([view.state, view.attempt, view.error], ['failed', 1, 'Timed out after 30 ms']);
  });

  it('retries after a timeout if the definition says so, and abandons a deaf handler', async () => {
    const task = new ScriptedTask('time.retry', { timeoutMs: 30, retryOnTimeout: true, retry: { attempts: 2, backoff: { delayMs: 0 } } });
    const { producer, worker } = await ownWorker(fleet, [task.handler], { stopGraceMs: 10 });
    const { id } = await producer.enqueue(task.definition, {});
    (await task.call(1)).returns('second time');
    const view = await endOf(producer, id);
    assert.deepEqual([view.state, view.attempt, view.result], ['completed', 2, 'second time']);
    assert.equal(worker.status().zombies, 1);
    task.calls[0]?.returns();
  });

  it('runs a task with the longest timeout', async () => {
    const task = new ScriptedTask('time.long', { timeoutMs: 2_147_483_647 });
    const { producer } = await ownWorker(fleet, [task.handler]);
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    const other = await producer.enqueue(fleetCanary, { run_ms: 5 });
    await producer.result(other);
    assert.equal(call.context.signal.aborted, false);
    call.returns();
    assert.equal((await endOf(producer, id)).state, 'completed');
    assert.throws(() => defineTask({ name: 'time.longer', input: z.unknown(), timeoutMs: 2_147_483_648, retention: KEEP }), {
      code: 'INVALID_DEFINITION',
    });
  });

  it('fails a task whose output does not match its schema, or is not JSON', async () => {
    const output = z.object({ n: z.number() });
    const results = { 'out.bad': { n: 'one' }, 'out.none': undefined, 'out.good': { n: 1 } } as const;
    const tasks = Object.entries(results).map(([name, result]) => {
      const definition = defineTask({ name, input: z.unknown(), output, retention: KEEP });
      return { definition, handler: defineHandler(definition, () => result as { n: number }) };
    });
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    const notJson = defineTask({ name: 'out.circle', input: z.unknown(), retention: KEEP });
    const { prefix, producer, worker } = await ownWorker(fleet, [
      ...tasks.map(({ handler }) => handler),
      defineHandler(notJson, () => circle),
    ]);
    const views = [];
    for (const { definition } of [...tasks, { definition: notJson }])
      views.push(await endOf(producer, (await producer.enqueue(definition, {})).id));
    assert.deepEqual(
      views.map(({ state }) => state),
      ['failed', 'failed', 'completed', 'failed'],
    );
    assert.match(views[0]?.error ?? '', /^Bad output of out\.bad: n: /);
    assert.match(views[1]?.error ?? '', /^Bad output of out\.none: /);
    assert.match(views[3]?.error ?? '', /circular/i);
    await worker.stop();
    await fleet.emptied(prefix);
  });

  it('stores null for a task without a result', async () => {
    const task = new ScriptedTask('out.nothing');
    const { producer } = await ownWorker(fleet, [task.handler]);
    const { id } = await producer.enqueue(task.definition, {});
    (await task.call()).returns(undefined);
    assert.equal(await producer.result(id), null);
  });

  it('runs a plain BullMQ job, and registers it meanwhile', async () => {
    const task = new ScriptedTask('plain.job', { input: z.object({ n: z.number().default(4) }) });
    const { prefix, producer, worker } = await ownWorker(fleet, [task.handler]);
    const store = fleet.store({ keyPrefix: prefix });
    const job = await store.queues.get('plain').add('plain.job', {});
    const call = await task.call();
    assert.deepEqual(call.context.input, { n: 4 });
    assert.equal(call.context.item, null);
    // The registration and the settlement use one connection, this read another.
    const registered = async () => fleet.client.hget(`${prefix}:tasks`, job.id as string);
    assert.equal(await until(registered, (item) => item !== null), '');
    assert.equal(await fleet.client.hget(`${prefix}:tasks:queues`, job.id as string), 'plain');
    assert.deepEqual(
      (await producer.list()).tasks.map(({ id }) => id),
      [job.id],
    );
    call.returns(5);
    await worker.stop();
    assert.equal((await store.queues.get('plain').getJob(job.id as string))?.returnvalue, 5);
    await fleet.emptied(prefix);
  });

  it('fails a job with corrupt data at once, without a retry', async () => {
    const task = new ScriptedTask('broken.data');
    const { prefix, producer, worker } = await ownWorker(fleet, [task.handler]);
    await worker.stop();
    const { id } = await producer.enqueue(task.definition, {});
    // As after a first attempt with output.
    await fleet.client.hset(`${prefix}:bull:broken:${id}`, 'data', '{"n":', 'ats', '1');
    const events = createKeys(prefix).events(id);
    await fleet.client.xadd(events, '*', 'type', 'chunk', 'data', '"so far"');
    const other = await fleet.worker(prefix, [task.handler]);
    const view = await endOf(producer, id);
    assert.equal(view.state, 'failed');
    assert.match(view.error ?? '', /data is not JSON/);
    await other.stop();
    assert.deepEqual([task.calls.length, await fleet.registrySize(prefix)], [0, EMPTY_REGISTRY]);
    const [[, fields] = []] = await fleet.client.xrevrange(events, '+', '-', 'COUNT', 1);
    assert.deepEqual(fields, ['type', 'state', 'data', '"failed"']);
  });

  it('of plain BullMQ also honours a stop: it fails the job without running it', async () => {
    const prefix = fleet.newPrefix();
    const store = fleet.store({ keyPrefix: prefix });
    const job = await store.queues.get('plain').add('plain.stop', {}, { attempts: 5, delay: 60_000, jobId: 'stopped' });
    await fleet.client.hset(`${prefix}:bull:plain:${job.id}`, 'stop', '{"reason":null,"by":null,"at":1}', 'defa', 'Stopped');
    let calls = 0;
    const plain = new Worker('plain', () => Promise.resolve((calls += 1)), {
      connection: { port: fleet.redis.port },
      prefix: `${prefix}:bull`,
    });
    const failed = once(plain, 'failed');
    await job.promote();
    const [, error] = (await failed) as [unknown, Error];
    await plain.close();
    assert.deepEqual([calls, error.message], [0, 'Stopped']);
    await store.redis.sadd(store.keys.queues, 'plain');
    assert.equal((await store.reader.read(['stopped'])).get('stopped')?.state, 'cancelled');
  });

  it('refuses isolated handlers without a module', async () => {
    const definition = defineTask({ name: 'thread.less', input: z.object({ thread: z.boolean() }), retention: KEEP });
    const always = defineHandler(definition, () => 1, { isolate: true });
    await assert.rejects(createWorker({ redisUrl: fleet.redis.url, handlers: [always], logLevel: 'silent' }), {
      code: 'INVALID_DEFINITION',
      message: /taskModules/,
    });
    let calls = 0;
    const sometimes = defineHandler(definition, () => (calls += 1), { isolate: ({ thread }) => thread });
    const { producer } = await ownWorker(fleet, [sometimes]);
    const refused = await endOf(producer, (await producer.enqueue(definition, { thread: true })).id);
    assert.equal(refused.state, 'failed');
    assert.match(refused.error ?? '', /taskModules/);
    assert.equal(await producer.result(await producer.enqueue(definition, { thread: false })), 1);
  });

  it('refuses two handlers of one task, and invalid settings', async () => {
    const task = new ScriptedTask('fleet.canary');
    const config = { redisUrl: fleet.redis.url, logLevel: 'silent' } as const;
    await assert.rejects(createWorker({ ...config, handlers: [task.handler] }), { code: 'INVALID_DEFINITION' });
    await assert.rejects(createWorker({ ...config, concurrency: 0 }), { code: 'INVALID_SETTINGS', message: /WORKER_CONCURRENCY/ });
    await assert.rejects(createWorker({ ...config, redisUrl: '' }), { code: 'INVALID_SETTINGS' });
  });
});
