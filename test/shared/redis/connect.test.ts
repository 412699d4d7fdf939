import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { FleetError, isFleetError } from '../../../shared/errors.js';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { type ConnectionPolicy, connect, hangUp, ready } from '../../../shared/redis/connect.js';
import { asUnavailable, isConnectionError } from '../../../shared/redis/connection-errors.js';
import { readBeforeTimeout } from '../../../shared/redis/connection-watch.js';
import { type SettingsInput, resolveSettings } from '../../../shared/settings/settings.js';
import { eventOf } from '../../support/event.js';
import { startTestRedis } from '../../support/redis/test-redis.js';

const redis = await startTestRedis();
const admin = redis.client();
const opened: Redis[] = [];
after(async () => {
  for (const connection of opened) connection.disconnect();
  await redis.stop();
});

function open(policy: ConnectionPolicy, input: SettingsInput = {}, lines: string[] = []): Redis {
  const settings = { ...resolveSettings({ redisUrl: redis.url, reconnectDelayMs: 20, ...input }), redisUrl: input.redisUrl ?? redis.url };
  const logger = createLoggerFactory({ settings, destination: { write: (line) => void lines.push(line) } })('redis');
  const connection = connect({ settings, policy, logger, name: 'test-connect' }) as Redis;
  opened.push(connection);
  return connection;
}

async function errorOf(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new assert.AssertionError({ message: 'expected a rejection' });
}

/** Returns a local port without a listener. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/** Accepts connections and never answers. */
async function silentServer(): Promise<{ url: string; close(): void }> {
  const server = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.unref();
  return { url: `redis://127.0.0.1:${(server.address() as { port: number }).port}`, close: () => server.close() };
}

test('a connection that is not ready in time fails with REDIS_UNAVAILABLE, host, port and the reason', async () => {
  const port = await closedPort();
  for (const host of ['127.0.0.1', 'localhost']) {
    const error = await errorOf(ready(open('fail-fast', { redisUrl: `redis://:hunter2@${host}:${port}` }), 200));
    assert.ok(isFleetError(error, 'REDIS_UNAVAILABLE'), String(error));
    assert.match(error.message, new RegExp(`^Redis at ${host}:${port} cannot be reached: .*ECONNREFUSED`));
    assert.doesNotMatch(error.message, /hunter2/);
  }
});

test('a server that accepts the connection and never answers causes REDIS_UNAVAILABLE too', async () => {
  const silent = await silentServer();
  const error = await errorOf(ready(open('fail-fast', { redisUrl: silent.url }), 200));
  assert.ok(isFleetError(error, 'REDIS_UNAVAILABLE'), String(error));
  silent.close();
});

test('a wrong password is reported as the reason', async () => {
  const user = `u${redis.port}`;
  await admin.call('ACL', 'SETUSER', user, 'on', '>right', '~*', '+@all');
  const connection = open('fail-fast', { redisUrl: `redis://${user}:wrong@127.0.0.1:${redis.port}` });
  const error = await errorOf(ready(connection, 300));
  assert.ok(isFleetError(error, 'REDIS_UNAVAILABLE'), String(error));
  assert.match(error.message, /WRONGPASS/);
  assert.doesNotMatch(error.message, /wrong\b/);
});

test('ready resolves at once if connected, and otherwise waits for the connection', async () => {
  const connection = open('fail-fast');
  await Promise.all([ready(connection, 60_000), ready(connection, 60_000)]);
  await ready(connection, 0);
  assert.equal(connection.listenerCount('ready'), 1, 'no listener is left behind');
});

test('a process that is blocked while it connects has not used up its time', async () => {
  const connected = ready(open('fail-fast'), 1_500);
  const end = performance.now() + 1_700;
  while (performance.now() < end);
  await connected;
});

test('ready rejects at once for a closed connection, not after the timeout', async () => {
  const connection = open('fail-fast');
  await ready(connection, 60_000);
  connection.disconnect();
  await eventOf(connection, 'end');
  const started = performance.now();
  const error = await errorOf(ready(connection, 600_000));
  assert.ok(isFleetError(error, 'REDIS_UNAVAILABLE'));
  assert.ok(performance.now() - started < 60_000);
});

