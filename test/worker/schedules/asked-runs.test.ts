import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import type { Producer } from '../../../producer/index.js';
import { OVERLAP_POLICIES, type OverlapPolicy } from '../../../shared/schedule/schedule.js';
import { defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import { TestDashboard } from '../../dashboard/test-dashboard.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { runCli } from '../../support/process/run-cli.js';
import { KEEP } from '../../support/task/keep.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const EVERY = { every: 3_600_000 };
const FAILED = 14;

describe('Runs that people ask for', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  /** A schedule whose runs fail until `mend` is called. */
  async function failingSchedule(overlap: OverlapPolicy) {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const seen = { broken: true, running: 0, most: 0, ran: [] as string[], attempts: new Set<number>() };
    const definition = defineTask({ name: 'turn.report', input: z.unknown(), retention: KEEP });
    const handler = defineHandler(definition, async ({ id, attempt }) => {
      if (seen.broken) throw new Error('the mail server is down');
      seen.running += 1;
      seen.most = Math.max(seen.most, seen.running);
      seen.ran.push(id);
      seen.attempts.add(attempt);
      await new Promise(setImmediate);
      seen.running -= 1;
    });
    await producer.schedules.upsert('report', definition, {}, { ...EVERY, overlap });
    await fleet.worker(keyPrefix, [handler]);
    await fleet.worker(keyPrefix, [handler]);
    const ids: string[] = [];
    while (ids.length < FAILED) {
      const { id } = await producer.schedules.runNow('report');
      assert.equal((await producer.waitUntilFinished(id)).state, 'failed');
      ids.push(id);
    }
    const mend = (): void => {
      seen.broken = false;
    };
    return { keyPrefix, producer, seen, ids, mend };
  }

  type Retry = (given: { producer: Producer; dashboard: TestDashboard; keyPrefix: string; ids: readonly string[] }) => Promise<unknown>;
  const ways: Readonly<Record<string, Retry>> = {
    'the API': ({ dashboard, ids }) =>
      Promise.all(ids.map((id) => dashboard.send('POST', `/api/v1/tasks/${id}/retry`, { token: dashboard.tokens.operator, body: {} }))),
    'the board': ({ dashboard }) =>
      dashboard.send('PUT', '/board/api/queues/turn/retry/failed', { token: dashboard.tokens.operator, body: {} }),
    'the command line': ({ keyPrefix, ids }) =>
      runCli(['task', 'retry', ...ids], { env: { REDIS_URL: fleet.redis.url, REDIS_KEY_PREFIX: keyPrefix } }),
  };
  for (const [name, retry] of Object.entries(ways))
    for (const overlap of OVERLAP_POLICIES)
      it(`from ${name}: ${FAILED} failed runs retried at once all run, one at a time, with the policy "${overlap}"`, async () => {
        const fixture = await failingSchedule(overlap);
        const dashboard = await TestDashboard.start(fixture.producer);
        try {
          fixture.mend();
          await retry({ ...fixture, dashboard });
          const ends = await Promise.all(fixture.ids.map((id) => fixture.producer.waitUntilFinished(id, { timeoutMs: 60_000 })));
          assert.deepEqual(new Set(ends.map(({ state, attempt }) => `${state} ${attempt}`)), new Set(['completed 1']));
          const { ran, most, attempts } = fixture.seen;
          assert.deepEqual([ran.toSorted(), most, [...attempts]], [fixture.ids.toSorted(), 1, [1]]);
          await fleet.emptied(fixture.keyPrefix);
        } finally {
          await dashboard.stop();
        }
      });

  async function setUp(overlap: OverlapPolicy = 'skip', options: ConstructorParameters<typeof ScriptedTask>[1] = {}) {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const store = fleet.store({ keyPrefix });
    const task = new ScriptedTask('turn.task', options);
    await producer.schedules.upsert('mine', task.definition, {}, { ...EVERY, overlap });
    const waiting = (id: string) =>
      until(
        () => producer.get(id),
        (view) => view?.state === 'scheduled',
      );
    return { keyPrefix, producer, store, task, waiting };
  }

  it('run in the order in which they were asked for, whichever worker fetches them first', async () => {
    const { keyPrefix, producer, store, task } = await setUp();
    await store.queues.get('turn').pause();
    const asked: string[] = [];
    while (asked.length < 3) asked.push((await producer.schedules.runNow('mine')).id);
    // The queue hands them out in reverse.
    const wait = `${store.keys.jobs('turn')}wait`;
    const [first = ''] = await store.redis.lrange(wait, 0, 0);
    await store.redis.multi().lrem(wait, 1, first).rpush(wait, first).exec();
    await Promise.all([fleet.worker(keyPrefix, [task.handler]), fleet.worker(keyPrefix, [task.handler])]);
    await store.queues.get('turn').resume();
    for (const index of asked.keys()) (await task.call(index)).returns();
    await fleet.emptied(keyPrefix);
    assert.deepEqual(
      task.calls.map(({ context }) => context.id),
      asked,
    );
  });

  it('wait beyond their deadline, which is for the wait for a worker', async () => {
    const { keyPrefix, producer, task, waiting } = await setUp('skip', { deadlineMs: 2_000 });
    await fleet.worker(keyPrefix, [task.handler]);
    await producer.schedules.runNow('mine');
    const call = await task.call();
    const { id } = await producer.schedules.runNow('mine');
    const enqueued = (await waiting(id))?.enqueuedAt?.getTime() ?? 0;
    await until(
      () => Date.now(),
      (now) => now > enqueued + 2_000,
    );
    call.returns();
    const next = await task.call(1);
    assert.equal(next.context.id, id);
    next.returns();
    await fleet.emptied(keyPrefix);
  });

  it('survive a line that cannot be read and the loss of the worker that deferred them', async () => {
    const { keyPrefix, producer, store, task, waiting } = await setUp();
    const leaving = await fleet.worker(keyPrefix, [task.handler]);
    const running = await producer.schedules.runNow('mine');
    const call = await task.call();
    const asked = await Promise.all(Array.from({ length: 3 }, () => producer.schedules.runNow('mine')));
    for (const { id } of asked) await waiting(id);
    await leaving.stop();
    await store.redis.set(store.keys.scheduleLine('mine'), 'written by another program');
    call.throws(new Error('the worker is gone'));
    await fleet.worker(keyPrefix, [task.handler]);
    const ids = [];
    for (let index = 1; index <= 4; index += 1) {
      const next = await task.call(index);
      ids.push(next.context.id);
      assert.equal(next.context.attempt, 1);
      next.returns();
    }
    await fleet.emptied(keyPrefix);
    assert.deepEqual(ids.toSorted(), [running, ...asked].map(({ id }) => id).toSorted());
  });

  it('do not wait for one that was stopped, and a scheduled run is skipped for one that waits', async () => {
    const { keyPrefix, producer, store, task, waiting } = await setUp();
    await fleet.worker(keyPrefix, [task.handler]);
    await producer.schedules.runNow('mine');
    const call = await task.call();
    const [second, third] = [await producer.schedules.runNow('mine'), await producer.schedules.runNow('mine')];
    await waiting(second.id);
    await waiting(third.id);
    // The active run is over, and nobody has taken its turn.
    const guard = store.overlapGuard;
    const mark = { id: 'mine', overlap: 'skip', jitterMs: 0 } as const;
    await store.queues.get('turn').pause();
    call.returns();
    await until(
      () => producer.schedules.list(),
      (all) => all.find(({ id }) => id === 'mine')?.running === false,
    );
    assert.deepEqual(await guard.take(mark, 'turn', `repeat:mine:${Date.now()}`), { kind: 'skip', other: second.id });
    await producer.stop(second.id);
    assert.deepEqual(await guard.take(mark, 'turn', `repeat:mine:${Date.now()}`), { kind: 'skip', other: third.id });
    await store.queues.get('turn').resume();
    const last = await task.call(1);
    assert.equal(last.context.id, third.id);
    last.returns();
    await fleet.emptied(keyPrefix);
  });

  it('include retries of skipped runs', async () => {
    const { keyPrefix, producer, store, task } = await setUp();
    await fleet.worker(keyPrefix, [task.handler]);
    const active = await producer.schedules.runNow('mine');
    const call = await task.call();
    const [next] = await store.queues.get('turn').getDelayed();
    const id = String(next?.id);
    await next?.promote();
    const skipped = await producer.waitUntilFinished(id, { timeoutMs: 60_000 });
    assert.deepEqual(
      [skipped.state, skipped.skippedFor, skipped.attempt, skipped.result, skipped.startedAt],
      ['skipped', active.id, 0, null, null],
    );
    assert.deepEqual(
      (await producer.list({ state: 'skipped' })).tasks.map((one) => one.id),
      [id],
    );
    assert.deepEqual((await producer.list({ state: 'completed' })).tasks, []);
    await assert.rejects(producer.result(id), { code: 'TASK_SKIPPED', details: { id, skippedFor: active.id } });
    assert.deepEqual(await producer.stop(id).then(({ outcome, endedAs }) => [outcome, endedAs]), ['finished', 'skipped']);
    const retried = await producer.retry(id);
    assert.equal(retried.skippedFor, null);
    call.returns();
    const again = await task.call(1);
    assert.deepEqual([again.context.id, again.context.attempt], [id, 1]);
    again.returns('done');
    assert.equal(await producer.result(id), 'done');
    await fleet.emptied(keyPrefix);
  });

  it('a skipped run that is not kept is known as skipped to those who wait for it', async () => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const store = fleet.store({ keyPrefix });
    const task = new ScriptedTask('turn.task', { retention: { ...KEEP, completed: { ageMs: 1_000, count: 0 } } });
    await producer.schedules.upsert('mine', task.definition, {}, EVERY);
    await fleet.worker(keyPrefix, [task.handler]);
    await producer.schedules.runNow('mine');
    const call = await task.call();
    const [next] = await store.queues.get('turn').getDelayed();
    const result = producer.result(String(next?.id), { timeoutMs: 60_000 });
    const end = assert.rejects(result, { code: 'TASK_SKIPPED' });
    await next?.promote();
    await end;
    assert.equal(await producer.get(String(next?.id)), null);
    call.returns();
    await fleet.emptied(keyPrefix);
  });
});
