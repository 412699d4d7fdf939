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
  completeWithJson,
  controlRenewals,
  hangUpBlocking,
  inspectFetchedJobs,
  isRateLimited,
  releaseWorker,
  takeFetchedJobs,
  trackLock,
  untrackLock,
  wakeFetchLoop,
  wrapWait,
} from '../../worker/fetch/bullmq-overrides.js';
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
    const worker = bare.newWorker(() => goOn.promise, { lockDuration: 400, autorun: false });
    controlRenewals(worker, { isActive: (id) => active.has(id), onRenewed: (id, sentAt) => renewed.push([id, sentAt]) });
    await bare.queue.add('job', {}, { jobId: 'one' });
    const startedAt = performance.now();
    void worker.run();
    await until(
      () => renewed,
      ({ length }) => length > 1,
    );
    assert.deepEqual(new Set(renewed.map(([id]) => id)), new Set(['one']));
    for (const [, sentAt] of renewed) assert.ok(sentAt > startedAt && sentAt < performance.now());
    const tracked = (worker as unknown as { lockManager: { getTrackedJobIds(): string[] } }).lockManager;
    untrackLock(worker, 'one');
    assert.deepEqual(tracked.getTrackedJobIds(), ['one'], 'an active job stays tracked');
    active.clear();
    untrackLock(worker, 'one');
    assert.deepEqual(tracked.getTrackedJobIds(), []);
    trackLock(worker, 'one', 'token', Date.now());
    assert.deepEqual(tracked.getTrackedJobIds(), ['one']);
    const completed = once(worker, 'completed');
    goOn.resolve();
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

  it('complete a job with a result that is JSON already', async () => {
    const ends: number[] = [];
    const worker = bare.newWorker(async (job, token) => {
      const backend = worker.getBackend();
      const { at } = await completeWithJson(job, backend, { json: '{"n": 1}', token: token as string, fetchNext: false });
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
    const worker = bare.newWorker(() => goOn.promise, { lockDuration: 200, autorun: false }, OurWorker);
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
    assert.deepEqual([...called].toSorted(), ['createJob', 'extendJobLocks', 'getBlockTimeout', 'handleCompleted', 'moveToActive']);
  });
});
