import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Redis } from 'ioredis';
import type { Producer } from '../../../../producer/index.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { ModelServer } from '../../../support/network/model-server.js';
import { type TestRedis, startTestRedis } from '../../../support/redis/test-redis.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';

const KEY_PREFIX = 'elsewhere';
const OLD = 1_700_000_000;

describe('Pools in a separate Redis', () => {
  let fleet: TestFleet;
  let other: TestRedis;
  let there: Redis;
  let producer: Producer;
  const task = new ScriptedTask('elsewhere.task');

  before(async () => {
    fleet = await TestFleet.onOneServer();
    other = await startTestRedis();
    // In another database as well.
    there = other.client({ db: 1 });
    producer = fleet.producer(settings());
  });
  after(async () => {
    await other.stop();
    await fleet.stop();
  });

  const settings = () => ({ keyPrefix: KEY_PREFIX, poolRedisUrl: `${other.url}/1`, reconnectDelayMs: 20 });

  it('are cleaned, used and filled there, with their locks, and leave nothing in the Redis of the tasks', async (t) => {
    const server = await ModelServer.start(t, ['model-a']);
    await fleet.worker(KEY_PREFIX, [task.handler], {
      ...settings(),
      usageTimeoutMs: 3_600_000,
      usageCleanMs: 200,
      sessionCleanMs: 200,
      modelsRefreshMs: 1_000,
      openaiBaseUrls: [server.url],
    });
    await there.hset(`${KEY_PREFIX}:usage_pool`, 'old', JSON.stringify({ s: { updated_at: OLD } }));
    await there.hset(`${KEY_PREFIX}:session_pool`, 'old', JSON.stringify({ id: 'u', last_seen_at: OLD }));
    await until(
      () => there.exists(`${KEY_PREFIX}:usage_pool`, `${KEY_PREFIX}:session_pool`),
      (left) => left === 0,
    );
    await producer.usage.touch('m', 's');
    assert.deepEqual(await producer.usage.inUse(), ['m']);
    assert.deepEqual(await there.hkeys(`${KEY_PREFIX}:usage_pool`), ['m']);
    await until(
      () => there.hkeys(`${KEY_PREFIX}:models`),
      (models) => models.includes('model-a'),
    );
    assert.deepEqual(
      (await fleet.client.keys(`${KEY_PREFIX}:*`)).filter((key) => /usage|session|models/.test(key) && !key.includes(':bull:')),
      [],
    );
    assert.deepEqual(
      (await there.keys('*')).filter((key) => !/usage|session|models/.test(key)),
      [],
    );
  });

  it('delay no task while unreachable, and are cleaned again afterwards', async () => {
    await other.kill();
    const [called, { id }] = await Promise.all([task.call(task.calls.length), producer.enqueue(task.definition, {})]);
    called.returns(null);
    await producer.result(id);
    const failure = await producer.usage.touch('m', 's').then(
      () => null,
      (error: unknown) => error,
    );
    assert.match(String(failure), new RegExp(`Redis at 127.0.0.1:${other.port} cannot be reached`));
    await other.restart();
    await there.hset(`${KEY_PREFIX}:usage_pool`, 'older', JSON.stringify({ s: { updated_at: OLD } }));
    await until(
      () => there.hexists(`${KEY_PREFIX}:usage_pool`, 'older'),
      (left) => left === 0,
    );
  });
});
