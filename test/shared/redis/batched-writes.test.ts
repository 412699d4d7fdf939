/** The commands of one turn share a socket write, stay in order, and are neither lost nor doubled with the connection. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Redis } from 'ioredis';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { type ConnectionPolicy, connect, hangUp, ready } from '../../../shared/redis/connect.js';
import { isConnectionError } from '../../../shared/redis/connection-errors.js';
import { type RedisConnection, serverOf } from '../../../shared/redis/connection.js';
import { type SettingsInput, resolveSettings } from '../../../shared/settings/settings.js';
import type { ConnectedSettings } from '../../../shared/store.js';
import { TestCluster } from '../../support/redis/test-cluster.js';
import { startTestRedis } from '../../support/redis/test-redis.js';
import { TestTls } from '../../support/redis/test-tls.js';

const redis = await startTestRedis();
const admin = redis.client();
const opened: RedisConnection[] = [];
after(async () => {
  for (const connection of opened) hangUp(connection);
  await redis.stop();
});

async function open(policy: ConnectionPolicy, input: SettingsInput = {}, resend = true): Promise<RedisConnection> {
  const settings = resolveSettings({ redisUrl: redis.url, reconnectDelayMs: 20, ...input }) as ConnectedSettings;
  const logger = createLoggerFactory({ settings, destination: { write: () => undefined } })('redis');
  const connection = connect({ settings, policy, logger, name: 'test-writes', resend });
  opened.push(connection);
  await ready(connection, 10_000);
  return connection;
}

/** The writes of a socket, which Node passes to these two methods. */
interface Writes {
  _write(...args: unknown[]): void;
  _writev(...args: unknown[]): void;
}

/** Counts the socket writes of a connection from now on. */
function countWrites({ stream }: Redis): () => number {
  let writes = 0;
  const socket = stream as unknown as Writes;
  for (const method of ['_write', '_writev'] as const) {
    const original = socket[method].bind(stream);
    socket[method] = (...args) => {
      writes += 1;
      original(...args);
    };
  }
  return () => writes;
}

function times<Result>(count: number, call: (index: number) => Result): Result[] {
  return Array.from({ length: count }, (_, index) => call(index));
}

const numbers = (count: number): number[] => times(count, (index) => index + 1);

test('the commands of one turn are one write, in order: strings, buffers, scripts, pipelines', async () => {
  const connection = (await open('wait')) as Redis;
  await connection.eval('return 1', 0);
  const writes = countWrites(connection);
  const calls = times(30, (index) =>
    index % 3 === 0
      ? connection.incr('order')
      : index % 3 === 1
        ? connection.eval('return redis.call("INCR", KEYS[1])', 1, Buffer.from('order'))
        : connection
            .pipeline()
            .incr('order')
            .exec()
            .then((replies) => replies?.[0]?.[1]),
  );
  assert.deepEqual(await Promise.all(calls), numbers(30));
  assert.equal(writes(), 1);
});

test('the commands of promise chains of any length share the write of their turn', async () => {
  const connection = (await open('wait')) as Redis;
  const writes = countWrites(connection);
  const chain = async (length: number): Promise<number> => {
    for (let step = 0; step < length; step += 1) await Promise.resolve();
    return connection.incr('chains');
  };
  assert.deepEqual(await Promise.all(times(50, chain)), numbers(50));
  assert.equal(writes(), 1);
});

test('a large turn is written in parts, so that Redis starts before the turn ends', async () => {
  const connection = (await open('wait')) as Redis;
  const writes = countWrites(connection);
  await Promise.all(times(64, (index) => connection.set(`large:${index}`, 'x'.repeat(1_000))));
  assert.ok(writes() >= 31 && writes() <= 33, `${writes()} writes`);
});

test('a lone command is written in its own turn', async () => {
  const connection = (await open('fail-fast')) as Redis;
  const writes = countWrites(connection);
  const reply = connection.incr('lone');
  await new Promise<void>((resolve) => process.nextTick(resolve));
  assert.deepEqual([writes(), connection.stream.writableLength], [1, 0]);
  assert.equal(await reply, 1);
});

test('a batch that is lost with its connection is sent once by the next one', async () => {
  const connection = (await open('wait')) as Redis;
  const calls = times(50, () => connection.incr('resent'));
  connection.stream.destroy();
  assert.deepEqual(await Promise.all(calls), numbers(50));
  assert.equal(await admin.get('resent'), '50');
});

test('a batch that is lost with a connection that resends nothing fails, and does not run', async () => {
  const connection = (await open('fail-fast', {}, false)) as Redis;
  const calls = times(50, () => connection.incr('unsent'));
  connection.stream.destroy();
  for (const result of await Promise.allSettled(calls))
    assert.ok(result.status === 'rejected' && isConnectionError(result.reason), JSON.stringify(result));
  assert.equal(await admin.get('unsent'), null);
});

test('a batch is sent before its connection is closed', async () => {
  const connection = (await open('wait')) as Redis;
  const calls = times(50, () => connection.incr('closed'));
  connection.disconnect();
  await Promise.allSettled(calls);
  assert.equal(await admin.get('closed'), '50');
});

test('a TLS connection batches too', async () => {
  const tls = await TestTls.create();
  const server = await startTestRedis({ tls });
  const connection = (await open('wait', { redisUrl: server.url, tlsCaFile: tls.caFile })) as Redis;
  try {
    const writes = countWrites(connection);
    assert.deepEqual(await Promise.all(times(50, () => connection.incr('tls'))), numbers(50));
    assert.equal(writes(), 1);
  } finally {
    hangUp(connection);
    await server.stop();
    await tls.remove();
  }
});

test('each node of a cluster gets its commands of a turn in one write', async () => {
  const nodes = await TestCluster.start();
  const cluster = await open('wait', { redisUrl: nodes.url, cluster: true });
  try {
    await cluster.set('{a}', 0);
    const writes = countWrites(serverOf(cluster, '{a}') as Redis);
    assert.deepEqual(await Promise.all(times(50, () => cluster.incr('{a}'))), numbers(50));
    assert.equal(writes(), 1);
  } finally {
    hangUp(cluster);
    await nodes.stop();
  }
});
