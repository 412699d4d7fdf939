import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { fleetCanary } from '../../../../worker/builtin/canary/definition.js';
import { handlerBegins, scenarioTask, scenarioTicker, startWorker } from '../../../support/fleet/scenario.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { FaultProxy } from '../../../support/network/fault-proxy.js';
import { until } from '../../../support/until.js';

/**
 * The guarantee is 12 s without an answer, up to 5 s before the next command, and a reconnect; the rest is for a busy machine. Without
 * the check, the system would notice after a quarter of an hour.
 */
const NOTICED_WITHIN_MS = 45_000;
const keyPrefix = 'half-open';

let fleet: TestFleet;
let proxy: FaultProxy;

before(async () => {
  fleet = await TestFleet.onOneServer();
  proxy = await FaultProxy.start(fleet.redis.port);
});
after(async () => {
  await proxy.stop();
  await fleet.stop();
});

/** Returns the ids of the connections with this name; the highest is the newest. */
async function connectionsNamed(name: string): Promise<number[]> {
  const lines = String(await fleet.client.call('CLIENT', 'LIST')).split('\n');
  return lines.filter((line) => line.includes(` name=${name} `)).map((line) => Number(/^id=(\d+)/.exec(line)?.[1]));
}

it('a worker and a producer with half-open connections fetch tasks, receive stops and follow results again', async (t) => {
  // Without polling: every stop that lands came as a message.
  const worker = await startWorker(fleet.redis, keyPrefix, {
    REDIS_URL: proxy.url,
    REDIS_HEALTH_CHECK_INTERVAL: '0.2',
    HEARTBEAT_INTERVAL_MS: '200',
    STOP_POLL_INTERVAL_MS: '3600000',
    FETCH_STALL_MS: '60000',
  });
  try {
    const producer = fleet.producer({ keyPrefix });
    const distant = fleet.producer({ keyPrefix, redisUrl: proxy.url });
    const running = await producer.enqueue(scenarioTicker, { file: '/no/such/file' });
    const later = await producer.enqueue(scenarioTask, {}, { delay: 600_000 });
    await handlerBegins([worker], running.id);
    const waiting = distant.result(later, { timeoutMs: 60_000 }).catch(({ code }: { code: string }) => code);
    await until(
      () => connectionsNamed('taskfleet:producer:follow'),
      ({ length }) => length > 0,
    );
    const [lastSubscriber = 0] = await connectionsNamed('taskfleet:worker:stop');

    const at = performance.now();
    const since = (): number => Math.round(performance.now() - at);
    proxy.halfOpen({ newConnections: false });
    // Another queue: the end of the stopped task makes the worker fetch from its own queue.
    const next = await producer.enqueue(fleetCanary, { run_ms: 1 });
    await producer.stop(later);
    // The producer ends the task in Redis after the grace period. The run goes on until its worker learns of that or of the lost lock.
    await producer.stop(running);
    const [took, resubscribed, landed, answered] = await Promise.all([
      until(
        () => producer.get(next.id),
        (view) => view?.state === 'completed',
        { timeoutMs: 2 * NOTICED_WITHIN_MS, everyMs: 10 },
      ).then(since),
      until(
        () => connectionsNamed('taskfleet:worker:stop'),
        (ids) => ids.some((id) => id > lastSubscriber),
        { timeoutMs: 2 * NOTICED_WITHIN_MS, everyMs: 10 },
      ).then(since),
      worker
        .waitForLine(new RegExp(`"${running.id}".*is aborted with (StopRequested|LockLost)`), { timeoutMs: 2 * NOTICED_WITHIN_MS })
        .then(since),
      waiting.then((code) => [code, since()] as const),
    ]);
    const figures = {
      'a task was run': took,
      'subscribed again': resubscribed,
      'a stop landed': landed,
      'a result was answered': answered[1],
    };
    t.diagnostic(`ms after the connections were half open: ${JSON.stringify(figures)}`);
    assert.equal(answered[0], 'TASK_CANCELLED');
    for (const [what, ms] of Object.entries(figures)) assert.ok(ms < NOTICED_WITHIN_MS, `${what} after ${ms} ms`);

    // By message alone: it is recorded before, and the worker does not poll.
    const keys = fleet.keys(keyPrefix);
    const [id = ''] = await fleet.client.zrange(keys.workers, '0', '-1');
    await until(
      () => fleet.client.hget(keys.worker(id), 'subscribed'),
      (subscribed) => subscribed === '1',
    );
    const last = await producer.enqueue(scenarioTask, { ms: 600_000 });
    await handlerBegins([worker], last.id);
    const { outcome, via } = await producer.stop(last, { waitMs: 60_000 });
    assert.deepEqual([outcome, via], ['cancelled', 'signal']);
  } finally {
    await worker.stop();
  }
});
