/** The command `failJobs` runs BullMQ's script `moveToFinished` for several jobs: it must leave what that script leaves. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { FlowProducer, type Job, Queue, Worker } from 'bullmq';
import { moveToFinished } from '../../../node_modules/bullmq/dist/esm/scripts/index.js';
import { FINISH_KEYS } from '../../../shared/scripts/finish-jobs.js';
import { failStopped, wrapScripts } from '../../../worker/fetch/bullmq-overrides.js';
import { batchStops } from '../../../worker/fetch/settle/stop-batch.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';

const TOKEN = 'token';
const CANCELLED = 'taskfleet:cancelled';
const FIELDS = { failedReason: 'Stopped', stacktrace: '[]', stop: '{"at":1}' };

describe('failJobs', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  /** Two children of a flow and a job of its own, active under our lock. */
  async function activeJobs(name: string) {
    const store = fleet.store();
    const connection = fleet.redis.client();
    const queue = new Queue(name, { connection, prefix: store.keys.bull(name) });
    const flow = new FlowProducer({ connection, prefix: store.keys.bull(name) });
    const child = (id: string) => ({ name: 'n', queueName: name, data: {}, opts: { jobId: id, failParentOnFailure: id === 'b' } });
    await flow.add({ name: 'parent', queueName: name, opts: { jobId: 'p' }, children: [child('a'), child('b')] });
    await queue.add('n', {}, { jobId: 'c', deduplication: { id: 'k' } });
    const worker = new Worker(name, null, { connection: fleet.redis.client(), prefix: store.keys.bull(name) });
    const jobs: Job[] = [];
    for (let left = 3; left > 0; left -= 1) jobs.push(await worker.getNextJob(TOKEN, { block: false }));
    for (const job of jobs) await fleet.client.hset(store.keys.jobs(name) + job.id, 'stop', FIELDS.stop);
    await Promise.all([worker.close(), flow.close()]);
    await fleet.client.del(`${store.keys.jobs(name)}events`);
    const backend = store.queues.backend(name);
    await backend.client;
    const callOf = (job: Job) => backend.moveToFailedArgs(job, 'Stopped', false, TOKEN, false, FIELDS);
    return { store, queue, backend, jobs, callOf, prefix: store.keys.jobs(name) };
  }

  async function eventsOf(prefix: string): Promise<Record<string, string>[]> {
    return (await fleet.client.xrange(`${prefix}events`, '-', '+')).map(([, fields]) => toRecord(fields));
  }

  /** Everything in the queue's keys but times, locks and the fleet's own events. */
  async function contentOf(prefix: string): Promise<Record<string, unknown>> {
    const content: Record<string, unknown> = {};
    for (const key of (await fleet.client.keys(`${prefix}*`)).toSorted()) {
      const type = await fleet.client.type(key);
      const name = key.slice(prefix.length);
      if (type === 'hash') {
        const {
          timestamp: _timestamp,
          processedOn: _processed,
          finishedOn,
          defa,
          parentKey: _key,
          parent: _parent,
          ...fields
        } = await fleet.client.hgetall(key);
        // BullMQ deletes the deferred failure, which our command restores.
        content[name] = { ...fields, ended: finishedOn !== undefined, ...(fields['stop'] === undefined && { defa }) };
      } else if (type === 'zset') content[name] = (await fleet.client.zrange(key, '0', '-1')).toSorted();
      else if (type === 'stream') content[name] = (await eventsOf(prefix)).filter(({ event }) => event !== CANCELLED);
      else content[name] = type;
    }
    return JSON.parse(JSON.stringify(content).replaceAll(prefix.slice(0, -1), 'queue')) as Record<string, unknown>;
  }

  it("leaves what BullMQ's script leaves, of flows too", async () => {
    const one = await activeJobs('one');
    for (const job of one.jobs) await one.backend.moveToFailed(job, 'Stopped', false, TOKEN, false, FIELDS);
    const all = await activeJobs('all');
    const calls = all.jobs.map((job) => all.callOf(job));
    const keys = (calls[0] ?? []).slice(0, FINISH_KEYS);
    assert.deepEqual(await all.store.redis.failJobs(...keys, ...calls.flatMap((call) => call.slice(FINISH_KEYS))), [0, 0, 0]);
    assert.deepEqual(await contentOf(all.prefix), await contentOf(one.prefix));
    assert.equal(await fleet.client.hget(`${all.prefix}c`, 'defa'), 'Stopped');
    await Promise.all([one.queue.close(), all.queue.close()]);
  });

  it('ends the others if BullMQ cannot end one job', async () => {
    const { store, queue, jobs, callOf, prefix } = await activeJobs('some');
    await fleet.client.set(`${prefix}c:lock`, 'of another');
    await fleet.client.set(`${prefix}p:unsuccessful`, 'not a sorted set');
    const calls = jobs.map(callOf);
    const keys = (calls[0] ?? []).slice(0, FINISH_KEYS);
    const results = await store.redis.failJobs(...keys, ...calls.flatMap((call) => call.slice(FINISH_KEYS)));
    const byId = Object.fromEntries(jobs.map(({ id }, index) => [id, results[index]]));
    assert.deepEqual([byId['a'], byId['c']], [0, -6]);
    assert.match(String(byId['b']), /WRONGTYPE/);
    await queue.close();
  });

  it("endStopped leaves what BullMQ's script leaves after the stop was recorded, with a free deduplication key", async () => {
    const bare = await activeJobs('bare');
    for (const job of bare.jobs) await bare.backend.moveToFailed(job, 'Stopped', false, TOKEN, false, FIELDS);
    const stopped = await activeJobs('stopped');
    for (const job of stopped.jobs) {
      const args = stopped.callOf(job);
      const end = { stop: FIELDS.stop, text: 'Stopped', token: TOKEN, via: 'signal' as const, args };
      assert.deepEqual(await failStopped(job.id as string, stopped.backend, end), { stop: FIELDS.stop, reply: [] });
    }
    const content = await contentOf(stopped.prefix);
    assert.deepEqual(content, await contentOf(bare.prefix));
    assert.equal(await fleet.client.hget(`${stopped.prefix}c`, 'defa'), 'Stopped');
    await assertTold(stopped);
    await Promise.all([bare.queue.close(), stopped.queue.close()]);
  });

  /** Checks that the queue's events say how each run ended, behind BullMQ's event of its end. */
  async function assertTold({ jobs, prefix }: Awaited<ReturnType<typeof activeJobs>>): Promise<void> {
    const events = await eventsOf(prefix);
    for (const { id = '' } of jobs) {
      const ends = events.filter(({ event, jobId }) => jobId === id && (event === 'failed' || event === CANCELLED));
      const finishedOn = await fleet.client.hget(prefix + id, 'finishedOn');
      assert.deepEqual(
        ends.map(({ event }) => event),
        ['failed', CANCELLED],
      );
      assert.deepEqual(ends[1], { event: CANCELLED, jobId: id, via: 'signal', finishedOn });
    }
  }

  /** Ends stopped jobs as a worker does in one turn. Returns the scripts that it calls. */
  function batched({ backend, callOf }: Awaited<ReturnType<typeof activeJobs>>) {
    const scripts: string[] = [];
    const worker = { getBackend: () => backend } as unknown as Worker;
    wrapScripts(worker, (execute) => (client, script, args) => (scripts.push(script), execute(client, script, args)));
    batchStops(worker);
    const end = (job: Job) =>
      failStopped(job.id as string, backend, {
        stop: FIELDS.stop,
        text: 'Stopped',
        token: TOKEN,
        via: 'signal' as const,
        args: callOf(job),
      });
    return { scripts, end };
  }

  it('endManyStopped leaves and returns what endStopped does for one job after another, of flows too', async () => {
    const one = await activeJobs('single');
    const all = await activeJobs('together');
    for (const { prefix, jobs } of [one, all]) for (const { id } of jobs) await fleet.client.hdel(prefix + id, 'stop');
    for (const job of one.jobs)
      await failStopped(job.id as string, one.backend, {
        stop: FIELDS.stop,
        text: 'Stopped',
        token: TOKEN,
        via: 'signal' as const,
        args: one.callOf(job),
      });
    const { scripts, end } = batched(all);
    assert.deepEqual(
      await Promise.all(all.jobs.map((job) => end(job))),
      all.jobs.map(() => ({ stop: FIELDS.stop, reply: [] })),
    );
    assert.deepEqual(scripts, ['endManyStopped']);
    assert.deepEqual(await contentOf(all.prefix), await contentOf(one.prefix));
    for (const ended of [one, all]) await assertTold(ended);
    for (const { id } of all.jobs) assert.equal(await fleet.client.hget(all.prefix + id, 'defa'), 'Stopped');
    await Promise.all([one.queue.close(), all.queue.close()]);
  });

  it('endManyStopped ends the others if one job has another stop, a lost lock, or a key that BullMQ cannot use', async () => {
    const cases = [
      { broken: 'a', how: 'stop' },
      { broken: 'b', how: 'lock' },
      { broken: 'c', how: 'key' },
      { broken: 'a', how: 'key' },
    ] as const;
    for (const { broken, how } of cases) {
      const active = await activeJobs(`${how}-of-${broken}`);
      const { jobs, prefix, queue } = active;
      const { end } = batched(active);
      const key = prefix + broken;
      if (how === 'stop') await fleet.client.hset(key, 'stop', '{"at":2}', 'defa', 'Stopped by ann');
      if (how === 'lock') await fleet.client.set(`${key}:lock`, 'of another');
      if (how === 'key') await fleet.client.del(key).then(() => fleet.client.set(key, 'not a hash'));
      const ends = await Promise.allSettled(jobs.map((job) => end(job)));
      for (const [index, { id }] of jobs.entries()) {
        const ended = ends[index] as PromiseSettledResult<unknown>;
        if (id !== broken) {
          assert.deepEqual(ended, { status: 'fulfilled', value: { stop: FIELDS.stop, reply: [] } }, `${id} beside ${broken}`);
          assert.ok(await fleet.client.hget(prefix + id, 'finishedOn'));
        } else if (how === 'stop') assert.deepEqual(ended, { status: 'fulfilled', value: { stop: '{"at":2}', reply: null } });
        else assert.match(String((ended as PromiseRejectedResult).reason), how === 'lock' ? /Lock mismatch/ : /WRONGTYPE/);
      }
      await queue.close();
    }
  });

  it('endStopped keeps the first stop, which the failure must name, and returns the next job', async () => {
    const { store, queue, jobs, backend, prefix } = await activeJobs('kept');
    const job = jobs.find(({ id }) => id === 'c') as Job;
    const end = (text: string, stop: string, token: string) => {
      const args = backend.moveToFailedArgs(job, text, false, token, true, { ...FIELDS, failedReason: text, stop });
      return failStopped('c', backend, { stop, text, token, via: 'signal', args });
    };
    // As a worker, which fetches the next job.
    Object.assign((backend as unknown as { queue: { opts: object } }).queue.opts, { name: 'worker', lockDuration: 30_000 });
    await queue.add('next', {}, { jobId: 'd' });
    await fleet.client.hdel(`${prefix}c`, 'stop');
    await assert.rejects(end('Stopped', '{"at":1}', 'of another worker'), /Lock mismatch/);
    assert.deepEqual(await fleet.client.hmget(`${prefix}c`, 'stop', 'defa', 'finishedOn'), [null, null, null], 'only with the lock');
    await store.redis.hset(`${prefix}c`, 'stop', '{"at":2}', 'defa', 'Stopped by ann');
    const other = { stop: '{"at":2}', reply: null };
    assert.deepEqual(await end('Stopped', '{"at":1}', TOKEN), other);
    assert.equal(await fleet.client.hget(`${prefix}c`, 'finishedOn'), null);
    const { stop, reply } = await end('Stopped by ann', other.stop, TOKEN);
    assert.deepEqual([stop, reply?.[1]], [other.stop, 'd']);
    assert.deepEqual(await fleet.client.hmget(`${prefix}c`, 'failedReason', 'defa'), ['Stopped by ann', 'Stopped by ann']);
    await queue.close();
  });

  it("creates BullMQ's functions once for all jobs", () => {
    assert.equal(moveToFinished.content.split('local jobIdKey = KEYS[12]').length, 2);
  });
});

function toRecord(fields: readonly string[]): Record<string, string> {
  return Object.fromEntries(fields.flatMap((field, index) => (index % 2 === 0 ? [[field, fields[index + 1] as string]] : [])));
}
