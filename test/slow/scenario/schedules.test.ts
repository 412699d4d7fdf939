import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../producer/index.js';
import { QUICK, ScenarioWorkers, handlerBegins, outcomesOf, runsOf, scenarioHold } from '../../support/fleet/scenario.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { until } from '../../support/until.js';

const LIMIT_MS = 120_000;
const HOUR_MS = 3_600_000;

describe('Schedules of workers', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  const mine = async (producer: Producer) => (await producer.schedules.list()).find(({ id }) => id === 'mine');

  it('started at once: four workers create one scheduler for each schedule, with exactly one next task', async () => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const store = fleet.store({ keyPrefix });
    await producer.schedules.upsert('mine', scenarioHold, {}, { every: HOUR_MS });
    // Only its record is left.
    await store.queues.get('scenario').obliterate({ force: true });
    const seldom = { reconcileMs: HOUR_MS, usageCleanMs: HOUR_MS, sessionCleanMs: HOUR_MS, modelsRefreshMs: HOUR_MS };
    await Promise.all(Array.from({ length: 4 }, () => fleet.worker(keyPrefix, [], seldom)));
    const list = await until(
      () => producer.schedules.list(),
      (schedules) => schedules.length === 5 && schedules.every(({ nextAt }) => nextAt !== null),
    );
    assert.deepEqual(
      list.map(({ id }) => id),
      ['mine', 'models.refresh', 'registry.reconcile', 'session-pool.clean', 'usage-pool.clean'],
    );
    for (const { id, queue, nextAt } of list) {
      const jobs = await store.queues.get(queue ?? '').getJobs(['delayed', 'wait', 'prioritized', 'active']);
      assert.deepEqual(
        jobs.filter((job) => job.repeatJobKey === id).map((job) => job.id),
        [`repeat:${id}:${nextAt?.getTime()}`],
      );
    }
  });

  it('go on when the worker is killed in the middle of a run: the task runs again, and later tasks follow', async (t) => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const workers = new ScenarioWorkers(fleet.redis, keyPrefix, QUICK);
    try {
      const dying = await workers.start({ HOLD: 'yes' });
      await producer.schedules.upsert('mine', scenarioHold, {}, { every: 500, item: 'chat-1' });
      const { lastTask: killed } = (await until(
        () => mine(producer),
        (view) => view?.running === true,
      )) as { lastTask: string };
      await handlerBegins([dying], killed);
      dying.kill('SIGKILL');
      await dying.exit;
      const killedAt = Date.now();
      const last = await workers.start();
      const again = await producer.waitUntilFinished(killed, { timeoutMs: LIMIT_MS });
      assert.deepEqual([again.state, again.result, outcomesOf(again)], ['completed', last.pid, ['worker_lost', 'completed']]);
      for (const worker of workers.all) assert.ok(runsOf([worker], killed) >= 1, 'it ran on both workers');
      t.diagnostic(`run again ${(again.finishedAt?.getTime() ?? Infinity) - killedAt} ms after the kill`);
      const { lastTask: next } = (await until(
        () => mine(producer),
        (view) => view !== undefined && view.lastTask !== killed,
      )) as { lastTask: string };
      assert.equal((await producer.waitUntilFinished(next, { timeoutMs: LIMIT_MS })).result, last.pid);
      assert.equal(await producer.schedules.remove('mine'), true);
      await fleet.emptied(keyPrefix);
    } finally {
      await workers.stop();
    }
  });
});
