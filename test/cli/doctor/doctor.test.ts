import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Redis } from 'ioredis';
import { checkCanary } from '../../../cli/doctor/canary.js';
import { checkFleet, checkReconciler } from '../../../cli/doctor/fleet-checks.js';
import { Findings, checkRecords } from '../../../cli/doctor/record-checks.js';
import { createProducer } from '../../../producer/index.js';
import { createKeys } from '../../../shared/keys.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import type { CommandResult } from '../../support/process/command.js';
import { type CliRun, runCli, startCli } from '../../support/process/run-cli.js';
import { type TestRedis, startTestRedis } from '../../support/redis/test-redis.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';

interface Answer {
  readonly ok: boolean;
  readonly checks: readonly { name: string; level: string; message: string; advice: string | null }[];
  readonly workers: readonly Record<string, unknown>[];
  readonly reconcile: Record<string, unknown> | null;
}

const STOPS = { stops: 40, stop_p50_ms: 3, stop_p99_ms: 12, stop_max_ms: 1_200 };

/** The heartbeat of a subscribed worker that has just started, overridden by `fields`. */
async function writeWorker(
  client: Redis,
  prefix: string,
  fields: Readonly<Record<string, string | number>> = {},
  id = 'w1',
): Promise<void> {
  const now = Date.now();
  await client.zadd(`${prefix}:workers`, now, id);
  await client.hset(`${prefix}:workers:${id}`, { host: 'h', pid: 7, slots: 20, subscribed: 1, started_at: now, beat_at: now, ...fields });
}

describe('taskfleet doctor', () => {
  let redis: TestRedis;
  let worker: CliRun;

  before(async () => {
    redis = await startTestRedis({ appendonly: 'yes' });
    worker = startCli(['worker'], { env: { REDIS_URL: redis.url } });
    await worker.waitForLine(/Worker is ready/);
  });
  after(async () => {
    await worker.stop();
    await redis.stop();
  });

  function doctor(...args: string[]): Promise<CommandResult> {
    return runCli(['doctor', '--redis', redis.url, ...args]);
  }

  it('reports a healthy fleet, and runs a canary', async () => {
    const { code, stdout } = await doctor('--canary', '-o', 'json');
    const { ok, checks, workers } = JSON.parse(stdout) as Answer;
    assert.deepEqual([code, ok], [0, true]);
    assert.deepEqual(
      checks.filter(({ level }) => level !== 'ok'),
      [],
    );
    const names = [
      'topology',
      'version',
      'eviction',
      'memory',
      'persistence',
      'replicas',
      'latency',
      'clock',
      'permissions',
      'write',
      'worker',
      'stop path',
      'reconciler',
      'schedules',
      'limits',
      'tasks',
      'records',
      'canary start',
      'canary stop',
    ];
    assert.deepEqual(
      checks.map(({ name }) => name),
      names,
    );
    const [only] = workers;
    assert.equal(workers.length, 1);
    assert.deepEqual([only?.['pid'], only?.['running'], only?.['subscribed']], [process.pid, 0, true]);
    assert.deepEqual(only?.['stops'], { count: 0, p50_ms: null, p99_ms: null, max_ms: null });
  });

  it('reports stop latencies and the last reconciler run, as text and as JSON', async () => {
    const at = Date.now();
    await writeWorker(redis.client(), 'healthy', STOPS);
    await redis.client().hset('healthy:reconcile', { at, took_ms: 12, removed: 1, registered: 2, settled: 3 });
    const [text, json] = await Promise.all([doctor('--prefix', 'healthy'), doctor('--prefix', 'healthy', '-o', 'json')]);
    assert.match(text.stdout, /^ok {4}worker {8}h pid 7: 0 of 20 slots busy, stops p50 3 ms, p99 12 ms of 40, heartbeat \d+s ago$/m);
    assert.match(text.stdout, /^ok {4}stop path {5}1 of 1 workers subscribed, slowest p99 12 ms$/m);
    assert.match(text.stdout, /^ok {4}reconciler {4}last run \d+s ago: removed 1, registered 2, settled 3$/m);
    const { workers, reconcile } = JSON.parse(json.stdout) as Answer;
    const { beat_age_ms: _, ...only } = workers[0] ?? {};
    assert.deepEqual(only, {
      ...{ id: 'w1', host: 'h', pid: 7, slots: 20, running: 0, zombies: 0, draining: false, drain: null, subscribed: true, broken: [] },
      stops: { count: 40, p50_ms: 3, p99_ms: 12, max_ms: 1_200 },
      clock_ms: null,
    });
    assert.deepEqual(reconcile, { at, took_ms: 12, removed: 1, registered: 2, settled: 3 });
  });

  it('reports null for a reconciler that never ran', async () => {
    const { stdout } = await doctor('--prefix', 'empty', '-o', 'json');
    assert.equal((JSON.parse(stdout) as Answer).reconcile, null);
  });

  it('fails for a Redis that evicts keys, and suggests the fix', async () => {
    await redis.client().config('SET', 'maxmemory-policy', 'allkeys-lru');
    const { code, stdout } = await doctor();
    await redis.client().config('SET', 'maxmemory-policy', 'noeviction');
    assert.equal(code, 1);
    assert.match(stdout, /^fail {2}eviction .*allkeys-lru.*\n {6}→ Set maxmemory-policy noeviction/m);
    assert.match(stdout, /^ok {4}version /m);
  });

  it('warns if no worker is alive', async () => {
    const { code, stdout } = await doctor('--prefix', 'empty');
    assert.equal(code, 0);
    assert.match(stdout, /^warn {2}workers {7}none alive\n {6}→ Start workers: taskfleet up/m);
  });

  it('stops its canary if no worker takes it', async () => {
    const producer = createProducer({ redisUrl: redis.url, keyPrefix: 'empty' });
    const checks = await checkCanary(producer, new AbortController().signal, 50);
    assert.deepEqual(
      checks.map(({ name, level }) => [name, level]),
      [['canary start', 'fail']],
    );
    assert.match(checks[0]?.message ?? '', /no worker took .* within 50 ms; the canary was stopped/);
    assert.deepEqual((await producer.list()).tasks, []);
    await producer.close();
  });
});

