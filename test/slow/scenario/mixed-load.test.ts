import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../producer/index.js';
import { scenarioTask, startWorker } from '../../support/fleet/scenario.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import type { NodeProcess } from '../../support/process/processes.js';

/** `npm run bench` uses 20,000. */
const TASKS = Number(process.env['MIXED_TASKS'] ?? 2_000);
const BATCH = 200;
const keyPrefix = 'mixed';

describe('A mixed load', () => {
  let fleet: TestFleet;
  let producer: Producer;
  let workers: NodeProcess[];

  before(async () => {
    fleet = await TestFleet.start();
    producer = fleet.producer({ keyPrefix });
    workers = await Promise.all([1, 2].map(() => startWorker(fleet.redis, keyPrefix, { WORKER_CONCURRENCY: '32' })));
  });
  after(async () => {
    await Promise.all(workers.map((worker) => worker.stop()));
    await fleet.stop();
  });

  it(`of ${TASKS} tasks that complete, fail and are stopped ends each task as expected, and leaves an empty registry`, async () => {
    const stops = [];
    const ids: string[] = [];
    for (let from = 0; from < TASKS; from += BATCH) {
      const tasks = Array.from({ length: BATCH }, (_, index) => ({
        input: { ms: index % 4, fails: index % 3 === 0 },
        item: `chat-${index % 20}`,
        // All of these are stopped. The long delay leaves tasks to cancel even where the workers are faster than the stops.
        delay: index % 10 === 0 ? (index % 20 === 0 ? 600_000 : 500) : 0,
        priority: index % 7 === 0 ? 5 : 0,
      }));
      const added = await producer.enqueueMany(scenarioTask, tasks);
      ids.push(...added.map(({ id }) => id));
      stops.push(
        producer.stop(
          added.filter((_, index) => index % 5 === 0),
          { by: 'a test', waitMs: 60_000 },
        ),
      );
      stops.push(producer.stopItem('chat-7', { by: 'a test', waitMs: 60_000 }));
    }
    const receipts = (await Promise.all(stops)).flat();
    await fleet.emptied(keyPrefix);

    const views = new Map((await Promise.all(ids.map((id) => producer.get(id)))).map((task) => [task?.id, task]));
    for (const receipt of receipts) {
      const state = views.get(receipt.id)?.state;
      assert.equal(state, receipt.outcome === 'cancelled' ? 'cancelled' : receipt.endedAs, JSON.stringify(receipt));
    }
    const counts = { completed: 0, failed: 0, cancelled: 0 };
    ids.forEach((id, index) => {
      const task = views.get(id);
      assert.ok(task && task.state in counts, `${id} is ${task?.state}`);
      counts[task.state as keyof typeof counts] += 1;
      if (task.state === 'cancelled')
        return assert.ok((index % BATCH) % 5 === 0 || task.item === 'chat-7', 'only what was stopped is cancelled');
      const fails = (index % BATCH) % 3 === 0;
      assert.deepEqual([task.state, task.attempt], fails ? ['failed', 2] : ['completed', 1]);
    });
    assert.ok(
      Object.values(counts).every((count) => count > TASKS / 100),
      JSON.stringify(counts),
    );
  });
});
