/** The behaviour of the pinned BullMQ version that the fleet's schedules rely on. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { DelayedError, Job, type JobsOptions, type Queue, type RepeatOptions, getNextMillis } from 'bullmq';
import type { Redis } from 'ioredis';
import { until } from '../support/until.js';
import { type BareQueue, useBareQueue } from './bare-queue.js';

/** Without a start date, the first job is due at once. */
const EVERY = { every: 3_600_000, startDate: Date.now() + 3_600_000 };
const NIGHTLY = { pattern: '0 3 * * *', tz: 'UTC' };

describe("BullMQ's job schedulers", () => {
  let client: Redis;
  let queue: Queue;
  let bare: BareQueue;

  useBareQueue((given) => {
    ({ bare, client } = given);
    ({ queue } = bare);
  });

  const pending = async (): Promise<Job[]> => queue.getJobs(['delayed', 'wait']);
  const onlyPending = async (): Promise<Job> => {
    const jobs = await pending();
    assert.equal(jobs.length, 1);
    return jobs[0] as Job;
  };
  const dueOf = (id: string) => Number(id.slice(id.lastIndexOf(':') + 1));

  /** Continues the schedule as a worker does after fetching this job. */
  async function advance(job: Job): Promise<Job | undefined> {
    const scheduler = await queue.jobScheduler;
    const { repeat } = job.opts as { repeat: RepeatOptions };
    return scheduler.upsertJobScheduler(job.repeatJobKey as string, repeat, '', null, job.opts, {
      override: false,
      producerId: job.id as string,
    });
  }

  async function fail({ id }: Job): Promise<void> {
    await client
      .multi()
      .zrem(queue.keys['delayed'] as string, String(id))
      .zadd(queue.keys['failed'] as string, Date.now(), String(id))
      .hset(queue.toKey(String(id)), 'finishedOn', Date.now())
      .exec();
  }

  for (const [kind, timing] of Object.entries({ every: EVERY, pattern: NIGHTLY })) {
    it(`have one next job (${kind}), with its due time in the id and the score`, async () => {
      await queue.upsertJobScheduler('mine', timing);
      const { id } = await onlyPending();
      assert.equal(id, `repeat:mine:${await client.zscore(queue.keys['repeat'] as string, 'mine')}`);
    });

    it(`go on from their next job (${kind}) once its fetch is reported: once, and from no other job`, async () => {
      await queue.upsertJobScheduler('mine', timing, { name: 'task', data: { n: 1 }, opts: { item: 'chat-1' } as JobsOptions });
      const first = await onlyPending();
      const [second] = await Promise.all([advance(first), advance(first), advance(first)]);
      assert.equal((await pending()).length, 2);
      assert.ok(dueOf(String(second?.id)) > dueOf(String(first.id)));
      assert.equal(await advance(first), undefined);
      assert.equal((await pending()).length, 2);
      const next = (await queue.getJob(String(second?.id))) as Job;
      assert.deepEqual(
        [next.name, next.data, (next.opts as { item?: string }).item],
        ['task', { n: 1 }, 'chat-1'],
        "the fleet's options are passed on",
      );
    });

    it(`keep the time of their next job (${kind}) when created again`, async () => {
      await queue.upsertJobScheduler('mine', timing, { data: 1 });
      const { id } = await onlyPending();
      await queue.upsertJobScheduler('mine', timing, { data: 2 });
      const next = await onlyPending();
      assert.deepEqual([next.id, next.data], [id, 2]);
    });

    it(`do not go on after their removal (${kind})`, async () => {
      await queue.upsertJobScheduler('mine', timing);
      const first = await onlyPending();
      await queue.removeJobScheduler('mine');
      assert.equal(await advance(first), undefined);
      assert.equal((await pending()).length, 0);
    });
  }

  it('cannot be created again with a pattern when their next job has ended, unless continued from it', async () => {
    await queue.upsertJobScheduler('mine', NIGHTLY);
    const first = await onlyPending();
    await fail(first);
    await assert.rejects(queue.upsertJobScheduler('mine', NIGHTLY), /already exists/);
    await advance(first);
    assert.equal(dueOf(String((await onlyPending()).id)), dueOf(String(first.id)) + 24 * 3_600_000);
  });

  it('overwrite an ended job when created again with a pattern, but not with a start date', async () => {
    for (const startDate of [undefined, 'after it']) {
      await queue.obliterate({ force: true });
      await queue.upsertJobScheduler('mine', NIGHTLY);
      const first = await onlyPending();
      await fail(first);
      await advance(first);
      await queue.upsertJobScheduler('mine', { ...NIGHTLY, ...(startDate !== undefined && { startDate: dueOf(String(first.id)) }) });
      assert.equal((await onlyPending()).id === first.id, startDate === undefined);
    }
  });

  it('leave a due next job behind when removed', async () => {
    await queue.upsertJobScheduler('mine', EVERY);
    await (await onlyPending()).promote();
    await queue.removeJobScheduler('mine');
    assert.equal(await queue.getWaitingCount(), 1);
  });

  it('let a job be deferred and fetched again without counting an attempt', async () => {
    const seen: [made: number, started: number][] = [];
    const worker = bare.newWorker(async (job, token) => {
      seen.push([job.attemptsMade, job.attemptsStarted]);
      if (seen.length > 2) return;
      await worker.getBackend().moveToDelayed(String(job.id), Date.now(), 5, token, { skipAttempt: true });
      throw new DelayedError();
    });
    const completed = once(worker, 'completed');
    await queue.upsertJobScheduler('mine', EVERY);
    await (await onlyPending()).promote();
    await completed;
    assert.deepEqual(seen, [
      [0, 1],
      [0, 2],
      [0, 3],
    ]);
    await until(pending, (jobs) => jobs.length === 1);
  });

  it('are due once on the day of a clock change, or once in every hour of it', () => {
    const next = (from: string, pattern: string, times: number): string[] => {
      const dates: string[] = [];
      for (let at = Date.parse(from); dates.length < times; dates.push(new Date(at).toISOString()))
        at = getNextMillis(at, { pattern, tz: 'Europe/Berlin' }) as number;
      return dates.map((date) => date.slice(5, 16));
    };
    // 02:30 does not exist on one day and occurs twice on the other.
    assert.deepEqual(next('2027-03-27T12:00:00Z', '30 2 * * *', 2), ['03-28T01:30', '03-29T00:30']);
    assert.deepEqual(next('2026-10-24T12:00:00Z', '30 2 * * *', 2), ['10-25T00:30', '10-26T01:30']);
    assert.deepEqual(next('2026-10-24T23:30:00Z', '0 0 * * * *', 3), ['10-25T00:00', '10-25T01:00', '10-25T02:00']);
  });
});