describe('the fleet checks of the doctor', () => {
  let fleet: TestFleet;
  let prefix: string;

  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(() => {
    prefix = fleet.newPrefix();
  });
  after(() => fleet.stop());

  async function look(name: string): Promise<[level: string, message: string][]> {
    const { checks } = await checkFleet({ redis: fleet.client, keys: createKeys(prefix), unreadable: new Findings() }, resolveSettings({}));
    for (const { level, advice } of checks) assert.equal(advice === null, level === 'ok');
    return checks.filter((check) => check.name === name).map(({ level, message }) => [level, message]);
  }

  const ranAgo = (ms: number, fields: Readonly<Record<string, number>> = {}): Promise<number> =>
    fleet.client.hset(`${prefix}:reconcile`, { ...fields, at: Date.now() - ms });

  it('warns of a task that takes workers down', async () => {
    assert.deepEqual(await look('losses'), []);
    for (const worker of ['w1', 'w2', 'w3'])
      await fleet.client.lpush(
        `${prefix}:lost_workers`,
        JSON.stringify({ at: Date.now(), worker, task: 'task-1', name: 'report.build', queue: 'report' }),
      );
    assert.deepEqual(await look('losses'), [['warn', 'report.build task-1 lost 3 workers within the last hour']]);
  });

  it('shows no latency for a worker that has stopped nothing or does not report it', async () => {
    await writeWorker(fleet.client, prefix, { stops: 0, stop_p50_ms: '', stop_p99_ms: '', stop_max_ms: '' });
    await writeWorker(fleet.client, prefix, {}, 'w2');
    const lines = (await look('worker')).map(([, message]) => message.replace(/\d+s ago/, 'now'));
    assert.deepEqual(lines, Array(2).fill('h pid 7: 0 of 20 slots busy, heartbeat now'));
    assert.deepEqual(await look('stop path'), [['ok', '2 of 2 workers subscribed']]);
  });

  it('shows latencies of 0 ms and of seconds', async () => {
    await writeWorker(fleet.client, prefix, { stops: 2, stop_p50_ms: 0, stop_p99_ms: 1_234, stop_max_ms: 1_234 });
    assert.match((await look('worker'))[0]?.[1] ?? '', /, stops p50 0 ms, p99 1\.2 s of 2, /);
  });

  it("reports the slowest worker's latency for the fleet, also if it is 0 ms", async () => {
    await writeWorker(fleet.client, prefix, { stops: 1, stop_p50_ms: 0, stop_p99_ms: 0, stop_max_ms: 0 });
    assert.deepEqual(await look('stop path'), [['ok', '1 of 1 workers subscribed, slowest p99 0 ms']]);
    await writeWorker(fleet.client, prefix, STOPS, 'w2');
    await writeWorker(fleet.client, prefix, { ...STOPS, stop_p99_ms: 9 }, 'w3');
    assert.deepEqual(await look('stop path'), [['ok', '3 of 3 workers subscribed, slowest p99 12 ms']]);
  });

  it('warns of a worker that is not subscribed to stop messages, in its line and for the fleet', async () => {
    await writeWorker(fleet.client, prefix);
    await writeWorker(fleet.client, prefix, { subscribed: 0 }, 'w2');
    assert.deepEqual(await look('stop path'), [['warn', '1 of 2 workers subscribed']]);
    const lines = await look('worker');
    assert.deepEqual(
      lines.map(([level]) => level),
      ['ok', 'warn'],
    );
    assert.match(lines[1]?.[1] ?? '', /not subscribed to stop messages/);
  });

  it('ignores an unsubscribed worker that is draining', async () => {
    await writeWorker(fleet.client, prefix);
    await writeWorker(fleet.client, prefix, { subscribed: 0, draining: 1 }, 'w2');
    assert.deepEqual(await look('stop path'), [['ok', '1 of 2 workers subscribed']]);
  });

  it("warns of a worker whose clock differs from Redis', and of a heartbeat from the future", async () => {
    await writeWorker(fleet.client, prefix, { clock_ms: 3_600_000, beat_at: Date.now() + 3_600_000 });
    await writeWorker(fleet.client, prefix, { clock_ms: -12 }, 'w2');
    const lines = await look('worker');
    assert.deepEqual(
      lines.map(([level]) => level),
      ['warn', 'ok'],
    );
    assert.match(lines[0]?.[1] ?? '', /heartbeat in (59m|1h) \(clock\?\), clock 60 min 00 s ahead$/);
  });

  it('warns of schedules without a next run, or with one more than a period away', async () => {
    assert.deepEqual(await look('schedules'), [['ok', 'none']]);
    const producer = fleet.producer({ keyPrefix: prefix });
    const task = new ScriptedTask('seen.task');
    const { nextAt } = await producer.schedules.upsert('hourly', task.definition, {}, { every: 3_600_000 });
    await producer.schedules.upsert('nightly', task.definition, {}, { cron: '0 3 * * *' });
    assert.deepEqual(await look('schedules'), [['ok', '2, each with a next run']]);
    const jobs = fleet.keys(prefix).jobs('seen');
    const far = Number(nextAt) + 7_200_000;
    await fleet.client.rename(`${jobs}repeat:hourly:${Number(nextAt)}`, `${jobs}repeat:hourly:${far}`);
    await fleet.client.zadd(`${jobs}repeat`, far, 'hourly');
    await fleet.client.zadd(`${jobs}delayed`, far * 4_096, `repeat:hourly:${far}`);
    await fleet.client.zrem(`${jobs}repeat`, 'nightly');
    assert.deepEqual(await look('schedules'), [['warn', 'hourly has a next run more than one period away; nightly has no next run']]);
  });

  it('has no stop path check without workers', async () => {
    assert.deepEqual(await look('stop path'), []);
  });

  it("reports the reconciler's counts, as far as they are recorded", async () => {
    await ranAgo(4_000, { took_ms: 1, removed: 0, registered: 0, settled: 0 });
    assert.match(String((await look('reconciler'))[0]), /^ok,last run \d+s ago: removed 0, registered 0, settled 0$/);
    await fleet.client.hdel(`${prefix}:reconcile`, 'took_ms', 'removed', 'settled');
    assert.match((await look('reconciler'))[0]?.[1] ?? '', /^last run \d+s ago: registered 0$/);
    await fleet.client.hdel(`${prefix}:reconcile`, 'registered');
    assert.match((await look('reconciler'))[0]?.[1] ?? '', /^last run \d+s ago$/);
  });

  it('warns of a reconciler that has not run for over a minute while workers are alive', async () => {
    await ranAgo(61_500, { removed: 0 });
    assert.deepEqual(await look('reconciler'), [['ok', 'last run 1m ago: removed 0']]);
    await writeWorker(fleet.client, prefix);
    assert.deepEqual(await look('reconciler'), [['warn', 'last run 1m ago: removed 0']]);
    await ranAgo(20_000);
    assert.deepEqual((await look('reconciler'))[0]?.[0], 'ok');
    const last = { at: 1_000, ...{ tookMs: null, removed: null, registered: null, settled: null } };
    assert.deepEqual(
      [61_000, 61_001].map((now) => checkReconciler(last, 0, now).level),
      ['ok', 'warn'],
    );
  });

  it('warns of a reconciler that never ran once a worker has been up for over a minute', async () => {
    assert.deepEqual(await look('reconciler'), [['ok', 'has not run yet']]);
    await writeWorker(fleet.client, prefix, { started_at: Date.now() - 20_000 });
    assert.deepEqual(await look('reconciler'), [['ok', 'has not run yet']]);
    await writeWorker(fleet.client, prefix, { started_at: Date.now() - 121_000 }, 'w2');
    await writeWorker(fleet.client, prefix, {}, 'w3');
    // A run in progress does not count as finished.
    await fleet.client.hset(`${prefix}:reconcile`, { at: '', removed: 0 });
    assert.deepEqual(await look('reconciler'), [['warn', 'never ran, and workers have been up for 2m']]);
    assert.deepEqual(
      [60_000, 60_001].map((upMs) => checkReconciler(null, upMs, 0).level),
      ['ok', 'warn'],
    );
  });

  it('names an index of finished tasks that has a wrong type, with the command that moves it away', async () => {
    const keys = createKeys(prefix);
    const index = keys.kept('chat', 'failed', 'chat.completion');
    await fleet.client.sadd(keys.queues, 'chat');
    await fleet.client.hset(keys.keptLimits('chat'), { 'failed:chat.completion': '60:1', 'failed:chat.other': 'many' });
    await fleet.client.set(index, 'x');
    const lines = await checkRecords({ redis: fleet.client, keys, unreadable: new Findings() });
    assert.deepEqual(lines.map(({ advice }) => String(advice)).toSorted(), [
      `redis-cli HDEL ${keys.keptLimits('chat')} failed:chat.other`,
      `redis-cli RENAME ${index} ${index}.moved`,
    ]);
  });
});
