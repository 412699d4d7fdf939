/** The command `completeJobs` runs BullMQ's script `moveToFinished` for several jobs: it must leave and return what that script does. */
import assert from 'node:assert/strict';
import { type TestContext, after, before, describe, it } from 'node:test';
import { FlowProducer, type Job, Queue, Worker } from 'bullmq';
import { wrapScripts } from '../../../worker/fetch/bullmq-overrides.js';
import { batchCompletions } from '../../../worker/fetch/settle/completion-batch.js';
import { completeWithJson } from '../../../worker/fetch/settle/completion.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';

const token = 'token';
const startedAt = Date.now();
/** Fields that differ from one run to the next. */
const TIMES = ['timestamp', 'processedOn', 'finishedOn'];

describe('completeJobs', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  /** Two children of a flow and a job of its own, active, and two waiting jobs. Counts the scripts that the worker calls. */
  async function activeJobs(t: TestContext, name: string, { batched }: { batched: boolean }) {
    const store = fleet.store();
    const prefix = store.keys.bull(name);
    const queue = new Queue(name, { connection: fleet.redis.client(), prefix });
    const flow = new FlowProducer({ connection: fleet.redis.client(), prefix });
    const children = ['a', 'b'].map((jobId) => ({ name: 'n', queueName: name, data: {}, opts: { jobId } }));
    await flow.add({ name: 'parent', queueName: name, opts: { jobId: 'p' }, children });
    await queue.add('n', {}, { jobId: 'c', deduplication: { id: 'k' }, removeOnComplete: true });
    await queue.add('n', {}, { jobId: 'd', timestamp: startedAt, delay: 600_000 });
    await queue.add('n', {}, { jobId: 'e' });
    const worker = new Worker(name, null, { connection: store.redis, prefix, name: 'worker' });
    const scripts: string[] = [];
    wrapScripts(worker, (execute) => (client, script, args) => (scripts.push(script), execute(client, script, args)));
    if (batched) batchCompletions(worker);
    const jobs: Job[] = [];
    for (let left = 3; left > 0; left -= 1) jobs.push(await worker.getNextJob(token, { block: false }));
    scripts.length = 0;
    const complete = (job: Job) => completeWithJson(job, { json: `"${job.id}"`, token, fetchNext: true, at: 1_000 }).reply;
    t.after(() => Promise.all([worker.close(true), queue.close(), flow.close()]));
    return { jobs, complete, scripts, prefix: store.keys.jobs(name) };
  }

  /** Everything in the queue's keys but times. */
  async function contentOf(prefix: string): Promise<unknown> {
    const content: Record<string, unknown> = {};
    for (const key of (await fleet.client.keys(`${prefix}*`)).toSorted()) {
      const type = await fleet.client.type(key);
      if (type === 'hash') content[key] = Object.entries(await fleet.client.hgetall(key)).filter(([field]) => !TIMES.includes(field));
      else if (type === 'zset') content[key] = (await fleet.client.zrange(key, '0', '-1')).toSorted();
      else if (type === 'list') content[key] = await fleet.client.lrange(key, 0, -1);
      else if (type === 'stream') content[key] = (await fleet.client.xrange(key, '-', '+')).map(([, fields]) => fields);
      else content[key] = type;
    }
    return JSON.parse(JSON.stringify(content).replaceAll(prefix.slice(0, -1), 'queue'));
  }

  function withoutTimes(replies: readonly unknown[][]): unknown {
    return replies.map(([data, ...others]) => [data && { ...Object(data), timestamp: 0, processedOn: 0 }, ...others]);
  }

  it("leaves and returns what BullMQ's script does for one job after another, of flows too", async (t) => {
    const one = await activeJobs(t, 'one', { batched: false });
    const all = await activeJobs(t, 'all', { batched: true });
    const expected: unknown[][] = [];
    for (const job of one.jobs) expected.push(await one.complete(job));
    const replies = await Promise.all(all.jobs.map((job) => all.complete(job)));
    assert.deepEqual([one.scripts, all.scripts], [['moveToFinished', 'moveToFinished', 'moveToFinished'], ['completeJobs']]);
    assert.equal(replies[0]?.[1], 'e');
    assert.deepEqual(
      withoutTimes(JSON.parse(JSON.stringify(replies).replaceAll(all.prefix, one.prefix)) as unknown[][]),
      withoutTimes(JSON.parse(JSON.stringify(expected)) as unknown[][]),
    );
    assert.deepEqual(await contentOf(all.prefix), await contentOf(one.prefix));
  });

  it('ends the others if BullMQ cannot end one job, the first or a later one', async (t) => {
    for (const broken of [0, 1]) {
      const { jobs, complete, prefix } = await activeJobs(t, `broken-${broken}`, { batched: true });
      const order = [...jobs.filter(({ id }) => id !== 'c').slice(0, 1), ...jobs.filter(({ id }) => id === 'c')];
      await fleet.client.del(`${prefix}p:dependencies`);
      await fleet.client.set(`${prefix}p:dependencies`, 'not a set');
      const other = jobs.find((job) => !order.includes(job)) as Job;
      await fleet.client.set(`${prefix}${other.id}:lock`, 'of another');
      const called = broken === 0 ? order : order.toReversed();
      const ends = await Promise.allSettled([...called, other].map((job) => complete(job)));
      const texts = ends.map((end) => (end.status === 'fulfilled' ? 'completed' : String(end.reason)));
      assert.match(texts[broken] as string, /WRONGTYPE/);
      assert.equal(texts[1 - broken], 'completed');
      assert.match(texts[2] as string, /Lock mismatch/);
    }
  });
});
