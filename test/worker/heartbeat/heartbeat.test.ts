import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import type { Store } from '../../../shared/store.js';
import { defineTask } from '../../../shared/task/definition.js';
import { digestOf, summaryOf } from '../../../shared/workers/definitions.js';
import type { Vitals, WorkerStatus } from '../../../shared/workers/status.js';
import { Heartbeat } from '../../../worker/heartbeat/heartbeat.js';
import { eventOf } from '../../support/event.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const STATUS: WorkerStatus = {
  ...{
    pid: 7,
    queues: ['a', 'b'],
    slots: 20,
    running: ['one'],
    zombies: 1,
    maintenance: true,
    draining: false,
    fetching: true,
    subscribed: true,
    replaced: 2,
    broken: [{ queue: 'a', problem: 'p:bull:a:wait holds a hash' }],
    connections: 9,
  },
  log: { lost: 7, error: 'ENOSPC' },
  stopLatency: { count: 5, p50Ms: 3, p99Ms: 40, maxMs: 70 },
};
const VITALS: Vitals = { memoryBytes: 300, heapBytes: 100, heapLimitBytes: 200, loopDelayMs: 1.5, threads: 2 };
const LATENCY_FIELDS = ['stops', 'stop_p50_ms', 'stop_p99_ms', 'stop_max_ms'] as const;
const logger = createLoggerFactory({ settings: resolveSettings({ logLevel: 'silent' }) })('worker');

