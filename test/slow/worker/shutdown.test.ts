import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../producer/index.js';
import { ShuttingDown } from '../../../shared/stop/cause.js';
import { type FleetWorker, createWorker } from '../../../worker/index.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { spawnNode } from '../../support/process/processes.js';
import { KEEP } from '../../support/task/keep.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

/** An end that is not held up, on a busy machine. A faulty one hangs. */
const BUSY_MS = 30_000;

describe('A worker that shuts down', () => {
  let fleet: TestFleet;
  let prefix: string;
  let producer: Producer;
  let task: ScriptedTask;
  let log: LogLines;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function setUp(config: Parameters<TestFleet['worker']>[2] = {}): Promise<FleetWorker> {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    task = new ScriptedTask('end.task', { retry: { attempts: 3, backoff: { delayMs: 0 } } });
    log = new LogLines();
    return fleet.worker(prefix, [task.handler], { loggers: log.loggers, ...config });
  }

  it('stops fetching and lets a running task finish', async () => {
    const worker = await setUp({ shutdownTimeoutMs: 30_000, concurrency: 1 });
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    const { id: waiting } = await producer.enqueue(task.definition, {});
    const stopped = worker.stop();
    await log.waitFor(/no longer fetching tasks/);
    assert.equal(worker.status().draining, true);
    assert.equal(call.context.signal.aborted, false);
    call.returns('finished');
    await stopped;
    assert.equal(await producer.result(id), 'finished');
    assert.equal((await producer.get(waiting))?.state, 'queued');
    assert.equal(task.calls.length, 1);
  });

  it('names an unfinished task that Redis refuses to take back', async () => {
    await fleet.client.acl('SETUSER', 'leaving', 'on', '>pass', '~*', '&*', '+@all');
    const url = new URL(fleet.redis.url);
    url.username = 'leaving';
    url.password = 'pass';
    const worker = await setUp({ shutdownTimeoutMs: 20, redisUrl: url.href });
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    void call.aborted.then((cause) => call.throws(cause));
    await fleet.client.acl('SETUSER', 'leaving', '-eval', '-evalsha');
    await worker.stop();
    assert.deepEqual(
      log.find(/Could not record these results/).map(({ tasks }) => tasks),
      [[id]],
    );
  });

  it('requeues unfinished tasks without counting an attempt, and another worker runs them', async () => {
    const worker = await setUp({ shutdownTimeoutMs: 20 });
    const { id } = await producer.enqueue(task.definition, {}, { item: 'chat-1' });
    const call = await task.call();
    void call.aborted.then((cause) => call.throws(cause));
    await worker.stop();
    assert.ok((await call.aborted) instanceof ShuttingDown);
    const view = await producer.get(id);
    assert.deepEqual([view?.state, view?.attempt], ['queued', 0]);
    assert.equal(await producer.hasActiveTasks('chat-1'), true);
    await fleet.worker(prefix, [task.handler]);
    const again = await task.call(1);
    assert.equal(again.context.attempt, 1);
    again.returns('by another');
    assert.equal(await producer.result(id), 'by another');
  });

  it('keeps the result of a handler that returns after the abort', async () => {
    const worker = await setUp();
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    void call.aborted.then(() => call.returns('in time'));
    await worker.stop();
    assert.equal(await producer.result(id), 'in time');
  });

  it('abandons a handler that ignores the abort, and requeues its task', async () => {
    const worker = await setUp();
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    await worker.stop();
    assert.deepEqual([(await producer.get(id))?.state, worker.status().zombies], ['queued', 1]);
    call.returns('too late');
    assert.equal((await producer.get(id))?.state, 'queued');
  });

  it('does not wait longer for a stopped handler with a longer grace', async () => {
    const worker = await setUp({ stopGraceMs: 3_600_000 });
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    await producer.stop(id);
    await call.aborted;
    await worker.stop();
    const view = await producer.get(id);
    assert.deepEqual([view?.state, view?.stop?.via], ['cancelled', 'abandon']);
    await fleet.emptied(prefix);
    call.returns();
  });

  it('settles a task that is stopped while it is requeued', async () => {
    const worker = await setUp({ stopPollMs: 3_600_000 });
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    // The record alone, as if its message were on the way.
    void call.aborted.then(async (cause) => {
      await fleet.client.hset(
        `${prefix}:bull:end:${id}`,
        'stop',
        JSON.stringify({ reason: 'late', by: null, at: Date.now() }),
        'defa',
        'Stopped: late',
      );
      call.throws(cause);
    });
    await worker.stop();
    const view = await producer.get(id);
    assert.deepEqual([view?.state, view?.stop?.reason], ['cancelled', 'late']);
    await fleet.emptied(prefix);
  });

  it('shuts down once, no matter how often and how early it is stopped', async () => {
    const worker = await setUp();
    const first = worker.stop();
    assert.equal(worker.stop(), first);
    await Promise.all([first, worker.stop()]);
    await worker.stop();
    assert.equal(log.find(/no longer fetching tasks/).length, 1);
    await assert.rejects(worker.start(), { code: 'CLOSED' });
  });

  it('may be stopped before its start, without opening connections', async () => {
    const worker = await createWorker({ redisUrl: fleet.redis.url, keyPrefix: 'never', logLevel: 'silent' });
    await worker.stop();
    await assert.rejects(worker.start(), { code: 'CLOSED' });
    const clients = (await fleet.client.client('LIST')) as string;
    assert.equal(await fleet.client.exists('never:workers'), 0);
    assert.ok(!clients.includes('never'));
  });

  it('may be stopped while it starts', async () => {
    const worker = await createWorker({ redisUrl: fleet.redis.url, keyPrefix: fleet.newPrefix(), logLevel: 'silent' });
    const started = worker.start();
    await Promise.all([worker.stop(), started]);
  });

  it('does not wait for a hung Redis, and closes the rest', async () => {
    const own = await TestFleet.start();
    const hung = new ScriptedTask('end.task');
    const worker = await own.worker('hangs', [hung.handler]);
    await own.producer({ keyPrefix: 'hangs' }).enqueue(hung.definition, {});
    const call = await hung.call();
    process.kill(own.redis.pid, 'SIGSTOP');
    try {
      const startedAt = performance.now();
      await worker.stop();
      const ms = performance.now() - startedAt;
      assert.ok(ms < BUSY_MS, `ended after ${Math.round(ms)} ms`);
      assert.ok((await call.aborted) instanceof ShuttingDown);
      assert.equal(worker.status().subscribed, false);
    } finally {
      process.kill(own.redis.pid, 'SIGCONT');
      await own.stop();
    }
  });

  it('closes all its connections', async () => {
    const own = await TestFleet.start();
    const worker = await own.worker(own.newPrefix(), [new ScriptedTask('end.task').handler]);
    const count = async () => ((await own.client.client('LIST')) as string).trim().split('\n').length;
    assert.ok((await count()) > 3);
    await worker.stop();
    // A connection that was closed on our side may be in the list for a moment.
    await until(count, (clients) => clients === 1);
    await own.stop();
  });
});

