import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { checkCanary } from '../../cli/doctor/canary.js';
import { checkPersistence, checkVersion } from '../../cli/doctor/redis-checks.js';
import { createProducer } from '../../producer/index.js';
import { type CommandResult, runCommand, startCommand } from '../support/command.js';
import type { NodeProcess } from '../support/processes.js';
import { type TestRedis, startTestRedis } from '../support/redis.js';

interface Answer {
  readonly ok: boolean;
  readonly checks: readonly { name: string; level: string; message: string; advice: string | null }[];
  readonly workers: readonly Record<string, unknown>[];
}

describe('taskfleet doctor', () => {
  let redis: TestRedis;
  let worker: NodeProcess;

  before(async () => {
    redis = await startTestRedis({ appendonly: 'yes' });
    worker = startCommand(['worker'], { env: { REDIS_URL: redis.url } });
    await worker.waitForLine(/Worker takes tasks/);
  });
  after(async () => {
    await worker.stop();
    await redis.stop();
  });

  function doctor(...args: string[]): Promise<CommandResult> {
    return runCommand(['doctor', '--redis', redis.url, ...args]);
  }

  it('finds a healthy fleet healthy, and sends a canary through it', async () => {
    const { code, stdout } = await doctor('--canary', '-o', 'json');
    const { ok, checks, workers } = JSON.parse(stdout) as Answer;
    assert.deepEqual([code, ok], [0, true]);
    assert.deepEqual(checks.filter(({ level }) => level !== 'ok'), []);
    const names = ['version', 'eviction', 'persistence', 'latency', 'clock', 'worker', 'tasks', 'canary start', 'canary stop'];
    assert.deepEqual(checks.map(({ name }) => name), names);
    const [only] = workers;
    assert.equal(workers.length, 1);
    assert.deepEqual([only?.['pid'], only?.['running'], only?.['subscribed']], [worker.pid, 0, true]);
  });

  it('fails for a Redis that drops keys, and says what to do', async () => {
    await redis.client().config('SET', 'maxmemory-policy', 'allkeys-lru');
    const { code, stdout } = await doctor();
    await redis.client().config('SET', 'maxmemory-policy', 'noeviction');
    assert.equal(code, 1);
    assert.match(stdout, /^fail {2}eviction .*allkeys-lru.*\n {6}→ Set maxmemory-policy noeviction/m);
    assert.match(stdout, /^ok {4}version /m);
  });

  it('warns where no worker is', async () => {
    const { code, stdout } = await doctor('--prefix', 'empty');
    assert.equal(code, 0);
    assert.match(stdout, /^warn {2}workers {7}none alive\n {6}→ Start some: taskfleet up/m);
  });

  it('takes its canary back if no worker comes for it', async () => {
    const producer = createProducer({ redisUrl: redis.url, keyPrefix: 'empty' });
    const checks = await checkCanary(producer, new AbortController().signal, 50);
    assert.deepEqual(checks.map(({ name, level }) => [name, level]), [['canary start', 'fail']]);
    assert.match(checks[0]?.message ?? '', /no worker took .* within 50 ms; it was stopped again/);
    assert.deepEqual((await producer.list()).tasks, []);
    await producer.close();
  });
});

describe('what the doctor says of a Redis', () => {
  const level = (check: { level: string }): string => check.level;

  it('wants 6.2 or newer, of Redis or Valkey', () => {
    const versions = ['5.0.14', '6.0.20', '6.2.0', '7.4.1', '8.0.0'].map((version) => level(checkVersion(new Map([['redis_version', version]]))));
    assert.deepEqual(versions, ['fail', 'fail', 'ok', 'ok', 'ok']);
    const valkey = new Map([['redis_version', '7.2.4'], ['server_name', 'valkey'], ['valkey_version', '8.1.0']]);
    assert.match(checkVersion(valkey).message, /^Valkey 8\.1\.0, compatible with Redis 7\.2\.4$/);
  });

  it('knows what a restart would lose', () => {
    const aof = (status: string): Map<string, string> => new Map([['aof_enabled', '1'], ['aof_last_write_status', status]]);
    const none = new Map([['aof_enabled', '0']]);
    const failed = new Map([['rdb_last_bgsave_status', 'err']]);
    const levels = [checkPersistence(aof('ok'), ''), checkPersistence(aof('err'), ''), checkPersistence(none, ''), checkPersistence(none, '60 1'), checkPersistence(failed, null)];
    assert.deepEqual(levels.map(level), ['ok', 'fail', 'warn', 'warn', 'fail']);
  });
});
