import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../../producer/index.js';
import type { TaskView } from '../../../../shared/task/view.js';
import { QUICK, ScenarioWorkers, handlerBegins, outcomesOf, runsOf, scenarioHold } from '../../../support/fleet/scenario.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';

/** Holds its tasks until it dies; other workers complete them at once. */
const HOLDS = { HOLD: 'yes', WORKER_CONCURRENCY: '50' };
const TASKS = 50;
const LIMIT_MS = 120_000;

describe('SIGKILL of a worker process', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  it(`with ${TASKS} tasks and default settings: the stopped half never comes back; the rest completes elsewhere`, async (t) => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const workers = new ScenarioWorkers(fleet.redis, keyPrefix);
    const dying = await workers.start(HOLDS);
    const added = await producer.enqueueMany(
      scenarioHold,
      Array.from({ length: TASKS }, (_, index) => ({ input: {}, item: `chat-${index % 7}` })),
    );
    for (const { id } of added) await handlerBegins([dying], id);
    const heir = await workers.start({ WORKER_CONCURRENCY: '50' });
    try {
      const killedAt = Date.now();
      dying.kill('SIGKILL');
      await dying.exit;
      const [awaited, unawaited, kept] = [added.slice(0, 13), added.slice(13, 25), added.slice(25)];
      const waiting = producer.stop(awaited, { by: 'one who waits', waitMs: LIMIT_MS });
      const at = await producer.stop(unawaited, { by: 'one who does not' });
      assert.deepEqual(
        at.map(({ outcome }) => outcome),
        unawaited.map(() => 'requested'),
      );
      const receipts = await waiting;
      const stopped = await Promise.all([...awaited, ...unawaited].map(({ id }) => ended(producer, id)));
      const completed = await Promise.all(kept.map((task) => producer.waitUntilFinished(task, { timeoutMs: LIMIT_MS })));
      assert.deepEqual(
        receipts.map(({ outcome }) => outcome),
        awaited.map(() => 'cancelled'),
      );
      assert.deepEqual(
        stopped.map(({ state, stop, attempt }) => [state, stop?.via, attempt]),
        stopped.map(() => ['cancelled', 'fence', 1]),
      );
      assert.deepEqual(
        completed.map(({ state, result }) => [state, result]),
        kept.map(() => ['completed', heir.pid]),
      );
      await fleet.emptied(keyPrefix);
      for (const { id } of stopped) assert.equal(runsOf(workers.all, id), 1, `${id} ran again`);
      for (const { id } of completed) assert.equal(runsOf(workers.all, id), 2);

      const groups = {
        'awaited stops': stopped.slice(0, awaited.length),
        'other stops': stopped.slice(awaited.length),
        'run again': completed,
      };
      for (const [name, tasks] of Object.entries(groups)) {
        const tookMs = tasks.map(({ finishedAt }) => (finishedAt?.getTime() ?? Infinity) - killedAt);
        t.diagnostic(`${name}: over ${Math.min(...tookMs)} to ${Math.max(...tookMs)} ms after the kill`);
        assert.ok(Math.max(...tookMs) < LIMIT_MS, `${name} took ${Math.max(...tookMs)} ms`);
      }
    } finally {
      await workers.stop();
    }
  });

  it('and of the next worker does not fail its tasks', async (t) => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const workers = new ScenarioWorkers(fleet.redis, keyPrefix, QUICK);
    try {
      const first = await workers.start(HOLDS);
      const added = await producer.enqueueMany(
        scenarioHold,
        Array.from({ length: 5 }, () => ({ input: {} })),
      );
      for (const { id } of added) await handlerBegins([first], id);
      for (const dying of [first, await workers.start(HOLDS)]) {
        for (const { id } of added) await handlerBegins([dying], id);
        dying.kill('SIGKILL');
        await dying.exit;
      }
      const killedAt = performance.now();
      const last = await workers.start();
      const tasks = await Promise.all(added.map((task) => producer.waitUntilFinished(task, { timeoutMs: LIMIT_MS })));
      t.diagnostic(`completed ${Math.round(performance.now() - killedAt)} ms after the second kill`);
      assert.deepEqual(
        tasks.map(({ state, result }) => [state, result]),
        added.map(() => ['completed', last.pid]),
      );
      for (const task of tasks) {
        assert.deepEqual(outcomesOf(task), ['worker_lost', 'worker_lost', 'completed']);
        for (const worker of workers.all) assert.ok(runsOf([worker], task.id) >= 1, `${task.id} ran on each worker`);
      }
      await fleet.emptied(keyPrefix);
    } finally {
      await workers.stop();
    }
  });
});

/** Resolves with a task in its final state. */
async function ended(producer: Producer, id: string): Promise<TaskView> {
  await producer
    .waitUntilFinished(id, { timeoutMs: LIMIT_MS })
    .catch(({ code }: { code?: string }) => assert.equal(code, 'TASK_CANCELLED'));
  return (await producer.get(id)) as TaskView;
}