test('while disconnected, a fail-fast connection refuses a command, a pipeline and a transaction', async () => {
  const connection = open('fail-fast', { redisUrl: `redis://127.0.0.1:${await closedPort()}` });
  assert.ok(isConnectionError(await errorOf(connection.get('a'))));
  assert.ok(isConnectionError(await errorOf(connection.multi().get('a').exec())));
  const replies = await connection.pipeline().get('a').exec();
  assert.ok(isConnectionError(replies?.[0]?.[0]));
});

test('a command on a closed connection fails with a connection error', async () => {
  const connection = open('fail-fast');
  await ready(connection, 60_000);
  await connection.quit();
  assert.ok(isConnectionError(await errorOf(connection.get('a'))));
});

test('a command in flight on a fail-fast connection fails after one failed attempt to reconnect', async () => {
  const connection = open('fail-fast');
  await ready(connection, 60_000);
  const blocked = errorOf(connection.blpop('nothing', 0));
  await redis.kill();
  const error = await blocked;
  assert.equal(error.name, 'MaxRetriesPerRequestError');
  assert.ok(isConnectionError(error));
  await redis.restart();
});

test('a command in flight is sent again after a reconnect', async () => {
  const connection = open('fail-fast');
  await ready(connection, 60_000);
  const id = await connection.client('ID');
  const popped = connection.blpop('later', 0);
  await admin.client('KILL', 'ID', id);
  await eventOf(connection, 'ready');
  await admin.rpush('later', 'x');
  assert.deepEqual(await popped, ['later', 'x']);
});

test('the unanswered part of a partly answered pipeline is not sent again, and fails with a connection error', async () => {
  const connection = open('fail-fast');
  await ready(connection, 60_000);
  const id = await connection.client('ID');
  const first = admin.blpop('first', 0);
  const replies = connection.pipeline().lpush('first', 'x').blpop('nothing', 0).exec();
  await first;
  await admin.client('KILL', 'ID', id);
  const [answered, cut] = (await replies) ?? [];
  assert.deepEqual(answered, [null, 1]);
  assert.equal(cut?.[0]?.message, 'Command aborted due to connection close');
  assert.ok(isConnectionError(cut?.[0]));
});

test('a command interrupted by a disconnect fails with a connection error', async () => {
  const connection = open('wait');
  await ready(connection, 60_000);
  const blocked = errorOf(connection.blpop('nothing', 0));
  connection.disconnect();
  assert.ok(isConnectionError(await blocked));
});

test('closing a connection between two attempts to reconnect fails its commands in flight', async () => {
  const connection = open('wait', { reconnectDelayMs: 60_000 });
  await ready(connection, 60_000);
  const blocked = errorOf(connection.blpop('nothing', 0));
  const lost = eventOf(connection, 'reconnecting');
  await redis.kill();
  await lost;
  hangUp(connection);
  assert.ok(isConnectionError(await blocked));
  await redis.restart();
});

test('a command that times out fails with a connection error', async () => {
  const silent = await silentServer();
  const slow = new Redis(silent.url, { commandTimeout: 50, enableReadyCheck: false, protocol: 2, disableClientInfo: true });
  slow.on('error', () => undefined);
  opened.push(slow);
  assert.ok(isConnectionError(await errorOf(slow.get('a'))));
  silent.close();
});

test('a command fails with a connection error when the server stops answering', async () => {
  const paused = new Redis(redis.url, { protocol: 2, socketTimeout: 100, maxRetriesPerRequest: 0, retryStrategy: () => 20 });
  const errors: Error[] = [];
  paused.on('error', (error: Error) => errors.push(error));
  opened.push(paused);
  await paused.ping();
  await admin.client('PAUSE', 60_000, 'ALL').catch(() => undefined);
  const error = await errorOf(paused.get('a'));
  assert.ok(isConnectionError(error), `${error.name}: ${error.message}`);
  for (const seen of errors) assert.ok(isConnectionError(seen), `${seen.name}: ${seen.message}`);
  assert.ok(errors.some(({ message }) => message.startsWith('Socket timeout')));
  paused.disconnect();
  await redis.kill();
  await redis.restart();
});

