/** What BullMQ does without the fleet: the middle column of the table in README.md. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { type Job, type Queue, Worker, type WorkerOptions } from 'bullmq';
import type { Redis } from 'ioredis';
import { deferred } from '../support/deferred.js';
import { until } from '../support/until.js';
import { type BareQueue, useBareQueue } from './bare-queue.js';

describe('BullMQ alone', () => {
  let bare: BareQueue;
  let client: Redis;
  let queue: Queue;

  useBareQueue((given) => {
    ({ bare, client } = given);
    ({ queue } = bare);
  });

  /** A worker whose processor gets the signal. */
  function cancellable(processor: (job: Job, signal: AbortSignal) => Promise<unknown>, options: Partial<WorkerOptions> = {}): Worker {
    class SignalWorker extends Worker {
      constructor(name: string, _processor: unknown, given: WorkerOptions) {
        super(name, (job, _token, signal) => processor(job, signal as AbortSignal), given);
      }
    }
    return bare.newWorker(() => Promise.resolve(), options, SignalWorker);
  }

  const whenAborted = (signal: AbortSignal): Promise<void> =>
    signal.aborted ? Promise.resolve() : once(signal, 'abort').then(() => undefined);

  it('stops a running job only from the worker that runs it', async () => {
    const running = deferred();
    const runner = cancellable(async (_job, signal) => {
      running.resolve();
      await whenAborted(signal);
    });
    await queue.add('answer', {}, { jobId: 'one' });
    await running.promise;
    const other = bare.newWorker(() => Promise.resolve(), { autorun: false });
    assert.deepEqual([other.cancelJob('one'), runner.cancelJob('one')], [false, true]);
    await once(runner, 'completed');
  });

  it('runs a stopped job again if its processor throws what its signal made fetch throw', async () => {
    let calls = 0;
    const worker = cancellable(async (job, signal) => {
      calls += 1;
      if (calls > 1) return;
      const aborted = whenAborted(signal);
      assert.equal(worker.cancelJob(job.id as string), true);
      await aborted;
      throw new DOMException('This operation was aborted', 'AbortError');
    });
    await queue.add('answer', {}, { jobId: 'one', attempts: 3 });
    await once(worker, 'completed');
    assert.equal(calls, 2);
  });

  it('completes a stopped job whose processor ignores its signal', async () => {
    const worker = cancellable(async (job) => worker.cancelJob(job.id as string));
    await queue.add('answer', {}, { jobId: 'one' });
    await once(worker, 'completed');
    assert.equal(await queue.getJobState('one'), 'completed');
  });

  it('brings a stopped job back when failed jobs are retried', async () => {
    let calls = 0;
    const worker = cancellable(async (job, signal) => {
      calls += 1;
      if (calls > 1) return;
      const aborted = whenAborted(signal);
      worker.cancelJob(job.id as string);
      await aborted;
      throw new Error('stopped');
    });
    await queue.add('answer', {}, { jobId: 'one' });
    await once(worker, 'failed');
    assert.equal(await queue.getJobState('one'), 'failed', 'a stop has no state of its own');
    const completed = once(worker, 'completed');
    await queue.retryJobs();
    await completed;
    assert.equal(calls, 2);
  });

  it('runs two jobs of one chat at once', async () => {
    const both = deferred();
    let running = 0;
    bare.newWorker(
      async () => {
        running += 1;
        if (running === 2) both.resolve();
        await both.promise;
      },
      { concurrency: 2 },
    );
    await queue.addBulk(['one', 'two'].map((jobId) => ({ name: 'answer', data: { chat: 'chat-1' }, opts: { jobId } })));
    await both.promise;
  });

  it('notices a dead worker by a lock of 30 s that it checks every 30 s, and fails the job of the second one', async () => {
    const { opts } = bare.newWorker(() => Promise.resolve(), { autorun: false });
    assert.deepEqual([opts.lockDuration, opts.stalledInterval, opts.maxStalledCount], [30_000, 30_000, 1]);
    await queue.add('answer', {}, { jobId: 'one', attempts: 5 });
    let calls = 0;
    const never = deferred();
    const worker = bare.newWorker(
      () => {
        calls += 1;
        return never.promise;
      },
      { stalledInterval: 50, concurrency: 3 },
    );
    const lock = `bull:${queue.name}:one:lock`;
    for (const deaths of [1, 2]) {
      await until(
        () => Promise.resolve(calls),
        (count) => count === deaths,
      );
      await client.del(lock);
    }
    const [, error] = (await once(worker, 'failed')) as [Job, Error];
    assert.match(error.message, /stalled more than allowable limit/);
    never.resolve();
  });

  it('breaks a queue by one job whose id is a name of its own keys', async () => {
    await queue.add('answer', {}, { jobId: 'active' });
    await queue.add('answer', {}, { jobId: 'two' });
    const worker = bare.newWorker(() => Promise.resolve(), { autorun: false });
    const errors = once(worker, 'error') as Promise<[Error]>;
    void worker.run();
    assert.match((await errors)[0].message, /WRONGTYPE/);
    assert.equal(await client.llen(`bull:${queue.name}:wait`), 2, 'it runs no job at all');
  });
});