const definition = defineTask({ name: 'a.task', input: z.object({}) });
const BASE = {
  ...{ workerId: 'w1', schemas: { 'a.task': 'abc' }, definitions: [definition], version: '1.2.3', node: 'v20.1.0', logger },
  onDrain: () => undefined,
};

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
    return new Heartbeat({ ...BASE, store, intervalMs, beat: () => ({ status: status(), vitals: VITALS, lastLine: null }) });
  }

  it('lists the worker with its status for three beats', async () => {
    const heartbeat = await newHeartbeat(60_000);
    const earliest = Date.now();
    await heartbeat.beat();
    const score = Number(await store.redis.zscore(store.keys.workers, 'w1'));
    assert.ok(score >= earliest && score <= Date.now());
    const { started_at: startedAt, beat_at: beatAt, ...fields } = await store.redis.hgetall(store.keys.worker('w1'));
    assert.deepEqual(fields, {
      ...{
        host: hostname(),
        pid: '7',
        slots: '20',
        zombies: '1',
        queues: '["a","b"]',
        running: '["one"]',
        maintenance: '1',
        draining: '0',
        fetching: '1',
        subscribed: '1',
        replaced: '2',
        broken: JSON.stringify(STATUS.broken),
        connections: '9',
        clock_ms: '0',
        schemas: '{"a.task":"abc"}',
      },
      ...{ memory_bytes: '300', heap_bytes: '100', heap_limit_bytes: '200', loop_delay_ms: '1.5', threads: '2' },
      ...{ version: '1.2.3', node: 'v20.1.0', definitions: JSON.stringify({ 'a.task': digestOf(summaryOf(definition)) }) },
      ...{ stops: '5', stop_p50_ms: '3', stop_p99_ms: '40', stop_max_ms: '70', log_lost: '7', log_error: 'ENOSPC' },
    });
    assert.equal(Number(beatAt), score);
    assert.ok(Number(startedAt) <= score);
    const ttl = await store.redis.pttl(store.keys.worker('w1'));
    assert.ok(ttl > 120_000 && ttl <= 180_000, `${ttl} ms`);
    assert.deepEqual((await store.redis.smembers(store.keys.queues)).toSorted(), ['a', 'b']);
  });

  it('is sent at each interval with the current status', async () => {
    let beats = 0;
    const heartbeat = await newHeartbeat(20, () => ({ ...STATUS, zombies: (beats += 1) }));
    await heartbeat.start();
    await until(
      () => store.redis.hget(store.keys.worker('w1'), 'zombies'),
      (zombies) => Number(zombies) >= 4,
    );
    await heartbeat.stop();
  });

  it('forgets workers that have been silent for an hour', async () => {
    const heartbeat = await newHeartbeat(60_000);
    for (const [id, silentMs] of [
      ['long-gone', 3_600_001],
      ['silent', 3_500_000],
    ] as const) {
      await store.redis.zadd(store.keys.workers, Date.now() - silentMs, id);
    }
    await heartbeat.beat();
    assert.deepEqual((await store.redis.zrange(store.keys.workers, '0', '-1')).toSorted(), ['silent', 'w1']);
  });

  it('removes the worker completely when it stops, even during a beat', async () => {
    const heartbeat = await newHeartbeat(60_000);
    await heartbeat.start();
    void heartbeat.beat();
    await heartbeat.stop();
    await heartbeat.beat();
    assert.deepEqual([await store.redis.zcard(store.keys.workers), await store.redis.exists(store.keys.worker('w1'))], [0, 0]);
  });

  it('keeps one beat in progress and one pending while Redis refuses writes, and then reports the current status', async () => {
    const own = await TestFleet.onOneServer();
    try {
      const ownStore = own.store();
      await ownStore.redis.ping();
      let zombies = 0;
      const heartbeat = new Heartbeat({
        ...{ ...BASE, store: ownStore, intervalMs: 60_000 },
        beat: () => ({ status: { ...STATUS, zombies: (zombies += 1) }, vitals: VITALS, lastLine: null }),
      });
      await heartbeat.start();
      await heartbeat.beat();
      await own.client.replicaof('127.0.0.1', 1);
      const said = zombies;
      const beat = heartbeat.beat();
      // Each refusal makes the client reconnect, and each connection sends a beat.
      for (let times = 0; times < 5; times += 1) await eventOf(ownStore.redis, 'ready');
      assert.equal(zombies, said + 1);
      await own.client.replicaof('NO', 'ONE');
      await beat;
      await until(
        () => own.client.hget(ownStore.keys.worker('w1'), 'zombies'),
        (last) => last === String(said + 2),
      );
      await heartbeat.stop();
    } finally {
      await own.stop();
    }
  });

  it('reports the running tasks of a worker, and its shutdown', async () => {
    const prefix = fleet.newPrefix();
    const task = new ScriptedTask('beat.task');
    const worker = await fleet.worker(prefix, [task.handler], { heartbeatMs: 100, shutdownTimeoutMs: 30_000, concurrency: 3, threads: 1 });
    const { id } = await fleet.producer({ keyPrefix: prefix }).enqueue(task.definition, {});
    const call = await task.call();
    const key = `${prefix}:workers:${worker.id}`;
    await until(
      () => fleet.client.hget(key, 'running'),
      (running) => running === JSON.stringify([id]),
    );
    assert.deepEqual(JSON.parse((await fleet.client.hget(key, 'queues')) ?? ''), ['chat', 'documents', 'fleet', 'beat']);
    // Three per queue; a queue with isolated tasks only has as many as there are threads.
    assert.ok([10, 12].includes(Number(await fleet.client.hget(key, 'slots'))));
    const stopped = worker.stop();
    await until(
      () => fleet.client.hget(key, 'draining'),
      (draining) => draining === '1',
    );
    call.returns();
    await stopped;
    assert.deepEqual([await fleet.client.exists(key), await fleet.client.zcard(`${prefix}:workers`)], [0, 0]);
  });

  it('has empty stop latencies until the first, which may be 0 ms', async () => {
    let stopLatency: WorkerStatus['stopLatency'] = { count: 0, p50Ms: null, p99Ms: null, maxMs: null };
    const heartbeat = await newHeartbeat(60_000, () => ({ ...STATUS, stopLatency }));
    await heartbeat.beat();
    assert.deepEqual(await store.redis.hmget(store.keys.worker('w1'), ...LATENCY_FIELDS), ['0', '', '', '']);
    stopLatency = { count: 1, p50Ms: 0, p99Ms: 0, maxMs: 0 };
    await heartbeat.beat();
    assert.deepEqual(await store.redis.hmget(store.keys.worker('w1'), ...LATENCY_FIELDS), ['1', '0', '0', '0']);
  });

  it('reports the stop latencies of the receipts', async () => {
    const prefix = fleet.newPrefix();
    const task = new ScriptedTask('beat.stopped');
    const worker = await fleet.worker(prefix, [task.handler], { heartbeatMs: 100, stopGraceMs: 50 });
    const producer = fleet.producer({ keyPrefix: prefix });
    const deaf = await producer.enqueue(task.definition, {});
    await task.call(0);
    const given = (await producer.stop(deaf.id, { waitMs: 60_000 })).latencyMs ?? 0;
    assert.ok(given >= 45, `given up after ${given} ms`);
    const heeding = await producer.enqueue(task.definition, {});
    const call = await task.call(1);
    // A message may precede the record, and a stop settled before its record has no start time.
    const recorded = (): Promise<unknown> =>
      until(
        () => fleet.client.hget(`${prefix}:bull:beat:${heeding.id}`, 'stop'),
        (stop) => stop !== null,
      );
    void call.aborted.then((cause) => recorded().then(() => call.throws(cause)));
    const heeded = (await producer.stop(heeding.id, { waitMs: 60_000 })).latencyMs ?? 0;
    const [quick, slow] = [Math.min(given, heeded), Math.max(given, heeded)];
    const key = `${prefix}:workers:${worker.id}`;
    await until(
      () => fleet.client.hget(key, 'stops'),
      (stops) => stops === '2',
    );
    assert.deepEqual(await fleet.client.hmget(key, ...LATENCY_FIELDS), [2, quick, slow, slow].map(String));
    assert.deepEqual(worker.status().stopLatency, { count: 2, p50Ms: quick, p99Ms: slow, maxMs: slow });
  });

  it('counts no stop without a time, and no task stopped elsewhere', async () => {
    const prefix = fleet.newPrefix();
    const task = new ScriptedTask('beat.untimed');
    const worker = await fleet.worker(prefix, [task.handler], { stopPollMs: 50, concurrency: 1 });
    const producer = fleet.producer({ keyPrefix: prefix });
    const gone = (): Promise<unknown> =>
      until(
        () => fleet.registrySize(prefix),
        ({ tasks }) => tasks === 0,
      );

    const completed = await producer.enqueue(task.definition, {});
    const occupied = await task.call(0);
    const waiting = await producer.enqueue(task.definition, {});
    assert.equal((await producer.stop(waiting.id)).via, 'queue');
    occupied.returns();
    await producer.result(completed);
    await gone();

    // Recorded by hand, without a time.
    const byHand = await producer.enqueue(task.definition, {});
    const polled = await task.call(1);
    void polled.aborted.then((cause) => polled.throws(cause));
    await fleet.client.hset(`${prefix}:bull:beat:${byHand.id}`, 'stop', 'please');
    await gone();
    assert.equal((await producer.get(byHand.id))?.state, 'cancelled');

    assert.deepEqual(worker.status().stopLatency, { count: 0, p50Ms: null, p99Ms: null, maxMs: null });
  });

  it('reappears after Redis has lost its data', async () => {
    const own = await TestFleet.start();
    try {
      const prefix = own.newPrefix();
      const worker = await own.worker(prefix, [], { heartbeatMs: 600_000 });
      await own.redis.kill();
      await own.redis.restart();
      await until(
        () => own.client.zscore(`${prefix}:workers`, worker.id),
        (score) => score !== null,
      );
    } finally {
      await own.stop();
    }
  });
});
