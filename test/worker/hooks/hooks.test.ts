import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { after, before, describe, it } from 'node:test';
import { UnrecoverableError } from 'bullmq';
import { z } from 'zod';
import { StopRequested } from '../../../shared/stop/cause.js';
import type { AttemptEnd, AttemptStart, Middleware, TaskEnd, WorkerHooks } from '../../../worker/index.js';
import { createWorker, defineHandler, defineTask } from '../../../worker/index.js';
import { deferred } from '../../support/deferred.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { endOf, ownWorker } from '../../support/fleet/own-worker.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

/** Hooks that record their calls in order. */
class Recorder implements WorkerHooks {
  readonly starts: AttemptStart[] = [];
  readonly ends: AttemptEnd[] = [];
  readonly failures: TaskEnd[] = [];
  readonly finished: TaskEnd[] = [];
  readonly order: string[] = [];

  onAttemptStart(start: AttemptStart): void {
    this.starts.push(start);
    this.order.push(`start ${start.attempt}`);
  }

  onAttemptEnd(end: AttemptEnd): void {
    this.ends.push(end);
    this.order.push(`end ${end.attempt} ${end.outcome}`);
  }

  onTaskFailed(end: TaskEnd): void {
    this.failures.push(end);
    this.order.push('failed');
  }

  onTaskFinished(end: TaskEnd): void {
    this.finished.push(end);
    this.order.push(`finished ${end.state}`);
  }

  /** Resolves once `count` tasks have finished. */
  async tasks(count: number): Promise<void> {
    await until(
      () => Promise.resolve(this.finished.length),
      (length) => length >= count,
    );
  }
}

