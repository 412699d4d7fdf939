import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../../producer/index.js';
import { handlerBegins, scenarioHold, scenarioTask, scenarioTicker, startWorker } from '../../../support/fleet/scenario.js';
import { EMPTY_REGISTRY, TestFleet } from '../../../support/fleet/test-fleet.js';
import type { NodeProcess } from '../../../support/process/processes.js';

describe('SIGTERM to a worker process', () => {
  let fleet: TestFleet;
  let producer: Producer;
  let keyPrefix: string;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function setUp(env: Readonly<Record<string, string>>) {
    keyPrefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix });
    return startWorker(fleet.redis, keyPrefix, env);
  }

  async function running(worker: NodeProcess, enqueued: Promise<{ readonly id: string }>): Promise<string> {
    const { id } = await enqueued;
    await handlerBegins([worker], id);
    return id;
  }

  it('lets tasks finish in time, requeues the others for another worker, and exits with code 0', async () => {
    const worker = await setUp({ SHUTDOWN_TIMEOUT_MS: '4000', HOLD: 'yes' });
    const item = 'chat-1';
    const [soonEnd, deafEnd] = ['soon', 'deaf'].map((name) => join(fleet.redis.dir, `end-${name}`)) as [string, string];
    const [soon, heeding, deaf] = [
      await running(worker, producer.enqueue(scenarioTicker, { file: soonEnd }, { item })),
      await running(worker, producer.enqueue(scenarioHold, {}, { item })),
      await running(worker, producer.enqueue(scenarioTicker, { file: deafEnd }, { item })),
    ];
    worker.kill('SIGTERM');
    await worker.waitForLine(/no longer fetching tasks/);
    await writeFile(soonEnd, '');
    const waiting = await producer.enqueue(scenarioHold, {});
    assert.deepEqual(await worker.exit, { code: 0, signal: null });
    assert.equal(await producer.result(soon), worker.pid);
    for (const id of [heeding, deaf, waiting.id]) {
      const task = await producer.get(id);
      assert.deepEqual([task?.state, task?.attempt], ['queued', 0]);
    }
    assert.equal(await producer.hasActiveTasks('chat-1'), true);
    await writeFile(deafEnd, '');
    const other = await startWorker(fleet.redis, keyPrefix);
    for (const id of [heeding, deaf, waiting.id]) {
      const { result, attempt } = await producer.waitUntilFinished(id);
      assert.deepEqual([result, attempt], [other.pid, 1]);
    }
    assert.deepEqual(await other.stop(), { code: 0, signal: null });
    assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
    assert.equal(await fleet.client.zcard(fleet.keys(keyPrefix).workers), 0);
  });

  it('sent twice ends it at once', async () => {
    const worker = await setUp({ SHUTDOWN_TIMEOUT_MS: '600000' });
    await running(worker, producer.enqueue(scenarioTask, { ms: 600_000, deaf: true }));
    worker.kill('SIGTERM');
    await worker.waitForLine(/no longer fetching tasks/);
    worker.kill('SIGTERM');
    assert.deepEqual(await worker.exit, { code: 143, signal: null });
  });

  it('ends it in time while Redis is down', async () => {
    const own = await TestFleet.start();
    try {
      const worker = await startWorker(own.redis, 'away', { SHUTDOWN_TIMEOUT_MS: '100' });
      await own.producer({ keyPrefix: 'away' }).enqueue(scenarioTask, { ms: 600_000 });
      await worker.waitForLine(/begins, attempt 1/);
      await own.redis.kill();
      const killedAt = performance.now();
      worker.kill('SIGTERM');
      assert.deepEqual(await worker.exit, { code: 0, signal: null });
      const ms = performance.now() - killedAt;
      // 2 s beyond the timeout, and the exit of a Node process on a busy machine.
      assert.ok(ms < 100 + 2_000 + 30_000, `ended after ${Math.round(ms)} ms`);
    } finally {
      await own.stop();
    }
  });
});
