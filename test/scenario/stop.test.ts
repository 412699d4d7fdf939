import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../producer/index.js';
import { fleetCanary } from '../../worker/builtin/definitions.js';
import { handlerBegins, scenarioSpin, scenarioTask, startWorker } from '../support/fleet/scenario.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import type { NodeProcess } from '../support/process/processes.js';
import { until } from '../support/until.js';

const keyPrefix = 'stops';

describe('A stop from one process', () => {
  let fleet: TestFleet;
  let producer: Producer;
  let workers: NodeProcess[];

  before(async () => {
    fleet = await TestFleet.start();
    producer = fleet.producer({ keyPrefix });
    workers = await Promise.all([1, 2].map(() => startWorker(fleet.redis, keyPrefix, { THREAD_POOL_SIZE: '1' })));
  });
  after(async () => {
    await Promise.all(workers.map((worker) => worker.stop()));
    await fleet.stop();
  });

  it('reaches tasks in other processes: heeded, abandoned or killed with their thread', async () => {
    const item = 'chat-1';
    const cooperative = await producer.enqueue(fleetCanary, { mode: 'cooperative', run_ms: 600_000 }, { item });
    const deaf = await producer.enqueue(fleetCanary, { mode: 'deaf', run_ms: 600_000 }, { item });
    const spinning = await producer.enqueue(scenarioSpin, {}, { item });
    const ids = [cooperative.id, deaf.id, spinning.id];
    for (const id of ids) for await (const event of producer.events(id)) if (event.type === 'progress' || event.type === 'chunk') break;
    const receipts = await producer.stop(ids, { reason: 'enough', by: 'a test', waitMs: 60_000 });
    assert.deepEqual(
      receipts.map(({ outcome, via }) => [outcome, via]),
      ['signal', 'abandon', 'kill'].map((via) => ['cancelled', via]),
    );
    for (const id of ids) {
      const task = await producer.get(id);
      assert.deepEqual([task?.state, task?.error, task?.attempt], ['cancelled', 'Stopped by a test: enough', 1]);
      assert.ok(
        workers.some(({ pid }) => task?.worker?.startsWith(`${hostname()}-${pid}-`)),
        String(task?.worker),
      );
    }
    await until(
      () => producer.hasActiveTasks('chat-1'),
      (active) => !active,
    );
  });

  it('holds for a task that fails on the abort, and does not affect other tasks', async () => {
    const stopped = await producer.enqueue(scenarioTask, { ms: 600_000 }, { item: 'chat-2' });
    const others = await producer.enqueueMany(
      scenarioTask,
      [200, 200, 200].map((ms) => ({ input: { ms } })),
    );
    await handlerBegins(workers, stopped.id);
    const [receipt] = await producer.stopItem('chat-2', { waitMs: 60_000 });
    assert.deepEqual([receipt?.outcome, receipt?.via], ['cancelled', 'signal']);
    for (const other of others) assert.equal(await producer.result(other), 1);
    await fleet.emptied(keyPrefix);
  });

  it('reaches fifty tasks at once, and each ends once', async () => {
    const added = await producer.enqueueMany(
      scenarioTask,
      Array.from({ length: 50 }, () => ({ input: { ms: 600_000 }, item: 'chat-3' })),
    );
    await until(
      () => producer.list({ item: 'chat-3' }),
      ({ tasks }) => tasks.filter(({ state }) => state === 'running').length === 20,
    );
    const receipts = await producer.stopItem('chat-3', { waitMs: 60_000 });
    assert.equal(receipts.filter(({ outcome }) => outcome === 'cancelled').length, 50);
    assert.equal(receipts.filter(({ via }) => via === 'signal').length + receipts.filter(({ via }) => via === 'queue').length, 50);
    const stream = await fleet.client.xrange(`${fleet.keys(keyPrefix).jobs('scenario')}events`, '-', '+');
    const ends = stream.map(([, fields]) => fields).filter((fields) => fields[1] === 'failed' && added.some(({ id }) => id === fields[3]));
    assert.equal(ends.length, 50);
  });
});