describe('The hooks of a worker', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  /** Adapts a recorder, whose methods are on its class and whose fields are not hooks. */
  const hooksOf = (recorder: Recorder): WorkerHooks => ({
    onAttemptStart: (start) => recorder.onAttemptStart(start),
    onAttemptEnd: (end) => recorder.onAttemptEnd(end),
    onTaskFailed: (end) => recorder.onTaskFailed(end),
    onTaskFinished: (end) => recorder.onTaskFinished(end),
  });

  it('see each attempt with its outcome, and the end of the task after it was written', async () => {
    const task = new ScriptedTask('hooked.retry', { retry: { attempts: 3, backoff: { delayMs: 0 } } });
    const recorder = new Recorder();
    const settled = deferred<string | undefined>();
    const { producer, worker } = await ownWorker(fleet, [task.handler], {
      hooks: {
        ...hooksOf(recorder),
        onTaskFinished: async (end) => {
          recorder.onTaskFinished(end);
          settled.resolve((await producer.get(end.task.id))?.state);
        },
      },
    });
    const { id } = await producer.enqueue(task.definition, { n: 1 }, { item: 'chat-1' });
    const thrown = [new TypeError('first'), Object.assign(new Error('second'), { code: 'E_TWO' }), new UnrecoverableError('third')];
    for (const [index, error] of thrown.entries()) (await task.call(index)).throws(error);
    await recorder.tasks(1);
    assert.equal(await settled.promise, 'failed');
    assert.deepEqual(recorder.order, [1, 2, 3].flatMap((n) => [`start ${n}`, `end ${n} failed`]).concat('failed', 'finished failed'));
    assert.ok(recorder.ends.every(({ error }, index) => error === thrown[index]));
    const hookTask = { id, name: 'hooked.retry', queue: 'hooked', item: 'chat-1' };
    const [start] = recorder.starts;
    assert.deepEqual([start?.task, start?.maxAttempts, start?.input, start?.worker], [hookTask, 3, { n: 1 }, worker.id]);
    const [end] = recorder.ends;
    assert.ok(end && end.durationMs >= 0 && end.endedAt.getTime() - end.startedAt.getTime() === end.durationMs);
    const [failure] = recorder.failures;
    assert.deepEqual([failure?.task, failure?.state, failure?.attempts, failure?.error], [hookTask, 'failed', 3, thrown[2]]);
    const [{ finishedAt, totalMs } = assert.fail()] = recorder.finished;
    assert.deepEqual(finishedAt, (await producer.get(id))?.finishedAt);
    assert.ok(totalMs !== null && totalMs >= 0 && totalMs < 60_000);
  });

  it('tell a stop, a timeout, a shutdown and a refused result apart', async () => {
    const slow = new ScriptedTask('hooked.slow', { timeoutMs: 20 });
    const stopped = new ScriptedTask('hooked.stopped');
    const numbers = defineTask({ name: 'hooked.number', input: z.object({ n: z.number() }), output: z.number(), retention: KEEP });
    const recorder = new Recorder();
    const handlers = [slow.handler, stopped.handler, defineHandler(numbers, () => 'none' as unknown as number)];
    const { producer, worker, prefix } = await ownWorker(fleet, handlers, { hooks: hooksOf(recorder) });
    await producer.enqueue(slow.definition, {});
    const late = await slow.call();
    late.throws(await late.aborted);
    await recorder.tasks(1);
    const { id } = await producer.enqueue(stopped.definition, {});
    const call = await stopped.call();
    await Promise.all([producer.stop(id), call.aborted.then((cause) => call.throws(cause))]);
    await recorder.tasks(2);
    await producer.enqueue(numbers, { n: 1 });
    await recorder.tasks(3);
    // Fails without an attempt.
    await fleet.store({ keyPrefix: prefix }).queues.get('hooked').add('hooked.number', { n: 'one' }, { jobId: 'bad' });
    await recorder.tasks(4);
    await producer.enqueue(stopped.definition, {});
    await stopped.call(1);
    await worker.stop();
    assert.deepEqual(recorder.order, [
      ...['start 1', 'end 1 timed_out', 'failed', 'finished failed'],
      ...['start 1', 'end 1 cancelled', 'finished cancelled'],
      ...['start 1', 'end 1 failed', 'failed', 'finished failed'],
      ...['failed', 'finished failed'],
      ...['start 1', 'end 1 requeued'],
    ]);
    const [timedOut, cancelled, refused] = recorder.ends;
    assert.match(timedOut?.error?.message ?? '', /Timed out after 20 ms/);
    assert.equal(cancelled?.error, null);
    assert.match(refused?.error?.message ?? '', /Bad output of hooked\.number/);
    assert.match(recorder.failures.at(-1)?.error?.message ?? '', /^Bad input for hooked\.number/);
    for (const end of recorder.finished) assert.equal(end.attempts, (await producer.get(end.task.id))?.attempt, end.task.name);
  });

  it('count no attempt for a task that was stopped before its worker fetched it', async () => {
    const task = new ScriptedTask('hooked.early');
    const recorder = new Recorder();
    const prefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix: prefix });
    const { id } = await producer.enqueue(task.definition, {});
    // As left by a process that recorded the stop and died.
    const stop = JSON.stringify({ reason: null, by: null, at: Date.now() });
    await fleet.client.hset(`${prefix}:bull:hooked:${id}`, 'stop', stop, 'defa', 'Stopped');
    await fleet.worker(prefix, [task.handler], { hooks: hooksOf(recorder) });
    await recorder.tasks(1);
    const [end] = recorder.finished;
    assert.deepEqual([recorder.order, end?.attempts], [['finished cancelled'], 0]);
    assert.equal((await producer.get(id))?.attempt, 0);
  });

  it('see a parent fail with its child, which BullMQ fails without a stop and without a run', async () => {
    const task = new ScriptedTask('hooked.parent');
    const recorder = new Recorder();
    const { producer, worker } = await ownWorker(fleet, [task.handler], { hooks: hooksOf(recorder) });
    const { id } = await producer.enqueue(task.definition, {}, { delay: 3_600_000 });
    const job = await producer.store.queues.get('hooked').getJob(id);
    await fleet.client.hset(producer.store.keys.jobs('hooked') + id, 'defa', 'child other failed');
    await job?.promote();
    await recorder.tasks(1);
    assert.deepEqual(
      recorder.finished.map(({ state }) => state),
      ['failed'],
    );
    assert.equal((await producer.get(id))?.state, 'failed');
    await worker.stop();
  });

  it('change no outcome by an error, which is logged; a worker waits for them when it stops', async () => {
    const log = new LogLines();
    const sent = deferred();
    let flushed = false;
    const hooks: WorkerHooks = {
      onAttemptStart: () => {
        throw new Error('no tracker');
      },
      onAttemptEnd: () => Promise.reject(new Error('no network')),
      onTaskFinished: () => sent.promise.then(() => (flushed = true)),
    };
    const task = new ScriptedTask('hooked.broken');
    const { producer, worker } = await ownWorker(fleet, [task.handler], { hooks, loggers: log.loggers });
    const { id } = await producer.enqueue(task.definition, {});
    (await task.call()).returns('fine');
    const view = await endOf(producer, id);
    assert.deepEqual([view.state, view.attempt, view.result], ['completed', 1, 'fine']);
    const [start, end] = [await log.waitFor(/Hook failed/), log.find(/Hook failed/).at(1)];
    assert.deepEqual([start['hook'], start['id'], end?.['hook']], ['onAttemptStart', id, 'onAttemptEnd']);
    assert.match(JSON.stringify([start, end]), /no tracker.*no network/);
    const stopped = worker.stop();
    sent.resolve();
    await stopped;
    assert.equal(flushed, true);
  });

  it('hear of a stop that the worker settled for a task that it did not run', async () => {
    const recorder = new Recorder();
    const { producer, prefix } = await ownWorker(fleet, [], { hooks: hooksOf(recorder), stopPollMs: 50 });
    const task = new ScriptedTask('hooked.queued');
    const { id } = await producer.enqueue(task.definition, {}, { item: 'chat-2', delay: 60_000 });
    // As left by a process that recorded the stop and died.
    const stop = JSON.stringify({ reason: null, by: null, at: Date.now() });
    await fleet.client.hset(`${prefix}:bull:hooked:${id}`, 'stop', stop, 'defa', 'Stopped');
    const store = fleet.store({ keyPrefix: prefix });
    await fleet.client.publish(store.keys.commands, JSON.stringify({ action: 'stop', task_id: id }));
    await recorder.tasks(1);
    const [end] = recorder.finished;
    assert.deepEqual(
      [end?.task, end?.state, end?.attempts, end?.error],
      [{ id, name: 'hooked.queued', queue: 'hooked', item: 'chat-2' }, 'cancelled', null, null],
    );
  });

  it('and middleware are refused by name if they are none', async () => {
    const config = { redisUrl: 'redis://127.0.0.1:1', logLevel: 'silent' } as const;
    const bad: readonly [hooks: unknown, use: unknown, message: RegExp][] = [
      [7, [], /expected an object with onAttemptStart, .* as hooks, got 7/],
      [{ onAttemptStart: 'log' }, [], /expected a function as hook onAttemptStart, got "log"/],
      [{ onTaskFail: () => 1 }, [], /there is no hook onTaskFail; the hooks are onAttemptStart, /],
      [{}, () => 1, /expected an array of functions \(context, next\) => … as use, got a function/],
      [{}, [() => 1, 5], /expected a function as use\[1\], got 5/],
    ];
    for (const [hooks, use, message] of bad)
      await assert.rejects(createWorker({ ...config, hooks: hooks as WorkerHooks, use: use as Middleware[] }), {
        code: 'INVALID_SETTINGS',
        message,
      });
  });
});

