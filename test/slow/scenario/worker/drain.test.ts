import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import type { Producer, WorkerView } from '../../../../producer/index.js';
import { defineTask } from '../../../../shared/task/definition.js';
import { QUICK, ScenarioWorkers, handlerBegins, runsOf, scenarioTask, scenarioTicker } from '../../../support/fleet/scenario.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { built } from '../../../support/process/built.js';
import { runCli } from '../../../support/process/run-cli.js';
import { until } from '../../../support/until.js';

const TASKS = 200;

interface WorkerJson {
  readonly id: string;
  readonly fetching: boolean;
  readonly running: readonly string[];
}

describe('Workers that are taken out, and workers that die', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  const listed = (producer: Producer, pid: number | undefined, holds: (worker: WorkerView) => boolean): Promise<WorkerView | undefined> =>
    until(
      async () => (await producer.workers.list()).find((worker) => worker.pid === pid),
      (worker) => worker !== undefined && holds(worker),
      { everyMs: 50 },
    );

  it('a drained worker ends its tasks, starts none of the next 200, and goes on when resumed', async (t) => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const workers = new ScenarioWorkers(fleet.redis, keyPrefix, { WORKER_CONCURRENCY: '3', HEARTBEAT_INTERVAL_MS: '1000' });
    try {
      const drained = await workers.start();
      const end = join(fleet.redis.dir, `end-${keyPrefix}`);
      const held = await producer.enqueueMany(scenarioTicker, [{ input: { file: end } }, { input: { file: end } }]);
      await Promise.all(held.map(({ id }) => handlerBegins([drained], id)));
      const { id } = (await listed(producer, drained.pid, ({ running }) => running.length === 2)) as WorkerView;

      const env = { REDIS_URL: fleet.redis.url, REDIS_CLUSTER: String(fleet.redis.topology === 'cluster'), REDIS_KEY_PREFIX: keyPrefix };
      const draining = runCli(['worker', 'drain', id, '--reason', 'new kernel', '--wait', '120000', '-o', 'json'], { env });
      await listed(producer, drained.pid, ({ fetching }) => fetching === false);
      const other = await workers.start();
      const added = await producer.enqueueMany(
        scenarioTask,
        Array.from({ length: TASKS }, (_, index) => ({ input: { ms: index % 10 } })),
      );
      await writeFile(end, '');
      const { code, stdout, stderr } = await draining;
      const idle = JSON.parse(stdout) as WorkerJson;
      assert.deepEqual([code, stderr, idle.id, idle.fetching, idle.running], [0, '', id, false, []]);
      for (const { id: task } of held) assert.equal((await producer.get(task))?.state, 'completed');
      for (const { id: task } of added) await producer.result(task);
      assert.deepEqual(
        added.filter(({ id: task }) => runsOf([drained], task) > 0),
        [],
      );
      assert.ok(added.every(({ id: task }) => runsOf([other], task) === 1));

      assert.equal((await runCli(['worker', 'resume', id], { env })).stderr, `Resumed worker ${id}.`);
      await other.stop();
      const again = await producer.enqueue(scenarioTask, {});
      await producer.result(again);
      assert.equal(runsOf([drained], again.id), 1);
      t.diagnostic(`${TASKS} tasks ran beside a drained worker, none on it`);
    } finally {
      await workers.stop();
    }
  });

  it('a worker that is killed, hangs or throws leaves a record with its last words and what it ran', async () => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const workers = new ScenarioWorkers(fleet.redis, keyPrefix, {
      ...{ ...QUICK, HEARTBEAT_INTERVAL_MS: '500', EVENT_LOOP_TIMEOUT_MS: '5000', SHUTDOWN_TIMEOUT_MS: '500' },
      TASK_MODULES: built('test/slow/scenario/worker/faulty-tasks.mjs'),
    });
    try {
      for (const [name, kill, words] of [
        ['faulty.waits', 'SIGKILL', /^heartbeats stopped$/],
        ['faulty.spins', null, /^the event loop hung for more than 5 s; the watchdog killed the process$/],
        ['faulty.throws', null, /^Uncaught exception; shutting down: nobody catches this$/],
      ] as const) {
        const worker = await workers.start();
        const task = await producer.enqueue(defineTask({ name, input: z.any() }), {});
        if (kill !== null) {
          await listed(producer, worker.pid, ({ running }) => running.includes(task.id));
          worker.kill(kill);
        }
        await worker.exit;
        const dead = await listed(producer, worker.pid, ({ alive }) => !alive);
        assert.match(dead?.lastWords ?? '', words);
        assert.deepEqual([dead?.host !== null, dead?.definitions], [true, null]);
        // A hung process sends no heartbeat that could name the task.
        if (name !== 'faulty.spins') assert.deepEqual(dead?.running, [task.id], name);
        // The lists of the dead outlive those of the silent.
        await fleet.client.del(fleet.keys(keyPrefix).workers);
        assert.equal((await producer.workers.list()).find(({ pid }) => pid === worker.pid)?.lastWords, dead?.lastWords);
      }
    } finally {
      await workers.stop();
    }
  });
});
