import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { createLoggerFactory } from '../../shared/logger.js';
import { resolveSettings } from '../../shared/settings.js';
import type { Store } from '../../shared/store.js';
import { Heartbeat, type WorkerStatus } from '../../worker/heartbeat.js';
import { ScriptedTask } from '../support/scripted-task.js';
import { TestFleet } from '../support/test-fleet.js';
import { until } from '../support/until.js';

const STATUS: WorkerStatus = { pid: 7, queues: ['a', 'b'], slots: 20, running: ['one'], zombies: 1, draining: false, subscribed: true };
const logger = createLoggerFactory({ settings: resolveSettings({ logLevel: 'silent' }) })('worker');

describe('A heartbeat', () => {
  let fleet: TestFleet;
  let store: Store;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function newHeartbeat(intervalMs: number, status: () => WorkerStatus = () => STATUS): Promise<Heartbeat> {
    store = fleet.store();
    await store.redis.ping();
    return new Heartbeat({ workerId: 'w1', store, intervalMs, status, logger });
  }

  it('puts the worker into the list, with what it says of itself, for three beats', async () => {
    const heartbeat = await newHeartbeat(60_000);
    const earliest = Date.now();
    await heartbeat.beat();
    const score = Number(await store.redis.zscore(store.keys.workers, 'w1'));
    assert.ok(score >= earliest && score <= Date.now());
    const { started_at: startedAt, beat_at: beatAt, ...fields } = await store.redis.hgetall(store.keys.worker('w1'));
    assert.deepEqual(fields, {
      ...{ host: hostname(), pid: '7', slots: '20', zombies: '1', queues: '["a","b"]', running: '["one"]', draining: '0', subscribed: '1' },
    });
    assert.equal(Number(beatAt), score);
    assert.ok(Number(startedAt) <= score);
    const ttl = await store.redis.pttl(store.keys.worker('w1'));
    assert.ok(ttl > 120_000 && ttl <= 180_000, `${ttl} ms`);
    assert.deepEqual((await store.redis.smembers(store.keys.queues)).toSorted(), ['a', 'b']);
  });

  it('beats by itself, each time with what is so then', async () => {
    let beats = 0;
    const heartbeat = await newHeartbeat(20, () => ({ ...STATUS, zombies: (beats += 1) }));
    await heartbeat.start();
    await until(() => store.redis.hget(store.keys.worker('w1'), 'zombies'), (zombies) => Number(zombies) >= 4);
    await heartbeat.stop();
  });

  it('forgets workers that have been silent for an hour', async () => {
    const heartbeat = await newHeartbeat(60_000);
    for (const [id, silentMs] of [['long-gone', 3_600_001], ['silent', 3_500_000]] as const) {
      await store.redis.zadd(store.keys.workers, Date.now() - silentMs, id);
    }
    await heartbeat.beat();
    assert.deepEqual((await store.redis.zrange(store.keys.workers, '0', '-1')).toSorted(), ['silent', 'w1']);
  });

  it('leaves nothing of the worker when it stops, whatever was on its way', async () => {
    const heartbeat = await newHeartbeat(60_000);
    await heartbeat.start();
    void heartbeat.beat();
    await heartbeat.stop();
    await heartbeat.beat();
    assert.deepEqual([await store.redis.zcard(store.keys.workers), await store.redis.exists(store.keys.worker('w1'))], [0, 0]);
  });

  it('tells of the tasks that a worker runs, and of its shutting down', async () => {
    const prefix = fleet.newPrefix();
    const task = new ScriptedTask('beat.task');
    const worker = await fleet.worker(prefix, [task.handler], { heartbeatMs: 100, shutdownTimeoutMs: 30_000, concurrency: 3, threads: 1 });
    const { id } = await fleet.producer({ keyPrefix: prefix }).enqueue(task.definition, {});
    const call = await task.call();
    const key = `${prefix}:workers:${worker.id}`;
    await until(() => fleet.client.hget(key, 'running'), (running) => running === JSON.stringify([id]));
    assert.deepEqual(JSON.parse((await fleet.client.hget(key, 'queues')) ?? ''), ['chat', 'documents', 'fleet', 'beat']);
    // Three on each queue, but as many as there are threads where all tasks are isolated.
    assert.ok([10, 12].includes(Number(await fleet.client.hget(key, 'slots'))));
    const stopped = worker.stop();
    await until(() => fleet.client.hget(key, 'draining'), (draining) => draining === '1');
    call.returns();
    await stopped;
    assert.deepEqual([await fleet.client.exists(key), await fleet.client.zcard(`${prefix}:workers`)], [0, 0]);
  });

  it('is there again after Redis has lost it', async () => {
    const own = await TestFleet.start();
    try {
      const prefix = own.newPrefix();
      const worker = await own.worker(prefix, [], { heartbeatMs: 600_000 });
      await own.redis.kill();
      await own.redis.restart();
      await until(() => own.client.zscore(`${prefix}:workers`, worker.id), (score) => score !== null);
    } finally {
      await own.stop();
    }
  });
});
