import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer, ScheduleOptions } from '../../../producer/index.js';
import { createKeys } from '../../../shared/keys.js';
import { dueTimeOf } from '../../../shared/schedule/schedule.js';
import type { Store } from '../../../shared/store.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

/** The next task is never due on its own: each test makes it due. */
const EVERY = { every: 3_600_000 };

describe('Runs of a schedule', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function setUp(taskOptions: ConstructorParameters<typeof ScriptedTask>[1] = {}, options: Partial<ScheduleOptions> = {}) {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const store = fleet.store({ keyPrefix });
    const log = new LogLines();
    const task = new ScriptedTask('turn.task', { retention: KEEP, ...taskOptions });
    await producer.schedules.upsert('mine', task.definition, {}, { ...EVERY, item: 'chat-1', ...options });
    const startWorker = (config: Parameters<TestFleet['worker']>[2] = {}) =>
      fleet.worker(keyPrefix, [task.handler], { loggers: log.loggers, ...config });
    return { keyPrefix, producer, store, task, log, startWorker };
  }

  /** Makes the next task due now. Returns its id. */
  async function makeDue({ store }: { store: Store }): Promise<string> {
    const [job] = await until(
      () => store.queues.get('turn').getDelayed(),
      (jobs) => jobs.some(isNext),
    );
    const next = (await store.queues.get('turn').getDelayed()).find(isNext) ?? job;
    await next?.promote();
    return String(next?.id);
  }

  const ended = async (producer: Producer, id: string) => {
    await producer.waitUntilFinished(id, { timeoutMs: 60_000 }).catch(() => undefined);
    return producer.get(id);
  };
  const skip = async (producer: Producer, id: string) => {
    const view = await ended(producer, id);
    return [view?.state, view?.skippedFor];
  };
  const listed = (producer: Producer, id: string, state: string) =>
    until(
      () => producer.list({ item: 'chat-1' }),
      ({ tasks: [task] }) => task?.id === id && task.state === state,
    );
  const mine = async (producer: Producer) => (await producer.schedules.list()).find(({ id }) => id === 'mine');

  it('are skipped while another runs; the next one is not', async () => {
    const fixture = await setUp();
    const { producer, task, startWorker, keyPrefix } = fixture;
    await startWorker();
    const first = await makeDue(fixture);
    const call = await task.call();
    await listed(producer, first, 'running');
    const second = await makeDue(fixture);
    assert.deepEqual(await skip(producer, second), ['skipped', first]);
    const view = await mine(producer);
    assert.deepEqual([view?.lastTask, view?.running], [first, true]);
    call.returns('done');
    assert.equal((await ended(producer, first))?.result, 'done');
    await makeDue(fixture);
    (await task.call(1)).returns();
    await fleet.emptied(keyPrefix);
    assert.equal(task.calls.length, 2);
  });

  it('with the policy "queue" wait for the previous run, one at a time, and start as attempt 1', async () => {
    const fixture = await setUp({}, { overlap: 'queue' });
    const { producer, task, startWorker, keyPrefix } = fixture;
    await startWorker();
    const first = await makeDue(fixture);
    const call = await task.call();
    const second = await makeDue(fixture);
    await until(
      () => producer.get(second),
      (view) => view?.state === 'scheduled',
    );
    const third = await makeDue(fixture);
    assert.deepEqual(await skip(producer, third), ['skipped', second]);
    call.returns();
    await ended(producer, first);
    const next = await task.call(1);
    assert.deepEqual([next.context.id, next.context.attempt, (await producer.get(second))?.attempt], [second, 1, 1]);
    next.returns();
    await ended(producer, second);
    await fleet.emptied(keyPrefix);
    assert.equal(task.calls.length, 2);
  });

  it('that were deferred many times for overlap still wait for a worker with a handler', async () => {
    const fixture = await setUp({}, { overlap: 'queue' });
    const { producer, task, store, startWorker, keyPrefix } = fixture;
    const knowing = await startWorker();
    await makeDue(fixture);
    const call = await task.call();
    const { id } = await producer.schedules.runNow('mine');
    const starts = () => fleet.client.hget(`${store.keys.jobs('turn')}${id}`, 'ats');
    const asks = () => fixture.log.find(/waiting for another run/).length;
    await until(asks, (count) => count >= 3);
    await until(
      () => producer.get(id),
      (view) => view?.state === 'scheduled',
    );
    assert.ok(Number(await starts()) <= 2, `counted as fetched ${await starts()} times, after it asked ${asks()} times`);
    await store.queues.get('turn').pause();
    call.returns();
    await knowing.stop();
    await fleet.worker(keyPrefix, [new ScriptedTask('turn.other').handler]);
    await store.queues.get('turn').resume();
    const view = await until(
      () => producer.get(id),
      (one) => one?.state === 'failed' || (one?.state === 'scheduled' && one.error !== null),
    );
    assert.deepEqual([view?.state, view?.attempt], ['scheduled', 0]);
    await startWorker();
    (await task.call(1)).returns();
    await fleet.emptied(keyPrefix);
  });

  it('that wait for another run are stopped at once, and the next one waits instead', async () => {
    const fixture = await setUp({}, { overlap: 'queue' });
    const { producer, task, startWorker, keyPrefix } = fixture;
    await startWorker();
    await makeDue(fixture);
    const call = await task.call();
    const second = await makeDue(fixture);
    await until(
      () => producer.get(second),
      (view) => view?.state === 'scheduled',
    );
    await until(
      () => producer.stopItem('chat-1', { dryRun: true }),
      (receipts) => receipts.length === 2,
    );
    // It may be checking for overlap right now.
    const { outcome } = await producer.stop(second, { waitMs: 60_000 });
    assert.equal(outcome, 'cancelled');
    const third = await makeDue(fixture);
    await until(
      () => producer.get(third),
      (view) => view?.state === 'scheduled',
    );
    call.returns();
    const next = await task.call(1);
    assert.equal(next.context.id, third);
    next.returns();
    await fleet.emptied(keyPrefix);
  });

  it('due at the same moment as manual runs on several workers: the manual ones all run, one at a time', async () => {
    const fixture = await setUp();
    const { producer, task, store, startWorker, keyPrefix } = fixture;
    await store.queues.get('turn').pause();
    const due = await makeDue(fixture);
    const asked = await Promise.all(Array.from({ length: 5 }, () => producer.schedules.runNow('mine')));
    await Promise.all([startWorker(), startWorker(), startWorker()]);
    await store.queues.get('turn').resume();
    const ran = new Set<string>();
    const manual = new Set(asked.map(({ id }) => id));
    while ([...manual].some((id) => !ran.has(id))) {
      const call = await task.call(ran.size);
      ran.add(call.context.id);
      assert.equal(task.calls.length, ran.size);
      call.returns();
    }
    // The scheduled one was first, or was skipped.
    assert.equal((await ended(producer, due))?.state, ran.has(due) ? 'completed' : 'skipped');
    await fleet.emptied(keyPrefix);
  });

  it('overlap while they wait for a retry', async () => {
    const fixture = await setUp({ retry: { attempts: 2, backoff: { type: 'fixed', delayMs: 3_600_000, jitter: 0 } } });
    const { producer, task, store, startWorker, keyPrefix } = fixture;
    await startWorker();
    const first = await makeDue(fixture);
    (await task.call()).throws(new Error('not yet'));
    await until(
      () => producer.get(first),
      (view) => view?.state === 'retrying',
    );
    const second = await makeDue(fixture);
    assert.deepEqual(await skip(producer, second), ['skipped', first]);
    await (await store.queues.get('turn').getJob(first))?.promote();
    const again = await task.call(1);
    assert.deepEqual([again.context.id, again.context.attempt], [first, 2]);
    again.returns();
    await fleet.emptied(keyPrefix);
  });

  it('are cancelled by a stop, and the schedule continues', async () => {
    const fixture = await setUp();
    const { producer, task, startWorker, keyPrefix } = fixture;
    await startWorker();
    const first = await makeDue(fixture);
    const call = await task.call();
    void call.aborted.then((cause) => call.throws(cause));
    await listed(producer, first, 'running');
    const view = await mine(producer);
    const receipts = await producer.stopItem('chat-1', { by: 'alice', waitMs: 60_000 });
    assert.deepEqual(
      receipts.map(({ id, outcome }) => [id, outcome]),
      [[first, 'cancelled']],
    );
    assert.deepEqual(await mine(producer), { ...view, running: false });
    const second = await makeDue(fixture);
    assert.equal(dueTimeOf(second), view?.nextAt?.getTime());
    (await task.call(1)).returns();
    await fleet.emptied(keyPrefix);
  });

  it('with jitter start once, within the jitter, and are listed meanwhile', async (t) => {
    // Not run yet: after its delay BullMQ would fetch it, and the test could not see it wait.
    const jitter = 3_000_000;
    const fixture = await setUp({}, { jitter });
    const { producer, task, store, startWorker, keyPrefix } = fixture;
    await startWorker();
    const first = await makeDue(fixture);
    await until(
      () => producer.get(first),
      (view) => view?.state === 'scheduled',
    );
    await listed(producer, first, 'scheduled');
    const job = await until(
      () => store.queues.get('turn').getJob(first),
      (one) => one !== undefined,
    );
    const delay = job?.delay ?? -1;
    t.diagnostic(`delayed by ${delay} of ${jitter} ms`);
    assert.ok(delay >= 0 && delay <= jitter);
    await job?.promote();
    const call = await task.call();
    assert.deepEqual([call.context.id, call.context.attempt], [first, 1]);
    call.returns();
    await ended(producer, first);
    // A manual run does not wait.
    const asked = await producer.schedules.runNow('mine');
    const now = await task.call(1);
    assert.equal(now.context.id, asked.id);
    now.returns();
    await fleet.emptied(keyPrefix);
  });

  it('fail after their deadline, counted from the due time; a retry has none', async () => {
    const fixture = await setUp({ deadlineMs: 1 }, { every: 100 });
    const { producer, task, store, startWorker, keyPrefix } = fixture;
    const [next] = await store.queues.get('turn').getDelayed();
    const id = String(next?.id);
    await until(
      () => Date.now(),
      (now) => now > dueTimeOf(id) + 1,
    );
    // The last run.
    await store.redis
      .multi()
      .hdel(store.keys.schedules, 'mine')
      .zrem(`${store.keys.jobs('turn')}repeat`, 'mine')
      .exec();
    await startWorker();
    const view = await ended(producer, id);
    assert.deepEqual(
      [view?.state, view?.error],
      ['failed', `Not started before its deadline, ${new Date(dueTimeOf(id) + 1).toISOString()}`],
    );
    await producer.retry(id);
    (await task.call()).returns('late');
    assert.equal((await ended(producer, id))?.result, 'late');
    await fleet.emptied(keyPrefix);
  });

  it('that are requeued at a shutdown continue on another worker, still without overlap', async () => {
    const fixture = await setUp();
    const { producer, task, startWorker, keyPrefix } = fixture;
    const leaving = await startWorker({ shutdownTimeoutMs: 0 });
    const first = await makeDue(fixture);
    const call = await task.call();
    void call.aborted.then((cause) => call.throws(cause));
    await leaving.stop();
    const second = await makeDue(fixture);
    await startWorker();
    const again = await task.call(1);
    assert.deepEqual([again.context.id, again.context.attempt], [first, 1]);
    assert.deepEqual(await skip(producer, second), ['skipped', first]);
    again.returns();
    await fleet.emptied(keyPrefix);
    assert.equal(task.calls.length, 2);
  });

  it('continue when their schedule is removed, and do not overlap with a new schedule of the same name', async () => {
    const fixture = await setUp();
    const { producer, task, store, startWorker, keyPrefix } = fixture;
    await startWorker();
    const first = await makeDue(fixture);
    const call = await task.call();
    await producer.schedules.remove('mine');
    await producer.schedules.upsert('mine', task.definition, {}, EVERY);
    const second = await makeDue(fixture);
    assert.deepEqual(await skip(producer, second), ['skipped', first]);
    call.returns('done');
    assert.equal((await ended(producer, first))?.result, 'done');
    await producer.schedules.remove('mine');
    assert.deepEqual(
      [await store.queues.get('turn').count(), await fleet.client.hmget(createKeys(keyPrefix).scheduleRuns, 'mine', 'mine:next')],
      [0, [null, null]],
    );
    await fleet.emptied(keyPrefix);
  });
});

/** Returns whether a job was never fetched: a fetched one waits for another run or for a retry. */
function isNext({ attemptsStarted, id }: { attemptsStarted: number; id?: string | undefined }): boolean {
  return attemptsStarted === 0 && String(id).startsWith('repeat:mine:');
}