test('a connection whose answers arrived while this process was busy is kept; a silent one is given up', async () => {
  const client = new Redis(redis.url, { protocol: 2, socketTimeout: 300, maxRetriesPerRequest: 0, retryStrategy: () => null });
  readBeforeTimeout(client);
  const errors: Error[] = [];
  client.on('error', (error: Error) => errors.push(error));
  opened.push(client);
  await client.ping();
  const answer = client.ping();
  for (const end = performance.now() + 400; performance.now() < end;);
  assert.equal(await answer, 'PONG');
  // The silence before a command does not count, however long.
  await delay(400);
  assert.equal(await client.ping(), 'PONG');
  assert.equal(errors.length, 0);
  process.kill(redis.pid, 'SIGSTOP');
  const error = await errorOf(client.ping());
  process.kill(redis.pid, 'SIGCONT');
  assert.ok(isConnectionError(error), `${error.name}: ${error.message}`);
  assert.match(errors[0]?.message ?? '', /^Socket timeout: no data within 300 ms$/);
});

test('a connection that is not established in time is a connection error', async (context) => {
  const full = await startTestRedis({ extraArgs: ['--tcp-backlog', '1'] });
  context.after(() => full.stop());
  process.kill(full.pid, 'SIGSTOP');
  // The server accepts none of these: once its backlog is full, the next connection gets no answer.
  const attempts = Array.from({ length: 6 }, () => new Redis(full.url, { connectTimeout: 100, retryStrategy: () => null }));
  const errors = (await Promise.race(attempts.map((attempt) => once(attempt, 'error')))) as [Error];
  assert.equal(errors[0].message, 'connect ETIMEDOUT');
  assert.ok(isConnectionError(errors[0]));
  for (const attempt of attempts) attempt.on('error', () => undefined).disconnect();
});

test('a permanent error reply becomes a FleetError: a wrong type, with its key, and any other', async () => {
  const connection = open('fail-fast');
  await ready(connection, 60_000);
  await connection.set('text', 'x');
  const error = await errorOf(connection.lpush('text', 'y'));
  assert.equal(error.name, 'ReplyError');
  const known = asUnavailable(connection, error);
  assert.ok(isFleetError(known, 'REDIS_WRONG_TYPE'));
  assert.deepEqual(known.details['keys'], ['text']);
  const syntax = await errorOf(connection.call('SET', 'text'));
  assert.ok(isFleetError(asUnavailable(connection, syntax), 'REDIS_ERROR'));
});

test('FleetErrors and errors from other code pass unchanged', () => {
  const connection = open('fail-fast');
  for (const error of [
    new FleetError('CLOSED', 'Connection is closed.'),
    new TypeError('x is not a function'),
    new Error('out of luck'),
    'text',
    undefined,
  ]) {
    assert.equal(asUnavailable(connection, error), error);
  }
});

test('after a restart, a waiting connection sends the commands issued during the outage', async () => {
  const connection = open('wait');
  await ready(connection, 60_000);
  const closed = eventOf(connection, 'close');
  await redis.kill();
  await closed;
  const waiting = connection.set('asked', 'while away');
  await redis.restart();
  assert.equal(await waiting, 'OK');
  assert.equal(await admin.get('asked'), 'while away');
});

test('losing and regaining Redis is logged once each', async () => {
  const lines: string[] = [];
  const connection = open('wait', {}, lines);
  await ready(connection, 60_000);
  const refused = async () => {
    const [error] = (await eventOf(connection, 'error')) as [Error];
    return error;
  };
  const several = (async () => [await refused(), await refused(), await refused()])();
  await redis.kill();
  await several;
  const again = eventOf(connection, 'ready');
  await redis.restart();
  await again;
  const messages = lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
  assert.deepEqual(messages, ['Redis connection lost, reconnecting', 'Redis connection restored']);
});
