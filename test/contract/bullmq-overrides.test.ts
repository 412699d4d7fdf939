/** The members that BullMQ keeps to itself and workers use: each test fails when BullMQ changes one of them. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, it } from 'node:test';
import { Job, type JobJson, WaitingError, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import {
  BULLMQ_VERSION,
  blockingClient,
  controlRenewals,
  hangUpBlocking,
  inspectFetchedJobs,
  isRateLimited,
  noteFetched,
  releaseWorker,
  retryIfFailed,
  takeFetchedJobs,
  trackLock,
  untrackLock,
  wakeFetchLoop,
  wrapWait,
} from '../../worker/fetch/bullmq-overrides.js';
import { completeWithJson, finishArguments } from '../../worker/fetch/settle/completion.js';
import { deferred } from '../support/deferred.js';
import { until } from '../support/until.js';
import { type BareQueue, useBareQueue } from './bare-queue.js';

const NEVER = (): Promise<never> => new Promise(() => undefined);

describe('The overrides of BullMQ', () => {
  let bare: BareQueue;
  let client: Redis;

  useBareQueue((given) => {
    ({ bare, client } = given);
  });

  it('are for the installed version', () => {
    const text = readFileSync(createRequire(import.meta.url).resolve('bullmq/package.json'), 'utf8');
    assert.equal((JSON.parse(text) as { version: string }).version, BULLMQ_VERSION);
  });

  it('read the rate limit of a worker', async () => {
    const worker = bare.newWorker(() => Promise.resolve(), { limiter: { max: 1, duration: 600_000 } });
    assert.equal(isRateLimited(worker), false);
    await bare.queue.addBulk([
      { name: 'job', data: {} },
      { name: 'job', data: {} },
    ]);
    await until(
      () => isRateLimited(worker),
      (limited) => limited,
    );
  });

  it('take the fetched jobs that a fetch loop has not started', async () => {
    const worker = bare.newWorker(NEVER, { concurrency: 2, autorun: false });
    const job = Object.create(Job.prototype) as Job;
    assert.deepEqual(await takeFetchedJobs(worker), []);
    Object.assign(worker, { mainLoopQueue: { numQueued: () => 2, fetch: () => Promise.resolve(job) } });
    assert.deepEqual(await takeFetchedJobs(worker), [job, job]);
    Object.assign(worker, { mainLoopQueue: null });
    void worker.run();
    const queue = await until(
      () => (worker as unknown as { mainLoopQueue: Record<string, unknown> | null }).mainLoopQueue,
      (made) => made !== null,
    );
    for (const method of ['fetch', 'numQueued', 'add']) assert.equal(typeof queue?.[method], 'function', method);
  });

  it('wake a fetch loop whose slots were all taken', async () => {
    const started: string[] = [];
    const goOn = deferred();
    const worker = bare.newWorker((job) => {
      started.push(job.id as string);
      return goOn.promise;
    });
    await bare.queue.addBulk(['1', '2'].map((jobId) => ({ name: 'job', data: {}, opts: { jobId: `j${jobId}` } })));
    await until(
      () => started,
      ({ length }) => length === 1,
    );
    worker.concurrency = 2;
    wakeFetchLoop(worker);
    await until(
      () => started,
      ({ length }) => length === 2,
    );
    goOn.resolve();
  });

  it('see the end of each wait, find the connection that waits, and close it for good', async () => {
    const worker = bare.newWorker(() => Promise.resolve(), { autorun: false });
    const waited = deferred();
    wrapWait(worker, (wait) => async (timeout) => {
      const marker = await wait(timeout);
      waited.resolve();
      return marker;
    });
    await worker.waitUntilReady();
    void worker.run();
    const waiting = blockingClient(worker);
    assert.equal(waiting?.status, 'ready');
    await bare.queue.add('job', {});
    await waited.promise;
    await worker.pause(true);
    hangUpBlocking(worker);
    await until(
      () => waiting?.status,
      (status) => status === 'end',
    );
    await worker.getBackend().reconnectBlocking();
    assert.equal(blockingClient(worker), waiting);
  });

  it('renew the locks of tracked jobs, report when each renewal was sent, and stop with the worker', async () => {
    const renewed: [id: string, sentAt: number][] = [];
    const goOn = deferred();
    const active = new Set(['one']);
    const worker = bare.newWorker(() => goOn.promise, { lockRenewTime: 200, autorun: false });
    controlRenewals(worker, { isActive: (id) => active.has(id), onRenewed: (id, sentAt) => renewed.push([id, sentAt]) });
    await bare.queue.add('job', {}, { jobId: 'one' });
    const startedAt = performance.now();
    void worker.run();
    const tracked = (worker as unknown as { lockManager: { getTrackedJobIds(): string[] } }).lockManager;
    const completed = once(worker, 'completed');
    // A failed assertion must not leave the job running: the worker would wait for it.
    try {
      await until(
        () => renewed,
        ({ length }) => length > 1,
      );
      assert.deepEqual(new Set(renewed.map(([id]) => id)), new Set(['one']));
      for (const [, sentAt] of renewed) assert.ok(sentAt > startedAt && sentAt < performance.now());
      untrackLock(worker, 'one');
      assert.deepEqual(tracked.getTrackedJobIds(), ['one'], 'an active job stays tracked');
      active.clear();
      untrackLock(worker, 'one');
      assert.deepEqual(tracked.getTrackedJobIds(), []);
      trackLock(worker, 'one', 'token', Date.now());
      assert.deepEqual(tracked.getTrackedJobIds(), ['one']);
    } finally {
      goOn.resolve();
    }
    await completed;
    const closed = worker.close();
    await releaseWorker(worker);
    assert.deepEqual(tracked.getTrackedJobIds(), []);
    await closed;
  });

  it('show the fields of each fetched job before BullMQ parses them', async () => {
    const fetched: string[] = [];
    const worker = bare.newWorker((job) => Promise.resolve(fetched.push(JSON.stringify(job.data))), { autorun: false });
    inspectFetchedJobs(worker, (fields, id) => {
      fetched.push(id);
      fields[fields.indexOf('data') + 1] = '{"changed":true}';
    });
    await bare.queue.addBulk(['one', 'two'].map((jobId) => ({ name: 'job', data: {}, opts: { jobId } })));
    void worker.run();
    await until(
      () => fetched,
      ({ length }) => length === 4,
    );
    // The first comes from `moveToActive`, the second from `moveToFinished`.
    assert.deepEqual(fetched, ['one', '{"changed":true}', 'two', '{"changed":true}']);
  });

  it('note a fetched job as BullMQ does', async () => {
    const active: [name: string, previous: string, drained: unknown][] = [];
    const worker = bare.newWorker(() => Promise.resolve(), { autorun: false });
    const internals = worker as unknown as { drained: boolean };
    worker.on('active', (job, previous) => active.push([job.name, previous, internals.drained]));
    await bare.queue.add('job', {});
    void worker.run();
    await until(
      () => internals.drained,
      (drained) => drained,
    );
    noteFetched(worker, { name: 'job' } as Job);
    assert.deepEqual(active, [
      ['job', 'waiting', false],
      ['job', 'waiting', false],
    ]);
  });

  it('settle a job again after a connection error, and throw or only emit any other', async () => {
    const worker = bare.newWorker(NEVER, { autorun: false, runRetryDelay: 1 });
    const emitted: Error[] = [];
    worker.on('error', (error) => emitted.push(error));
    const failures = [new Error('connect ECONNREFUSED'), new Error('Connection is closed.')];
    const settled = retryIfFailed(worker, () => {
      const failure = failures.pop();
      return failure ? Promise.reject(failure) : Promise.resolve('settled');
    });
    assert.equal(await settled, 'settled');
    const other = new Error('other');
    await assert.rejects(
      retryIfFailed(worker, () => Promise.reject(other)),
      other,
    );
    await retryIfFailed(worker, () => Promise.reject(other), { onlyEmitError: true });
    assert.deepEqual(emitted, [other, other]);
  });

  it('complete a job with a result that is JSON already', async () => {
    const ends: number[] = [];
    bare.newWorker(async (job, token) => {
      const { at, reply } = completeWithJson(job, { json: '{"n": 1}', token: token as string, fetchNext: false });
      await reply;
      ends.push(at);
      throw new WaitingError();
    });
    await bare.queue.add('job', {}, { jobId: 'one' });
    await until(
      () => bare.queue.getJobState('one'),
      (state) => state === 'completed',
    );
    const [result, finishedOn] = await client.hmget(`bull:${bare.queue.name}:one`, 'returnvalue', 'finishedOn');
    assert.equal(result, '{"n": 1}');
    await until(
      () => ends,
      ([at]) => at === Number(finishedOn),
    );
  });

  it("make the arguments of a completion from those of another job, equal to BullMQ's", async () => {
    const backend = bare.newWorker(NEVER, { autorun: false, name: 'worker' }).getBackend();
    const made = backend as unknown as { moveToFinishedArgs(...args: unknown[]): unknown[] };
    const of = (job: Job, { at, fetchNext, json, token }: { at: number; fetchNext: boolean; json: string; token: string }): unknown[] =>
      made.moveToFinishedArgs(job, json, 'returnvalue', job.opts.removeOnComplete, 'completed', token, at, fetchNext, undefined);
    const jobs = await Promise.all(
      [
        { removeOnComplete: true },
        { removeOnComplete: true },
        { removeOnComplete: false },
        { removeOnComplete: true, attempts: 3 },
        { removeOnComplete: true, ignoreDependencyOnFailure: true },
        { removeOnComplete: { count: 5 } },
      ].map((opts, index) => bare.queue.add('job', {}, { ...opts, jobId: `job-${index}` })),
    );
    let at = 1_000;
    for (let round = 0; round < 3; round += 1)
      for (const token of ['a', 'b'])
        for (const fetchNext of [true, false])
          for (const job of jobs) {
            const completion = { json: `{"n":${(at += 1)}}`, token, fetchNext, at };
            assert.deepEqual(finishArguments(job, backend, completion), of(job, completion), `${job.id} ${token} ${round}`);
          }
  });

  it('are called by BullMQ: the protected methods that workers override', async () => {
    const called = new Set<string>();
    class OurWorker extends Worker {
      protected override createLockManager(): void {
        super.createLockManager();
        Object.defineProperty(this, 'madeLockManager', { value: true });
      }
      protected override getBlockTimeout(blockUntil: number): number {
        called.add('getBlockTimeout');
        return super.getBlockTimeout(blockUntil);
      }
      protected override moveToActive(...args: Parameters<Worker['moveToActive']>): ReturnType<Worker['moveToActive']> {
        called.add('moveToActive');
        return super.moveToActive(...args);
      }
      protected override nextJobFromJobData(...args: Parameters<Worker['nextJobFromJobData']>): ReturnType<Worker['nextJobFromJobData']> {
        if (args[0]) called.add('nextJobFromJobData');
        return super.nextJobFromJobData(...args);
      }
      protected override createJob(data: JobJson, id: string): Job {
        called.add('createJob');
        return super.createJob(data, id);
      }
      protected override handleCompleted(...args: Parameters<Worker['handleCompleted']>): ReturnType<Worker['handleCompleted']> {
        called.add('handleCompleted');
        return super.handleCompleted(...args);
      }
      override async extendJobLocks(...args: Parameters<Worker['extendJobLocks']>): ReturnType<Worker['extendJobLocks']> {
        called.add('extendJobLocks');
        return super.extendJobLocks(...args);
      }
    }
    const goOn = deferred();
    const worker = bare.newWorker(() => goOn.promise, { lockRenewTime: 100, autorun: false }, OurWorker);
    assert.ok(Object.hasOwn(worker, 'madeLockManager'));
    const completed = once(worker, 'completed');
    void worker.run();
    await bare.queue.add('job', {});
    await until(
      () => called.has('extendJobLocks'),
      (renewed) => renewed,
    );
    goOn.resolve();
    await completed;
    await until(
      () => called.has('getBlockTimeout'),
      (waits) => waits,
    );
    assert.deepEqual([...called].toSorted(), [
      'createJob',
      'extendJobLocks',
      'getBlockTimeout',
      'handleCompleted',
      'moveToActive',
      'nextJobFromJobData',
    ]);
  });
});
