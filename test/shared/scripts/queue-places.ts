import assert from 'node:assert/strict';
import { FlowProducer, type Job, type JobsOptions, Queue, Worker } from 'bullmq';
import type { RecordedStop } from '../../../shared/scripts/define-scripts.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';

const READ_KEYS = ['completed', 'failed', 'delayed', 'prioritized', 'active', 'waiting-children', 'wait', 'meta'];
/** The lock token of the worker. */
export const TOKEN = 'of-the-worker';

/** Starts a Redis with queues for tests of scripts. Each file starts its own. */
export async function startQueues() {
  const fleet = await TestFleet.start();
  const { client } = fleet;
  const closing: (() => Promise<void>)[] = [];

  async function open() {
    const store = fleet.store();
    const { redis, keys } = store;
    const bull = { connection: fleet.redis.client(), prefix: keys.bull('q') };
    const queue = new Queue('q', bull);
    const worker = new Worker('q', null, { ...bull, autorun: false });
    closing.push(
      () => worker.close(),
      () => queue.close(),
    );
    const add = (id: string, options: JobsOptions = {}): Promise<Job> => queue.add('n', {}, { jobId: id, ...options });
    const pick = async (): Promise<Job> => {
      const job = await worker.getNextJob(TOKEN, { block: false });
      assert.ok(job);
      return job;
    };
    const job = (id: string): Promise<Record<string, string>> => client.hgetall(keys.jobs('q') + id);
    const recordAll = (ids: string[], { stop = '{"at":1}', dead = [] as string[] } = {}): Promise<RecordedStop[]> =>
      redis.recordStop(
        ...store.queues.stopKeys('q'),
        keys.jobs('q'),
        stop,
        'Stopped',
        'of-the-stopper',
        30_000,
        JSON.stringify(dead),
        Date.now(),
        ...ids,
      );
    /** Returns the outcome and the stop of each job only. */
    const record = async (...args: Parameters<typeof recordAll>): Promise<string[][]> =>
      (await recordAll(...args)).map(([what, stop]) => [what, stop]);
    const read = (ids: string[], fields = 'name'): Promise<((string | number | null)[] | null)[]> =>
      redis.readTasks(...store.queues.scriptKeys('q', ...READ_KEYS), keys.jobs('q'), fields, ...ids);
    return { keys, bull, queue, add, pick, job, record, recordAll, read };
  }

  /** Opens a queue with a job in every place. */
  async function everyPlace() {
    const opened = await open();
    const { add, pick, bull } = opened;
    const run = async (id: string, end: (job: Job) => Promise<unknown>, options: JobsOptions = {}): Promise<void> => {
      await add(id, options);
      await end(await pick());
    };
    await run('is-completed', (job) => job.moveToCompleted('ok', TOKEN, false));
    await run('is-failed', (job) => job.moveToFailed(new Error('no'), TOKEN, false));
    await run('is-active', () => Promise.resolve());
    await run('retry-delayed', (job) => job.moveToFailed(new Error('no'), TOKEN, false), {
      attempts: 3,
      backoff: { type: 'fixed', delay: 60_000 },
    });
    await run('retry-waiting', (job) => job.moveToFailed(new Error('no'), TOKEN, false), { attempts: 3 });
    await add('is-waiting');
    await add('is-prioritized', { priority: 5 });
    await add('is-delayed', { delay: 60_000 });
    const flow = new FlowProducer(bull);
    await flow.add({ name: 'n', queueName: 'q', opts: { jobId: 'parent' }, children: [{ name: 'n', queueName: 'other' }] });
    await flow.close();
    return opened;
  }

  const close = async (): Promise<void> => {
    for (const one of closing) await one();
    await fleet.stop();
  };
  return { fleet, client, open, everyPlace, close };
}