describe('Middleware of a worker', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  it('surrounds the handler with a context, and fails the attempt by its own error', async () => {
    const tenant = new AsyncLocalStorage<string>();
    const definition = defineTask({
      name: 'around.tenant',
      input: z.object({ tenant: z.string() }),
      retry: { attempts: 2, backoff: { delayMs: 0 } },
      retention: KEEP,
    });
    const handler = defineHandler(definition, async ({ attempt }) => {
      await new Promise(setImmediate);
      return `${tenant.getStore()} ${attempt}`;
    });
    const use: Middleware[] = [
      async ({ attempt, log }, next) => {
        if (attempt === 1) throw new Error('no tenants yet');
        log.debug('Tenant found');
        await next();
      },
      ({ input }, next) => tenant.run((input as { tenant: string }).tenant, next),
    ];
    const { producer } = await ownWorker(fleet, [handler], { use });
    const view = await endOf(producer, (await producer.enqueue(definition, { tenant: 'ada' })).id);
    assert.deepEqual([view.state, view.attempt, view.result], ['completed', 2, 'ada 2']);
  });

  it('is aborted, limited and abandoned like its handler', async () => {
    const task = new ScriptedTask('around.stop', { timeoutMs: 600_000 });
    const entered = deferred<AbortSignal>();
    const hang = deferred();
    const recorded: unknown[] = [];
    const use: Middleware[] = [
      async ({ signal }, next) => {
        entered.resolve(signal);
        await hang.promise;
        await next().catch((error: unknown) => recorded.push(error));
      },
    ];
    const { producer, worker } = await ownWorker(fleet, [task.handler], { use, stopGraceMs: 30 });
    const { id } = await producer.enqueue(task.definition, {});
    const signal = await entered.promise;
    await producer.stop(id);
    assert.equal((await endOf(producer, id)).stop?.via, 'abandon');
    assert.ok(signal.reason instanceof StopRequested);
    assert.equal(worker.status().zombies, 1);
    hang.resolve();
    await until(
      () => Promise.resolve(worker.status().zombies),
      (zombies) => zombies === 0,
    );
    // After the stop, next() does not call the handler.
    assert.deepEqual([recorded.length, recorded[0] instanceof StopRequested, task.calls.length], [1, true, 0]);
  });

  it('counts against the timeout before it calls the handler', async () => {
    const task = new ScriptedTask('around.late', { timeoutMs: 30 });
    const use: Middleware[] = [({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))];
    const { producer } = await ownWorker(fleet, [task.handler], { use });
    const view = await endOf(producer, (await producer.enqueue(task.definition, {})).id);
    assert.deepEqual([view.state, view.error, task.calls.length], ['failed', 'Timed out after 30 ms', 0]);
  });
});
