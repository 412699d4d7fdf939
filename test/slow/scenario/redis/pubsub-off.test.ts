import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../../producer/index.js';
import { handlerBegins, scenarioTask, scenarioTicker, startWorker } from '../../../support/fleet/scenario.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import type { NodeProcess } from '../../../support/process/processes.js';

const keyPrefix = 'mute';
const POLL_MS = 400;
/** Beyond the poll that finds a stop: for a busy machine. A lost stop never lands. */
const LIMIT_MS = POLL_MS + 30_000;

describe('Without permission to publish or subscribe', () => {
  let fleet: TestFleet;
  let worker: NodeProcess;
  let muteUrl: string;

  before(async () => {
    fleet = await TestFleet.start();
    await fleet.onEach((client) => client.call('ACL', 'SETUSER', 'mute', 'on', '>pw', '~*', '+@all', 'resetchannels'));
    muteUrl = fleet.redis.url.replace('redis://', 'redis://mute:pw@');
    worker = await startWorker(fleet.redis, keyPrefix, {
      REDIS_URL: muteUrl,
      STOP_POLL_INTERVAL_MS: String(POLL_MS),
      HEARTBEAT_INTERVAL_MS: '1000',
    });
  });
  after(async () => {
    await worker.stop();
    await fleet.stop();
  });

  /** Returns the longest latency of a few stops at different times between two polls. */
  async function slowestStop(producer: Producer): Promise<number> {
    const latencies: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      const { id } = await producer.enqueue(scenarioTask, { ms: 600_000 }, { item: 'chat-1' });
      await handlerBegins([worker], id);
      const receipt = await producer.stop(id, { reason: 'enough', waitMs: 60_000 });
      assert.deepEqual([receipt.outcome, receipt.via, receipt.reason], ['cancelled', 'signal', 'enough']);
      latencies.push(receipt.latencyMs ?? Infinity);
    }
    return Math.max(...latencies);
  }

  it('a worker reports in its log and its heartbeat that it cannot receive stop commands', async () => {
    await worker.waitForLine(/Could not subscribe to stop commands; polling for stops instead/);
    const keys = fleet.keys(keyPrefix);
    const [id] = await fleet.client.zrange(keys.workers, '0', '-1');
    assert.equal(await fleet.client.hget(keys.worker(id ?? ''), 'subscribed'), '0');
  });

  it('a stop lands with the next poll', async (t) => {
    const slowest = await slowestStop(fleet.producer({ keyPrefix }));
    t.diagnostic(`no subscriber, poll every ${POLL_MS} ms: slowest of three stops ${slowest} ms`);
    assert.ok(slowest <= LIMIT_MS, `${slowest} ms`);
  });

  it('a stop lands with the next poll even if its message cannot be sent, and one without a wait is recorded', async (t) => {
    const producer = fleet.producer({ keyPrefix, redisUrl: muteUrl });
    const slowest = await slowestStop(producer);
    t.diagnostic(`no message either: slowest of three stops ${slowest} ms`);
    assert.ok(slowest <= LIMIT_MS, `${slowest} ms`);
    const { id } = await producer.enqueue(scenarioTask, { ms: 600_000 });
    await handlerBegins([worker], id);
    assert.equal((await producer.stop(id)).outcome, 'requested');
    await assert.rejects(producer.result(id, { timeoutMs: 60_000 }), { code: 'TASK_CANCELLED' });
  });

  it('everything else works: results, events, items, stops of queued tasks, and an empty registry at the end', async () => {
    const producer = fleet.producer({ keyPrefix, redisUrl: muteUrl });
    const later = await producer.enqueue(scenarioTask, {}, { item: 'chat-2', delay: 600_000 });
    const talker = await producer.enqueue(scenarioTicker, { file: '/' }, { item: 'chat-2' });
    const types = new Set<string>();
    for await (const event of producer.events(talker)) types.add(event.type);
    assert.deepEqual([...types].toSorted(), ['chunk', 'progress', 'state']);
    assert.equal(await producer.result(talker), worker.pid);
    assert.equal(await producer.hasActiveTasks('chat-2'), true);
    const receipts = await producer.stopItem('chat-2');
    assert.deepEqual(
      receipts.map(({ id, outcome, via }) => [id, outcome, via]),
      [[later.id, 'cancelled', 'queue']],
    );
    await fleet.emptied(keyPrefix);
  });
});
