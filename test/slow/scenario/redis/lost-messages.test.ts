import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Producer } from '../../../../producer/index.js';
import type { StopReceipt } from '../../../../shared/stop/receipt.js';
import { handlerBegins, scenarioTask, startWorker } from '../../../support/fleet/scenario.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import type { NodeProcess } from '../../../support/process/processes.js';

const keyPrefix = 'lost';
const POLL_MS = 500;
/** Beyond the poll that finds a stop: for a busy machine. A lost stop never lands. */
const LIMIT_MS = POLL_MS + 30_000;
const STOPS = 100;
const PAUSE_MS = 1_500;

describe('Stops of tasks in two worker processes', () => {
  let fleet: TestFleet;
  let producer: Producer;
  let workers: NodeProcess[];

  before(async () => {
    fleet = await TestFleet.start();
    producer = fleet.producer({ keyPrefix });
    workers = await Promise.all(
      [1, 2].map(() => startWorker(fleet.redis, keyPrefix, { WORKER_CONCURRENCY: String(STOPS), STOP_POLL_INTERVAL_MS: String(POLL_MS) })),
    );
  });
  afterEach(async () => {
    await fleet.emptied(keyPrefix);
  });
  after(async () => {
    await Promise.all(workers.map((worker) => worker.stop()));
    await fleet.stop();
  });

  async function running(count: number): Promise<string[]> {
    const added = await producer.enqueueMany(
      scenarioTask,
      Array.from({ length: count }, () => ({ input: { ms: 600_000 }, item: 'chat-1' })),
    );
    for (const { id } of added) await handlerBegins(workers, id);
    return added.map(({ id }) => id);
  }

  /** Asserts that a receipt agrees with its task. */
  async function checkTruth(receipts: readonly StopReceipt[]): Promise<void> {
    for (const { id, outcome, via, settledAt } of receipts) {
      const task = await producer.get(id);
      assert.deepEqual([outcome, via, settledAt], [task?.state, task?.stop?.via, task?.finishedAt]);
    }
  }

  it(`land with the next poll, all ${STOPS}, while every subscriber is disconnected repeatedly`, async (t) => {
    const ids = await running(STOPS);
    let cuts = 0;
    const cutter = setInterval(() => {
      void fleet
        .onEach((client) => client.call('CLIENT', 'KILL', 'TYPE', 'pubsub'))
        .then((cut) => (cuts += cut.reduce<number>((sum, some) => sum + Number(some), 0)));
    }, 5);
    const stops: Promise<StopReceipt>[] = [];
    for (const id of ids) {
      stops.push(producer.stop(id, { by: 'a test', waitMs: 60_000 }));
      await delay(10);
    }
    const receipts = await Promise.all(stops);
    clearInterval(cutter);
    const latencies = receipts.map(({ latencyMs }) => latencyMs ?? Infinity).toSorted((a, b) => a - b);
    t.diagnostic(
      `${cuts} connections cut; stops: median ${latencies[STOPS / 2]} ms, slowest ${latencies.at(-1)} ms, poll every ${POLL_MS} ms`,
    );
    assert.deepEqual([...new Set(receipts.map(({ outcome, via }) => `${outcome} via ${via}`))], ['cancelled via signal']);
    assert.ok(cuts >= 10, `${cuts} cuts`);
    assert.ok((latencies.at(-1) ?? Infinity) <= LIMIT_MS, `${latencies.at(-1)} ms`);
    await checkTruth(receipts);
  });

  for (const mode of ['ALL', 'WRITE'] as const) {
    it(`land once Redis goes on after CLIENT PAUSE ${mode}, with correct receipts`, async (t) => {
      const ids = await running(20);
      const pausedAt = performance.now();
      const early = ids.slice(0, 10).map((id) => producer.stop(id, { waitMs: 60_000 }));
      const pause = fleet.onEach((client) => client.call('CLIENT', 'PAUSE', PAUSE_MS, mode));
      const amid = ids.slice(10, 19).map((id) => producer.stop(id, { waitMs: 60_000 }));
      await pause;
      const unawaited = producer.stop(ids[19] as string);
      const receipts = await Promise.all([...early, ...amid]);
      const tookMs = performance.now() - pausedAt;
      // The message may have ended the task before the stop was recorded.
      const receipt = await unawaited;
      if (receipt.outcome === 'cancelled') await checkTruth([receipt]);
      else assert.equal(receipt.outcome, 'requested');
      assert.ok(tookMs >= PAUSE_MS, 'the pause fell between them');
      t.diagnostic(`Redis paused (${mode}) for ${PAUSE_MS} ms: the last stop was over ${Math.round(tookMs - PAUSE_MS)} ms after it`);
      assert.ok(tookMs <= PAUSE_MS + LIMIT_MS, `${tookMs} ms`);
      assert.deepEqual([...new Set(receipts.map(({ outcome, via }) => `${outcome} via ${via}`))], ['cancelled via signal']);
      await checkTruth(receipts);
      await assert.rejects(producer.result(ids[19] as string, { timeoutMs: 60_000 }), { code: 'TASK_CANCELLED' });
    });
  }
});
