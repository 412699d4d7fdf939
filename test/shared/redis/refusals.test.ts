import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import type { Redis } from 'ioredis';
import { createLoggerFactory } from '../../../shared/logger.js';
import { connect, hangUp, ready, reconnecting } from '../../../shared/redis/connect.js';
import { asUnavailable, isUnavailability } from '../../../shared/redis/connection-errors.js';
import type { RedisConnection } from '../../../shared/redis/connection.js';
import { isOutOfMemory, isRefusal } from '../../../shared/redis/reply-errors.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import type { ConnectedSettings } from '../../../shared/store.js';
import { type TestRedis, startTestRedis } from '../../support/redis/test-redis.js';
import { until } from '../../support/until.js';

const reply = (message: string): Error => Object.assign(new Error(message), { name: 'ReplyError' });
/** As Redis 6.2 says it of a command in a script. */
const inScript = (message: string): Error =>
  reply(`ERR Error running script (call to f_c0ffee): @user_script:7: @user_script: 7: -${message}`);

const READONLY = "READONLY You can't write against a read only replica.";
const NOT_NOW = [
  READONLY,
  'LOADING Redis is loading the dataset in memory',
  'CLUSTERDOWN Hash slot not served',
  'NOREPLICAS Not enough good replicas to write.',
  'MISCONF Redis is configured to save RDB snapshots',
  'BUSY Redis is busy running a script.',
];
const OOM = "OOM command not allowed when used memory > 'maxmemory'.";

describe('A refusal', () => {
  it('is known by what Redis says first, and last where Redis 6.2 says it of a script', () => {
    for (const message of [...NOT_NOW, OOM])
      for (const error of [reply(message), inScript(message)]) assert.equal(isRefusal(error), true, error.message);
  });

  it('is nothing else that Redis answers, and nothing that it did not', () => {
    const others = [
      reply('ERR no such key OOM'),
      reply('WRONGTYPE OOM'),
      reply('OOMPH'),
      reply('BUSYGROUP Consumer Group name already exists'),
      inScript('WRONGTYPE READONLY'),
      new Error('READONLY'),
      new Error('Missing lock for job 1'),
      'OOM',
      null,
    ];
    for (const error of others) assert.equal(isRefusal(error), false, String(error));
  });

  it('passes by itself, but for one for want of memory', () => {
    for (const message of NOT_NOW)
      for (const error of [reply(message), inScript(message)])
        assert.deepEqual([isUnavailability(error), isOutOfMemory(error)], [true, false], error.message);
    for (const error of [reply(OOM), inScript(OOM)])
      assert.deepEqual([isUnavailability(error), isOutOfMemory(error)], [false, true], error.message);
  });

  it('by a replica, also of a script, asks for a new connection; no other one does', () => {
    const { reconnectOnError } = reconnecting(resolveSettings({}) as ConnectedSettings);
    assert.deepEqual([reply(READONLY), inScript(READONLY), ...NOT_NOW.slice(1).map(reply), reply(OOM)].map(reconnectOnError), [
      2,
      2,
      ...NOT_NOW.slice(1).map(() => false),
      false,
    ]);
  });
});

describe('A Redis that refuses', () => {
  let redis: TestRedis;
  let admin: Redis;
  const opened: RedisConnection[] = [];

  before(async () => {
    redis = await startTestRedis();
    admin = redis.client();
  });
  afterEach(() => opened.splice(0).forEach(hangUp));
  after(() => redis.stop());

  async function open(policy: 'fail-fast' | 'wait'): Promise<Redis> {
    const settings = { ...resolveSettings({ redisUrl: redis.url, logLevel: 'silent', reconnectDelayMs: 50 }), redisUrl: redis.url };
    const connection = connect({ settings, policy, logger: createLoggerFactory({ settings })('redis'), name: 'test-refusals' }) as Redis;
    opened.push(connection);
    await ready(connection, 5_000);
    return connection;
  }

  /** What a producer's caller is told. */
  async function told(connection: Redis, attempt: Promise<unknown>): Promise<unknown> {
    return attempt.then(
      () => assert.fail('it was taken'),
      (error: unknown) => asUnavailable(connection, error),
    );
  }

  it('because it cannot save cannot run commands now', async () => {
    const connection = await open('fail-fast');
    await mkdir(join(redis.dir, 'dump.rdb')); // where it would save to
    await admin.config('SET', 'save', '3600 1');
    await admin.bgsave();
    await until(
      () => admin.info('persistence'),
      (info) => info.includes('rdb_last_bgsave_status:err'),
    );
    for (const attempt of [connection.set('a', 1), connection.eval("redis.call('SET', KEYS[1], 1)", 1, 'a')]) {
      const error = (await told(connection, attempt)) as Error;
      assert.deepEqual(
        [(error as Error & { code: string }).code, /cannot run commands now: .*MISCONF/.test(error.message)],
        ['REDIS_UNAVAILABLE', true],
        error.message,
      );
    }
    await admin.config('SET', 'save', '');
    assert.equal(await connection.set('a', 1), 'OK');
  });

  it('because it is in a script cannot run commands now', async () => {
    const connection = await open('fail-fast');
    const asker = redis.client();
    await asker.config('SET', 'lua-time-limit', 1);
    const script = admin.eval('while true do end', 0).catch((error: Error) => error);
    // Until the limit is over it does not answer at all.
    await until(
      () =>
        asker.get('a').then(
          () => '',
          ({ message }: Error) => message,
        ),
      (message) => message.startsWith('BUSY'),
    );
    const error = (await told(connection, connection.set('a', 1))) as Error & { code: string };
    await asker.script('KILL');
    await script;
    assert.deepEqual([error.code, /cannot run commands now: BUSY/.test(error.message)], ['REDIS_UNAVAILABLE', true], error.message);
  });

  it('many commands at once as a replica ends the connection of these once, and has them in the end', async () => {
    const connection = await open('wait');
    const { stream } = connection;
    await admin.replicaof('127.0.0.1', 1);
    let most = 0;
    const ended = new Promise<void>((resolve) => {
      stream.prependOnceListener('close', () => {
        most = stream.listenerCount('close');
        resolve();
      });
    });
    const atFirst = stream.listenerCount('close');
    const commands = Promise.all(Array.from({ length: 100 }, (_, index) => connection.set(`many-${index}`, 1)));
    await ended;
    await admin.replicaof('NO', 'ONE');
    assert.equal((await commands).length, 100);
    assert.ok(most <= atFirst + 1, `${most} listeners, ${atFirst} at first`);
  });
});
