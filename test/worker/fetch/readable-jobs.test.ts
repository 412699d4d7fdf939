import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../producer/index.js';
import type { Keys } from '../../../shared/keys.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { endOf } from '../../support/fleet/own-worker.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const LOUD = 40;

describe('A worker with unreadable records', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  /** Resolves after the next heartbeat. */
  async function nextBeat(keys: Keys): Promise<void> {
    const read = async (): Promise<string | null> => {
      const [key = ''] = await fleet.client.keys(keys.worker(`${hostname()}-*`));
      return fleet.client.hget(key, 'beat_at');
    };
    const last = await read();
    await until(read, (at) => at !== null && at !== last);
  }

  /** A task on its own queue, and a worker that starts later and runs one task at a time. */
  function scene(): {
    prefix: string;
    keys: Keys;
    jobs: string;
    producer: Producer;
    task: ScriptedTask;
    log: LogLines;
    work: () => Promise<string>;
    loud: () => unknown[];
  } {
    const prefix = fleet.newPrefix();
    const keys = fleet.keys(prefix);
    const log = new LogLines();
    const task = new ScriptedTask('readable.task');
    const producer = fleet.producer({ keyPrefix: prefix });
    let calls = 0;
    /** Starts the worker if needed, and returns the id of the next task whose handler is called. */
    const work = async (): Promise<string> => {
      if (calls === 0)
        await fleet.worker(prefix, [task.handler], {
          loggers: log.loggers,
          stopPollMs: 100,
          heartbeatMs: 200,
          // Nothing stalls, however slow the machine.
          lockMs: 600_000,
          stalledCheckMs: 600_000,
        });
      const call = await task.call(calls);
      calls += 1;
      call.returns();
      return call.context.id;
    };
    return {
      prefix,
      keys,
      jobs: keys.jobs(task.definition.queue),
      producer,
      task,
      log,
      work,
      loud: () => log.lines.filter(({ level }) => level >= LOUD),
    };
  }

  const FAILING: Readonly<Record<string, [fields: Record<string, string>, reason: RegExp]>> = {
    'options that are not JSON': [{ opts: '{' }, /^The job cannot be read: opts: not JSON/],
    'options that are null': [{ opts: 'null' }, /^The job cannot be read: opts: expected a JSON object/],
    'options that are a list': [{ opts: '[]' }, /^The job cannot be read: opts: expected a JSON object/],
    'progress that is not JSON': [{ progress: '{' }, /^The job cannot be read: progress: not JSON/],
    'data that is not JSON': [{ data: '{' }, /^The job's data is not JSON/],
  };
  for (const [what, [fields, reason]] of Object.entries(FAILING)) {
    it(`fails a job with ${what}, and runs the next`, async () => {
      const { jobs, producer, task, work, loud } = scene();
      const { id } = await producer.enqueue(task.definition, {}, { id: 'bad', item: 'i' });
      await fleet.client.hset(jobs + id, fields);
      await producer.enqueue(task.definition, {}, { id: 'good' });
      assert.equal(await work(), 'good');
      const view = await endOf(producer, id);
      assert.equal(view.state, 'failed');
      assert.match((await fleet.client.hget(jobs + id, 'failedReason')) ?? '', reason);
      assert.ok(loud().length <= 2, JSON.stringify(loud()));
    });
  }

  it('cancels a stopped job with unreadable options', async () => {
    const { jobs, producer, task, work } = scene();
    await producer.enqueue(task.definition, {}, { id: 'bad' });
    await fleet.client.hset(jobs + 'bad', { opts: '{', stop: '{"at":1}', defa: 'Stopped' });
    await producer.enqueue(task.definition, {}, { id: 'good' });
    assert.equal(await work(), 'good');
    assert.equal((await endOf(producer, 'bad')).state, 'cancelled');
  });

  it('drops an id that is listed without a job, and does not register it', async () => {
    const { prefix, jobs, producer, task, work, log } = scene();
    await producer.enqueue(task.definition, {}, { id: 'good' });
    await fleet.client.rpush(`${jobs}wait`, 'without-a-job');
    assert.equal(await work(), 'good');
    await until(
      () => fleet.client.exists(`${jobs}without-a-job`),
      (exists) => exists === 0,
    );
    await fleet.emptied(prefix);
    assert.equal(log.find(/^Cannot read a record in Redis/).filter(({ problem }) => problem === 'it is listed, but has no job').length, 1);
  });

  it('registers a plain job with an invalid timestamp as of now', async () => {
    const { keys, jobs, producer, task, work } = scene();
    await producer.enqueue(task.definition, {}, { id: 'first' });
    await fleet.client.hset(jobs + 'first', { opts: '{}', timestamp: 'abc' });
    await fleet.client.zrem(keys.live, 'first');
    assert.equal(await work(), 'first');
    await fleet.emptied(keys.prefix);
  });

  for (const name of ['workers', 'queues', 'pendingStops', 'tasks', 'taskQueues', 'live', 'reconcile'] as const) {
    it(`goes on when the key of ${name} has a wrong type, and logs it once`, async () => {
      const { keys, jobs, producer, task, work, loud } = scene();
      // Other warnings, such as of a stalled task, depend on the machine's load.
      const reports = () => loud().filter((line) => /another type|WRONGTYPE/.test(JSON.stringify(line)));
      await fleet.client.rpush(keys[name], 'x');
      const run = async (id: string): Promise<void> => {
        await producer.enqueue(task.definition, {}, { id });
        assert.equal(await work(), id);
        await until(
          () => fleet.client.zscore(`${jobs}completed`, id),
          (ended) => ended !== null,
        );
        await nextBeat(keys);
        await nextBeat(keys);
      };
      await run('one');
      const reported = reports().length;
      for (const id of ['two', 'three', 'four']) await run(id);
      assert.ok(reports().length <= reported + 1, JSON.stringify(loud()));
    });
  }
});