describe('A process with a worker', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  const script = (body: string) => [
    '--input-type=module',
    '--eval',
    `import { createWorker, defineHandler, defineTask } from './dist/worker/index.js';
     import { z } from './node_modules/zod/index.js';
     const config = { redisUrl: '${fleet.redis.url}', keyPrefix: 'exit', logLevel: 'silent', shutdownTimeoutMs: 200, stopGraceMs: 100 };
     ${body}`,
  ];

  it('exits once the worker has stopped', async () => {
    const child = spawnNode(
      script(
        `const worker = await createWorker(config); await worker.start(); await worker.ready();
        await worker.stop(); console.log('stopped');`,
      ),
    );
    await child.waitForLine(/^stopped$/);
    assert.deepEqual(await child.exit, { code: 0, signal: null });
  });

  it('exits if the worker was never started', async () => {
    const child = spawnNode(script(`const worker = await createWorker(config); await worker.stop(); console.log('stopped');`));
    assert.deepEqual(await child.exit, { code: 0, signal: null });
    assert.equal(child.stdout.text, 'stopped');
  });

  it('exits in time if Redis is away when the worker stops with a running task', async () => {
    const own = await TestFleet.start();
    try {
      const child = spawnNode(
        script(`
        const never = defineTask({ name: 'never.ends', input: z.unknown(), retention: ${JSON.stringify(KEEP)} });
        const handlers = [defineHandler(never, () => { console.log('running'); return new Promise(() => undefined); })];
        const worker = await createWorker({ ...config, redisUrl: '${own.redis.url}', keyPrefix: 'away', handlers });
        await worker.start();
        await worker.ready();
        console.log('ready');
        process.once('SIGTERM', async () => {
          const startedAt = performance.now();
          await worker.stop();
          console.log('stopped after ' + Math.round(performance.now() - startedAt));
        });`),
      );
      await child.waitForLine(/^ready$/);
      await own.store({ keyPrefix: 'away' }).queues.get('never').add('never.ends', {});
      await child.waitForLine(/^running$/);
      await own.redis.kill();
      child.kill('SIGTERM');
      const [, ms] = await child.waitForLine(/^stopped after (\d+)$/);
      assert.ok(Number(ms) < BUSY_MS, `stopped after ${ms} ms`);
      assert.deepEqual(await child.exit, { code: 0, signal: null }, child.stderr.text);
    } finally {
      await own.stop();
    }
  });
});
