/** The behaviour of the pinned BullMQ version that the fleet relies on. A new version must pass these tests first. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import {
  type BackoffOptions,
  DelayedError,
  Job,
  type JobJson,
  type KeepJobs,
  Queue,
  UnrecoverableError,
  WaitingError,
  Worker,
} from 'bullmq';
import type { Redis } from 'ioredis';
import { type Keys } from '../../shared/keys.js';
import { RESERVED_IDS } from '../../shared/reserved-ids.js';
import { wrongKeysOf } from '../../shared/task/queues.js';
import { deferred } from '../support/deferred.js';
import { until } from '../support/until.js';
import { type BareQueue, useBareQueue } from './bare-queue.js';

describe('BullMQ', () => {
  let client: Redis;
  let name: string;
  let queue: Queue;
  let bare: BareQueue;

  useBareQueue((given) => {
    ({ bare, client } = given);
    ({ queue } = bare);
    ({ name } = queue);
  });

  const hash = (id: string) => `bull:${name}:${id}`;
  const defer = (id: string) => client.hset(hash(id), 'defa', 'Stopped');

  const places = {
    waiting: () => queue.add('job', {}, { jobId: 'one', attempts: 5 }),
    prioritized: () => queue.add('job', {}, { jobId: 'one', attempts: 5, priority: 3 }),
    'delayed and then promoted': async () => {
      const job = await queue.add('job', {}, { jobId: 'one', attempts: 5, delay: 60_000 });
      await defer('one');
      await job.promote();
    },
  };
  for (const [place, put] of Object.entries(places)) {
    it(`fails a job that is ${place} by its deferred failure, with its text and without calling the processor`, async () => {
      await put();
      await defer('one');
      let calls = 0;
      const worker = bare.newWorker(() => Promise.resolve((calls += 1)));
      const [job, error] = (await once(worker, 'failed')) as [Job, Error];
      assert.deepEqual([job.id, error.message, calls, await queue.getJobState('one')], ['one', 'Stopped', 0, 'failed']);
      assert.equal(await client.hexists(hash('one'), 'defa'), 0);
    });
  }

  it('fails a job instead of retrying it after a deferred failure set while it ran', async () => {
    await queue.add('job', {}, { jobId: 'one', attempts: 5, backoff: { type: 'fixed', delay: 20 } });
    let calls = 0;
    const worker = bare.newWorker(async () => {
      calls += 1;
      await defer('one');
      throw new Error('first attempt');
    });
    await once(worker, 'failed');
    const [job, error] = (await once(worker, 'failed')) as [Job, Error];
    assert.deepEqual([calls, error.message, job.attemptsMade, await queue.getJobState('one')], [1, 'Stopped', 2, 'failed']);
  });

  it('completes a job despite a deferred failure set while it ran', async () => {
    await queue.add('job', {}, { jobId: 'one' });
    const worker = bare.newWorker(async () => defer('one'));
    await once(worker, 'completed');
    assert.equal(await queue.getJobState('one'), 'completed');
  });

  it('keeps unknown options and fields over a retry', async () => {
    await queue.add('job', {}, { jobId: 'one', attempts: 2, item: 'chat-1' } as never);
    await client.hset(hash('one'), 'stop', '{"by":"x"}');
    const worker = bare.newWorker((job) =>
      job.attemptsMade === 0 ? Promise.reject(new Error('again')) : Promise.resolve((job.opts as { item?: string }).item),
    );
    const [job] = (await once(worker, 'completed')) as [Job];
    assert.equal(job.returnvalue, 'chat-1');
    assert.equal(await client.hget(hash('one'), 'stop'), '{"by":"x"}');
  });

  it('does not count an attempt moved back to wait, and puts the job first', async () => {
    await queue.add('job', {}, { jobId: 'one', attempts: 2 });
    const made: number[] = [];
    const order: string[] = [];
    const worker = bare.newWorker(async (job, token) => {
      order.push(job.id as string);
      if (job.id !== 'one') return;
      made.push(job.attemptsMade);
      if (made.length > 1) return;
      await queue.add('job', {}, { jobId: 'two' });
      await job.moveToWait(token);
      throw new WaitingError();
    });
    for (let ended = 0; ended < 2; ended += 1) await once(worker, 'completed');
    assert.deepEqual(
      [made, order],
      [
        [0, 0],
        ['one', 'one', 'two'],
      ],
    );
    assert.equal((await queue.getJob('one'))?.attemptsMade, 1);
  });

  it('defers a job without counting an attempt, with the given fields', async () => {
    await queue.add('job', {}, { jobId: 'one', attempts: 2 });
    const worker = bare.newWorker(async (_job, token) => {
      await worker
        .getBackend()
        .moveToDelayed('one', Date.now(), 60_000, token, { skipAttempt: true, fieldsToUpdate: { failedReason: 'later' } });
      throw new DelayedError();
    });
    await until(
      () => queue.getJobState('one'),
      (state) => state === 'delayed',
    );
    assert.deepEqual(await client.hmget(hash('one'), 'failedReason', 'atm', 'ats', 'delay'), ['later', null, '1', '60000']);
  });

  /** Returns the delay after a failed attempt, given the number of earlier failures. */
  async function delayAfter(failed: number, backoff: BackoffOptions): Promise<number> {
    await queue.add('job', {}, { jobId: `after-${failed}`, attempts: 100, backoff });
    await client.hset(hash(`after-${failed}`), 'atm', String(failed));
    const worker = bare.newWorker(() => Promise.reject(new Error('no')));
    const [job] = (await once(worker, 'failed')) as [Job];
    await worker.close();
    assert.equal(await queue.getJobState(`after-${failed}`), 'delayed');
    assert.equal(await client.hget(hash(`after-${failed}`), 'delay'), String(job.delay));
    return job.delay;
  }

  it('delays a retry by its backoff: doubled without a limit, reduced by up to the jitter', async (t) => {
    assert.equal(await delayAfter(0, { type: 'fixed', delay: 60_000 }), 60_000);
    assert.equal(await delayAfter(1, { type: 'exponential', delay: 60_000 }), 120_000);
    assert.equal(await delayAfter(40, { type: 'exponential', delay: 1_000 }), 2 ** 40 * 1_000);
    t.mock.method(Math, 'random', () => 0);
    assert.equal(await delayAfter(2, { type: 'exponential', delay: 60_000, jitter: 0.2 }), 4 * 48_000);
  });

  it('leaves a job with an unknown backoff type active', async () => {
    await queue.add('job', {}, { jobId: 'one', attempts: 2, backoff: { type: 'theirs', delay: 1 } });
    const worker = bare.newWorker(() => Promise.reject(new Error('no')), { autorun: false });
    const errors = once(worker, 'error') as Promise<[Error]>;
    void worker.run();
    assert.match((await errors)[0].message, /Unknown backoff strategy theirs/);
    assert.equal(await queue.getJobState('one'), 'active');
  });

  it('applies the retention of an ended job to the whole queue', async () => {
    const worker = bare.newWorker(() => Promise.resolve());
    const complete = async (jobId: string, removeOnComplete: KeepJobs): Promise<void> => {
      const completed = once(worker, 'completed');
      await queue.add('job', {}, { jobId, removeOnComplete });
      await completed;
    };
    const kept = () => client.zrange(`bull:${name}:completed`, '0', '-1');
    for (const id of ['a', 'b', 'c']) await complete(id, { age: 60, count: 10 });
    await client.zadd(`bull:${name}:completed`, String(Date.now() - 120_000), 'a');
    await complete('none', { age: 60, count: 0 });
    assert.deepEqual(await kept(), ['a', 'b', 'c'], 'a job that is not kept itself removes no others');
    await complete('d', { age: 60, count: 10 });
    assert.deepEqual(await kept(), ['b', 'c', 'd'], 'by age');
    await complete('e', { age: 60, count: 2 });
    assert.deepEqual(await kept(), ['d', 'e'], 'by count');
    assert.deepEqual((await client.keys(`bull:${name}:?`)).toSorted(), [`bull:${name}:d`, `bull:${name}:e`]);
  });

  it('lets the owner of the lock fail an active job, and refuses the former owner', async () => {
    await queue.add('job', {}, { jobId: 'one', attempts: 5 });
    const begun = deferred();
    const goOn = deferred();
    const worker = bare.newWorker(async () => {
      begun.resolve();
      await goOn.promise;
      return 'of the former owner';
    });
    await begun.promise;
    const token = randomUUID();
    await client.set(`${hash('one')}:lock`, token, 'PX', 30_000);
    const job = (await queue.getJob('one')) as Job;
    await job.moveToFailed(new UnrecoverableError('of the new owner'), token, false);
    const refused = once(worker, 'error') as Promise<[Error]>;
    goOn.resolve();
    assert.match((await refused)[0].message, /lock/i);
    const settled = (await queue.getJob('one')) as Job;
    assert.deepEqual([await settled.getState(), settled.failedReason, settled.returnvalue], ['failed', 'of the new owner', null]);
  });

  it('writes additional fields with the end of a job in the same script', async () => {
    await queue.add('job', {}, { jobId: 'one' });
    const worker = bare.newWorker(async (job, token) => {
      const fields = { failedReason: 'Stopped', stacktrace: '[]', stop_via: 'signal' };
      await worker.getBackend().moveToFailed(job, 'Stopped', false, token as string, false, fields);
      throw new WaitingError();
    });
    await until(
      () => queue.getJobState('one'),
      (state) => state === 'failed',
    );
    assert.deepEqual(await client.hmget(hash('one'), 'failedReason', 'stop_via'), ['Stopped', 'signal']);
  });

  it('uses the overrides of a subclass: createJob, handleFailed, processJob', async () => {
    const used: string[] = [];
    class OurJob extends Job {}
    class OurWorker extends Worker {
      protected override createJob(data: JobJson, id: string): Job {
        used.push('createJob');
        return OurJob.fromJSON(this, data, id);
      }

      protected override handleFailed(...args: Parameters<Worker['handleFailed']>): ReturnType<Worker['handleFailed']> {
        used.push('handleFailed');
        return super.handleFailed(...args);
      }

      override processJob(...args: Parameters<Worker['processJob']>): ReturnType<Worker['processJob']> {
        used.push('processJob');
        return super.processJob(...args);
      }
    }
    const worker = bare.newWorker((job) => Promise.reject(new Error(job.constructor.name)), { autorun: false }, OurWorker);
    const failed = once(worker, 'failed') as Promise<[Job, Error]>;
    await queue.add('job', {}, { jobId: 'one' });
    void worker.run();
    const [job, error] = await failed;
    assert.ok(job instanceof OurJob);
    assert.equal(error.message, 'OurJob');
    assert.deepEqual(used, ['createJob', 'processJob', 'handleFailed']);
  });

  it('renews the locks that its lock manager tracks by job id', async () => {
    const tracked: string[] = [];
    const ended = deferred();
    class OurWorker extends Worker {
      override async processJob(...args: Parameters<Worker['processJob']>): ReturnType<Worker['processJob']> {
        const next = await super.processJob(...args);
        assert.equal(this.lockManager.getActiveJobCount(), 0);
        this.lockManager.trackJob('other', 'token', Date.now());
        tracked.push(...this.lockManager.getTrackedJobIds());
        this.lockManager.untrackJob('other');
        ended.resolve();
        return next;
      }
    }
    const worker = bare.newWorker(() => Promise.resolve(), { autorun: false }, OurWorker);
    await queue.add('job', {}, { jobId: 'one' });
    void worker.run();
    await ended.promise;
    assert.deepEqual(tracked, ['other']);
  });

  it('has no key beside its jobs that could be the id of a task', async () => {
    // Every part of BullMQ that stores keys: all kinds of jobs, a scheduler, a limit, metrics, a deduplication.
    await queue.setGlobalConcurrency(5);
    await queue.add('job', {}, { jobId: 'j-1' });
    await queue.add('job', {}, { jobId: 'j-2', delay: 60_000 });
    await queue.add('job', {}, { jobId: 'j-3', priority: 1 });
    await queue.add('job', {}, { jobId: 'j-4', deduplication: { id: 'same', ttl: 60_000 } });
    await queue.upsertJobScheduler('every', { every: 60_000 });
    const worker = bare.newWorker((job) => (job.id === 'j-1' ? Promise.reject(new Error('failed')) : Promise.resolve()), {
      metrics: { maxDataPoints: 5 },
      limiter: { max: 100, duration: 60_000 },
    });
    await once(worker, 'drained');
    await queue.pause();
    const prefix = `bull:${name}:`;
    assert.deepEqual(await wrongKeysOf(client, { jobs: () => prefix } as unknown as Keys, name), [], 'the types of the keys');
    const parts = new Set((await client.keys(`${prefix}*`)).map((key) => key.slice(prefix.length).split(':')[0] as string));
    const own = [...parts].filter((part) => !part.startsWith('j-'));
    assert.ok(own.length >= 8, own.join(' '));
    assert.deepEqual(
      own.filter((part) => !RESERVED_IDS.has(part)),
      [],
    );
    // And every key that it declares.
    assert.deepEqual(
      Object.keys(queue.keys).filter((key) => key !== '' && !RESERVED_IDS.has(key)),
      [],
    );
  });

  it('numbers generated job ids from 1, unlike any task id of the fleet', async () => {
    const job = await queue.add('job', {});
    assert.equal(job.id, '1');
    assert.equal(await client.get(`bull:${name}:id`), '1');
  });
});
