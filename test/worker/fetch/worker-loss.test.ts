import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { Worker } from 'bullmq';
import type { Producer } from '../../../producer/index.js';
import { ATTEMPT_FIELDS, parseAttempts } from '../../../shared/attempt/attempt.js';
import type { Store } from '../../../shared/store.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const QUEUE = 'lost';
const WORKERS = ['host-a-4711-0a1b2c3d', 'host-b-12-99999999', 'host-c-1-aaaaaaaa'];

describe('A task whose worker is lost', () => {
  let fleet: TestFleet;
  let store: Store;
  let producer: Producer;
  let prefix: string;
  let dying: Worker[];

  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(() => {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    store = fleet.store({ keyPrefix: prefix });
    dying = WORKERS.map((name) => {
      const options = { connection: store.redis, prefix: store.keys.bull(QUEUE), name, lockDuration: 60_000, autorun: false };
      return new Worker(QUEUE, null, { ...options, maxStalledCount: 100 });
    });
  });
  afterEach(() => Promise.all(dying.map((worker) => worker.close(true))));
  after(() => fleet.stop());

  const jobKey = (id: string) => store.keys.jobs(QUEUE) + id;
  const fieldsOf = (id: string) => fleet.client.hgetall(jobKey(id));
  const attemptsOf = async (id: string) =>
    parseAttempts(await fleet.client.hmget(jobKey(id), ...ATTEMPT_FIELDS), (problem) => assert.fail(problem)).map(({ attempt }) => attempt);

  /** A worker fetches the task and dies. */
  async function fetchAndDie(id: string, nth = 0): Promise<void> {
    const job = await (dying[nth] as Worker).getNextJob('token');
    assert.equal(job?.id, id);
    await fleet.client.del(`${jobKey(id)}:lock`);
  }
  /** The first check after a death marks the active jobs, the second one returns those without a lock. */
  async function check(): Promise<string[]> {
    for (let round = 0; ; round += 1) {
      await fleet.client.del(`${store.keys.jobs(QUEUE)}stalled-check`);
      const stalled: string[] = await (dying[0] as Worker).getBackend().moveStalledJobsToWait();
      if (round === 1) return stalled;
    }
  }
  async function lose(id: string, nth = 0): Promise<void> {
    await fetchAndDie(id, nth);
    assert.deepEqual(await check(), [id]);
  }
  const enqueue = async (task: ScriptedTask) => (await producer.enqueue(task.definition, {})).id;
  const start = (task: ScriptedTask, config: Parameters<TestFleet['worker']>[2] = {}) => fleet.worker(prefix, [task.handler], config);

  it('more often than its definition allows fails with WORKER_LOST, which names the workers; its handler is not called', async () => {
    const task = new ScriptedTask('lost.task', { retry: { attempts: 5 }, onWorkerLost: { retries: 1 } });
    const id = await enqueue(task);
    await lose(id, 0);
    await lose(id, 1);
    await start(task);
    await assert.rejects(producer.result(id), { code: 'TASK_FAILED' });
    const view = await producer.get(id);
    assert.match(
      view?.error ?? '',
      /^The worker of lost\.task was lost 2 times; onWorkerLost\.retries is 1: host-a-4711-0a1b2c3d \(started 20.*Z, lost by 20.*Z\), host-b-12-9{8} \(/,
    );
    const [first, second, ...more] = await attemptsOf(id);
    assert.deepEqual(
      [first, second].map((attempt) => [
        attempt?.number,
        attempt?.outcome,
        attempt?.worker?.host,
        attempt?.worker?.pid,
        attempt?.error?.code,
      ]),
      [
        [1, 'worker_lost', 'host-a', 4711, undefined],
        [2, 'worker_lost', 'host-b', 12, 'WORKER_LOST'],
      ],
    );
    assert.deepEqual(more, []);
    const { unrun, stc } = await fieldsOf(id);
    assert.deepEqual([unrun, stc, task.calls.length], ['1', '2', 0]);
    // A person decided: the retried task has its losses before it again.
    await producer.retry(id);
    (await task.call()).returns('done');
    assert.equal(await producer.result(id), 'done');
  });

  it('within that allowance runs again, and the loss uses up no attempt', async () => {
    const task = new ScriptedTask('lost.task', { onWorkerLost: { retries: 2 } });
    const id = await enqueue(task);
    await lose(id, 0);
    await lose(id, 1);
    await start(task);
    (await task.call()).returns('third time');
    assert.equal(await producer.result(id), 'third time');
  });

  it('runs at most once with `retries: 0`, even if the worker reported that it lives', async () => {
    const task = new ScriptedTask('lost.task', { onWorkerLost: { retries: 0 } });
    const [id, given] = [await enqueue(task), await enqueue(task)];
    await fetchAndDie(id);
    await fetchAndDie(given, 1);
    await note(given, { outcome: 'lock_lost', given_up: true });
    await check();
    assert.equal((await fieldsOf(given))['given_up'], '1');
    await start(task);
    for (const one of [id, given]) await assert.rejects(producer.result(one), { code: 'TASK_FAILED' });
    assert.match(
      (await producer.get(id))?.error ?? '',
      /^lost\.task runs at most once \(onWorkerLost\.retries is 0\), and its worker was lost: host-a/,
    );
    assert.equal(task.calls.length, 0);
  });

  /** Writes the record of the task's last run. */
  async function note(id: string, record: object): Promise<void> {
    const run = Number((await fieldsOf(id))['ats']);
    await fleet.client.hset(
      jobKey(id),
      `try${run % 20}`,
      JSON.stringify({ number: 1, run, worker: null, started: 1, ended: 2, ...record }),
    );
  }

  it('does not count a stall of a worker that lives, or had handed the task back; the record of the run stays', async () => {
    const task = new ScriptedTask('lost.task', { onWorkerLost: { retries: 1 } });
    const id = await enqueue(task);
    await lose(id);
    for (const record of [{ outcome: 'lock_lost', given_up: true }, { outcome: 'requeued' }]) {
      await fetchAndDie(id, 1);
      await note(id, record);
      await check();
    }
    const { stc, given_up: givenUp } = await fieldsOf(id);
    assert.deepEqual([stc, givenUp], ['3', '2']);
    assert.deepEqual(
      (await attemptsOf(id)).map(({ outcome }) => outcome),
      ['worker_lost', 'lock_lost', 'requeued'],
    );
    await start(task);
    (await task.call()).returns('done');
    assert.equal(await producer.result(id), 'done');
  });

  it('is given up by its living worker before or after the stall, once, and never after its end', async () => {
    const task = new ScriptedTask('lost.task');
    const id = await enqueue(task);
    const giveUp = (fetched: number, token = 'gone') =>
      store.redis.giveUp(jobKey(id), `${jobKey(id)}:lock`, `${store.keys.jobs(QUEUE)}active`, id, fetched, token, Date.now());
    const counts = async (): Promise<unknown[]> => {
      const { stc, given_up: givenUp } = await fieldsOf(id);
      return [stc, givenUp, (await attemptsOf(id)).map(({ outcome }) => outcome)];
    };
    await fetchAndDie(id);
    assert.deepEqual([await giveUp(1), await giveUp(1)], [1, 0]);
    await check();
    assert.deepEqual(await counts(), ['1', '1', ['lock_lost']]);
    await lose(id, 1);
    assert.deepEqual([await giveUp(2), await giveUp(2)], [1, 0]);
    assert.deepEqual(await counts(), ['2', '2', ['lock_lost', 'lock_lost']]);
    // The worker that dropped its result was first; the next run has begun.
    await lose(id, 2);
    await note(id, { outcome: 'lock_lost' });
    const next = await (dying[0] as Worker).getNextJob('token');
    assert.deepEqual([await giveUp(3), await giveUp(4, 'token')], [1, 0]);
    await next?.moveToCompleted(null, 'token', false);
    assert.equal(await giveUp(4), 0);
    assert.deepEqual(await counts(), ['3', '3', ['lock_lost', 'lock_lost', 'lock_lost']]);
  });

  it('is counted whatever another program wrote into the fields of the count', async () => {
    const task = new ScriptedTask('lost.task', { onWorkerLost: { retries: 1 } });
    const id = await enqueue(task);
    await fetchAndDie(id);
    await fleet.client.hset(jobKey(id), { given_up: 'x', tries: 'y', try1: '{"run":', atm: 'NaN', processedOn: '1e99' });
    assert.deepEqual(await check(), [id]);
    const [attempt] = await attemptsOf(id);
    assert.deepEqual([attempt?.number, attempt?.outcome, attempt?.startedAt], [1, 'worker_lost', null]);
    await fleet.client.hset(jobKey(id), { atm: 0 });
    await lose(id, 1);
    await start(task);
    await assert.rejects(producer.result(id), { code: 'TASK_FAILED' });
  });

  it('counts a run that lost its place in the queue as lost, and a waiting task not', async () => {
    const task = new ScriptedTask('lost.task', { onWorkerLost: { retries: 0 } });
    const [running, waiting] = [await enqueue(task), await enqueue(task)];
    await fetchAndDie(running);
    await fleet.client.del(`${store.keys.jobs(QUEUE)}active`, `${store.keys.jobs(QUEUE)}wait`);
    const restored = await store.redis.restoreJobs(...store.queues.restoreKeys(QUEUE), store.keys.jobs(QUEUE), running, waiting);
    assert.deepEqual(restored, ['waiting', 'waiting']);
    assert.deepEqual([(await fieldsOf(running))['stc'], (await fieldsOf(waiting))['stc']], ['1', undefined]);
    assert.deepEqual([(await attemptsOf(running))[0]?.worker?.id, (await attemptsOf(waiting)).length], [WORKERS[0], 0]);
    await start(task);
    await assert.rejects(producer.result(running), { code: 'TASK_FAILED' });
    (await task.call()).returns('once');
    assert.equal(await producer.result(waiting), 'once');
  });

  it('takes turns with others for its last run, if its handler is in no module', async () => {
    const task = new ScriptedTask('lost.task', { onWorkerLost: { retries: 2 } });
    const ids = [await enqueue(task), await enqueue(task), await enqueue(task)];
    for (const [index, id] of ids.entries()) await fleet.client.hset(jobKey(id), 'stc', index === 2 ? 1 : 2);
    await start(task);
    const [last, other] = [await task.call(0), await task.call(1)];
    assert.deepEqual(
      [last, other].map(({ context }) => context.id).toSorted(),
      [ids[0], ids[2]].map(String).toSorted(),
      'the second task waits for its turn, and is not called',
    );
    await until(
      () => producer.get(ids[1] as string),
      (view) => view?.state === 'retrying',
    );
    assert.equal(task.calls.length, 2);
    for (const call of [last, other]) call.returns(null);
    const second = await task.call(2);
    assert.deepEqual([second.context.id, second.context.attempt], [ids[1], 3]);
    second.returns('done');
    assert.equal(await producer.result(ids[1] as string), 'done');
  });

  it('is named with its worker in the log and the list of losses', async () => {
    const task = new ScriptedTask('lost.task');
    const log = new LogLines();
    const id = await enqueue(task);
    await fetchAndDie(id);
    await start(task, { lockMs: 600_000, stalledCheckMs: 500, loggers: log.loggers });
    const line = await log.waitFor(/^Task stalled/);
    assert.deepEqual([line['id'], line['queue'], line['worker']], [id, QUEUE, WORKERS[0]]);
    const [record] = await until(
      () => fleet.client.lrange(store.keys.losses, 0, -1),
      ({ length }) => length > 0,
    );
    const { at, ...loss } = JSON.parse(record as string) as { at: number };
    assert.ok(Math.abs(at - Date.now()) < 60_000);
    assert.deepEqual(loss, { worker: WORKERS[0], task: id, name: 'lost.task', queue: QUEUE });
    (await task.call()).returns(null);
    await producer.result(id);
  });
});
