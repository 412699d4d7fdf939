import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Redis } from 'ioredis';
import { createProducer } from '../../../producer/index.js';
import { isFleetError } from '../../../shared/errors.js';
import { type ConnectionPolicy, connect, hangUp, ready } from '../../../shared/redis/connect.js';
import { type SettingsInput, resolveSettings } from '../../../shared/settings/settings.js';
import { fleetCanary } from '../../../worker/builtin/definitions.js';
import { createWorker } from '../../../worker/index.js';
import { eventOf } from '../../support/event.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { type TestRedis, startTestRedis } from '../../support/redis/test-redis.js';

const LIMIT_MS = 60_000;

describe('The database of REDIS_URL', () => {
  let redis: TestRedis;
  let admin: Redis;
  let log: LogLines;
  let missing: string;
  let forbidden: string;
  const opened: Redis[] = [];

  before(async () => {
    const rules = 'on >secret ~* &* -@all +@read +@write +@connection +@scripting +@pubsub +info +multi +exec +discard -select';
    redis = await startTestRedis({ extraArgs: ['--databases', '4'], users: [{ name: 'fleet', rules }] });
    admin = redis.client();
    missing = `${redis.url}/4`;
    forbidden = `redis://fleet:secret@127.0.0.1:${redis.port}/2`;
    log = new LogLines();
  });
  after(async () => {
    for (const connection of opened) hangUp(connection);
    await redis.stop();
  });

  function open(redisUrl: string, policy: ConnectionPolicy, input: SettingsInput = {}): Redis {
    const settings = { ...resolveSettings({ reconnectDelayMs: 20, ...input }), redisUrl };
    const connection = connect({ settings, policy, logger: log.loggers('redis'), name: 'test-database' }) as Redis;
    opened.push(connection);
    return connection;
  }

  const errorOf = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => assert.fail('expected a rejection'),
      (error: unknown) => error,
    );
  const written = async (): Promise<unknown> => /^db\d.*/m.exec(await admin.info('keyspace'))?.[0];

  for (const policy of ['fail-fast', 'wait'] as const) {
    it(`if unavailable, rejects the wait for a connection with policy ${policy}, which is never ready`, async () => {
      const outOfRange = open(missing, policy);
      const error = await errorOf(ready(outOfRange, LIMIT_MS));
      assert.ok(isFleetError(error, 'INVALID_SETTINGS'), String(error));
      assert.match(error.message, /DB index is out of range.*Redis does not have the database/);
      const notPermitted = open(forbidden, policy);
      const refusal = await errorOf(ready(notPermitted, LIMIT_MS));
      assert.ok(isFleetError(refusal, 'REDIS_UNAVAILABLE'), String(refusal));
      assert.match(refusal.message, /NOPERM.*\+select/);
      for (const connection of [outOfRange, notPermitted]) assert.notEqual(connection.status, 'ready');
    });
  }

  it('applies to a copy too, as BullMQ makes them, and to a copy of a copy', async () => {
    const first = open(missing, 'wait').duplicate();
    const copy = first.duplicate({ enableReadyCheck: false });
    for (const connection of [first, copy]) opened.push(connection.on('error', () => undefined));
    let isReady = false;
    copy.on('ready', () => (isReady = true));
    const pushed = copy.lpush('copied', 'x').catch(() => 'failed');
    for (let attempts = 0; attempts < 3; attempts += 1) await eventOf(copy, 'error');
    assert.equal(isReady, false);
    assert.equal(await written(), undefined);
    hangUp(copy);
    assert.equal(await pushed, 'failed');
  });

  it('if unavailable, fails the calls of a producer and the start of a worker, and nothing is written', async () => {
    for (const [redisUrl, code] of [
      [missing, 'INVALID_SETTINGS'],
      [forbidden, 'REDIS_UNAVAILABLE'],
    ] as const) {
      const producer = createProducer({ redisUrl, loggers: log.loggers, connectTimeoutMs: LIMIT_MS });
      await assert.rejects(producer.enqueue(fleetCanary, { run_ms: 1, mode: 'cooperative' }), { code });
      await assert.rejects(producer.stop('a'), { code });
      await producer.close();
      const worker = await createWorker({ redisUrl, loggers: log.loggers });
      await worker.start();
      await assert.rejects(worker.ready(), { code });
      await worker.stop();
    }
    assert.equal(await written(), undefined);
  });

  it('if refused after a reconnect, delays the commands of a waiting connection until access is granted again', async () => {
    await admin.call('ACL', 'SETUSER', 'fleet', '+select');
    const connection = open(forbidden, 'wait');
    await ready(connection, LIMIT_MS);
    await admin.call('ACL', 'SETUSER', 'fleet', '-select');
    const refused = eventOf(connection, 'error');
    await admin.client('KILL', 'USER', 'fleet');
    await refused;
    const asked = connection.set('later', 'x');
    await eventOf(connection, 'error');
    assert.equal(await written(), undefined);
    await admin.call('ACL', 'SETUSER', 'fleet', '+select');
    await asked;
    assert.match(String(await written()), /^db2:keys=1/);
    assert.ok(
      log.find(/Cannot use Redis with these settings/).some(({ advice }) => String(advice).includes('+select')),
      'the log says what to change',
    );
  });
});
