import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../../producer/index.js';
import { handlerBegins, scenarioTask, startWorker } from '../../../support/fleet/scenario.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import type { NodeProcess } from '../../../support/process/processes.js';
import { until } from '../../../support/until.js';

const keyPrefix = 'restart';
/** Beyond the latency of a stop that comes as a message. */
const POLL_MS = 60_000;

describe('After a kill and restart of Redis while two workers run tasks', () => {
  let fleet: TestFleet;
  let producer: Producer;
  let workers: NodeProcess[];

  before(async () => {
    fleet = await TestFleet.start({ appendonly: 'yes' });
    producer = fleet.producer({ keyPrefix });
    workers = await Promise.all(
      [1, 2].map(() =>
        startWorker(fleet.redis, keyPrefix, {
          LOCK_DURATION_MS: '5000',
          STALLED_CHECK_INTERVAL_MS: '500',
          STOP_POLL_INTERVAL_MS: String(POLL_MS),
        }),
      ),
    );
  });
  after(async () => {
    await Promise.all(workers.map((worker) => worker.stop()));
    await fleet.stop();
  });

  it('nothing is lost, each task ends once, the registry is empty, and the next stop works', async () => {
    // Tasks end during and after the outage, some before; each failing task is retried once.
    const added = await producer.enqueueMany(
      scenarioTask,
      Array.from({ length: 20 }, (_, index) => ({ input: { ms: 1_000 + 400 * index, fails: index % 5 === 0 }, item: `chat-${index % 3}` })),
    );
    await until(
      () => producer.list(),
      ({ tasks }) => tasks.length >= 5 && tasks.every(({ state }) => state === 'running' || state === 'retrying'),
    );
    await fleet.redis.kill();
    await Promise.all(workers.map((worker) => worker.waitForLine(/connection lost/)));
    await fleet.redis.restart();
    const states = [];
    for (const { id } of added) {
      await until(
        () =>
          producer.result(id, { timeoutMs: 60_000 }).then(
            () => true,
            ({ code }: { code?: string }) => code === 'TASK_FAILED',
          ),
        (over) => over,
      );
      states.push((await producer.get(id))?.state);
    }
    assert.deepEqual(
      states,
      added.map((_, index) => (index % 5 === 0 ? 'failed' : 'completed')),
    );
    await fleet.emptied(keyPrefix);

    const stream = await fleet.client.xrange(`${fleet.keys(keyPrefix).jobs('scenario')}events`, '-', '+');
    const ends = new Map<string, string[]>();
    for (const [, [, event = '', , id = '']] of stream)
      if (event === 'completed' || event === 'failed') ends.set(id, [...(ends.get(id) ?? []), event]);
    assert.deepEqual(
      added.map(({ id }) => ends.get(id)?.length),
      added.map(() => 1),
    );

    for (let round = 0; round < 4; round += 1) {
      const { id } = await producer.enqueue(scenarioTask, { ms: 600_000 });
      await handlerBegins(workers, id);
      const receipt = await producer.stop(id, { waitMs: 60_000 });
      assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'signal']);
      assert.ok((receipt.latencyMs ?? Infinity) < POLL_MS, `${receipt.latencyMs} ms: by the poll instead of the message`);
    }
  });
});
