import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { type Redis, ReplyError } from 'ioredis';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { connect, hangUp, ready, reconnecting } from '../../../shared/redis/connect.js';
import { asUnavailable, isUnavailability } from '../../../shared/redis/connection-errors.js';
import type { RedisConnection } from '../../../shared/redis/connection.js';
import { isOutOfMemory, isRefusal } from '../../../shared/redis/reply-errors.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import type { ConnectedSettings } from '../../../shared/store.js';
import { type TestRedis, startTestRedis } from '../../support/redis/test-redis.js';
import { until } from '../../support/until.js';

const reply = (message: string): Error => Object.assign(new Error(message), { name: 'ReplyError' });
/** The error of Redis 6.2 for a command in a script. */
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
  it('is recognised by the prefix of the reply, or by its suffix for a script on Redis 6.2', () => {
    for (const message of [...NOT_NOW, OOM])
      for (const error of [reply(message), inScript(message)]) assert.equal(isRefusal(error), true, error.message);
  });

  it('is recognised when a bundler has shortened the names of classes', () => {
    const shortened = Object.defineProperty(new (ReplyError as new (text: string) => Error)(READONLY), 'name', { value: 'a' });
    assert.deepEqual([isRefusal(shortened), isUnavailability(shortened)], [true, true]);
    const retries = 'Reached the max retries per request limit (which is 0). Refer to "maxRetriesPerRequest" option for details.';
    assert.equal(isUnavailability(Object.assign(new Error(retries), { name: 'b' })), true);
  });

  it('is not any other reply, nor an error that is not a reply', () => {
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

  it('is temporary, except for one because of memory', () => {
    for (const message of NOT_NOW)
      for (const error of [reply(message), inScript(message)])
        assert.deepEqual([isUnavailability(error), isOutOfMemory(error)], [true, false], error.message);
    for (const error of [reply(OOM), inScript(OOM)])
      assert.deepEqual([isUnavailability(error), isOutOfMemory(error)], [false, true], error.message);
  });

  it('by a replica, also for a script, requires a new connection; no other refusal does', () => {
    const { reconnectOnError } = reconnecting(resolveSettings({}) as ConnectedSettings);
    assert.deepEqual([reply(READONLY), inScript(READONLY), ...NOT_NOW.slice(1).map(reply), reply(OOM)].map(reconnectOnError), [
      2,
      2,
      ...NOT_NOW.slice(1).map(() => false),
      false,
    ]);
  });
});

describe('A Redis that refuses commands', () => {
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

  /** Returns the error as a caller of the producer receives it. */
  async function refusalOf(connection: Redis, attempt: Promise<unknown>): Promise<unknown> {
    return attempt.then(
      () => assert.fail('expected a refusal'),
      (error: unknown) => asUnavailable(connection, error),
    );
  }

  it('because it cannot save is unavailable', async () => {
    const connection = await open('fail-fast');
    await mkdir(join(redis.dir, 'dump.rdb')); // the path of the snapshot
    await admin.config('SET', 'save', '3600 1');
    await admin.bgsave();
    await until(
      () => admin.info('persistence'),
      (info) => info.includes('rdb_last_bgsave_status:err'),
    );
    for (const attempt of [connection.set('a', 1), connection.eval("redis.call('SET', KEYS[1], 1)", 1, 'a')]) {
      const error = (await refusalOf(connection, attempt)) as Error;
      assert.deepEqual(
        [(error as Error & { code: string }).code, /cannot run commands now: .*MISCONF/.test(error.message)],
        ['REDIS_UNAVAILABLE', true],
        error.message,
      );
    }
    await admin.config('SET', 'save', '');
    assert.equal(await connection.set('a', 1), 'OK');
  });

  it('because it is running a script is unavailable', async () => {
    const connection = await open('fail-fast');
    const other = redis.client();
    await other.config('SET', 'lua-time-limit', 1);
    const script = admin.eval('while true do end', 0).catch((error: Error) => error);
    // Redis does not answer at all before the time limit of the script.
    await until(
      () =>
        other.get('a').then(
          () => '',
          ({ message }: Error) => message,
        ),
      (message) => message.startsWith('BUSY'),
    );
    const error = (await refusalOf(connection, connection.set('a', 1))) as Error & { code: string };
    await other.script('KILL');
    await script;
    assert.deepEqual([error.code, /cannot run commands now: BUSY/.test(error.message)], ['REDIS_UNAVAILABLE', true], error.message);
  });

  it('as a replica causes one reconnect for many concurrent commands, and all of them succeed in the end', async () => {
    const connection = await open('wait');
    const { stream } = connection;
    await admin.replicaof('127.0.0.1', 1);
    let maxListeners = 0;
    const ended = new Promise<void>((resolve) => {
      stream.prependOnceListener('close', () => {
        maxListeners = stream.listenerCount('close');
        resolve();
      });
    });
    const atFirst = stream.listenerCount('close');
    const commands = Promise.all(Array.from({ length: 100 }, (_, index) => connection.set(`many-${index}`, 1)));
    await ended;
    await admin.replicaof('NO', 'ONE');
    assert.equal((await commands).length, 100);
    assert.ok(maxListeners <= atFirst + 1, `${maxListeners} listeners, ${atFirst} at first`);
  });
});
