/** No command waits forever when its connection is closed or lost, in any state of the connection. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Redis } from 'ioredis';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { type ConnectionPolicy, connect, hangUp, ready } from '../../../shared/redis/connect.js';
import { isConnectionError } from '../../../shared/redis/connection-errors.js';
import type { RedisConnection } from '../../../shared/redis/connection.js';
import { type SettingsInput, resolveSettings } from '../../../shared/settings/settings.js';
import type { ConnectedSettings } from '../../../shared/store.js';
import { eventOf } from '../../support/event.js';
import { FaultProxy } from '../../support/network/fault-proxy.js';
import { TestCluster } from '../../support/redis/test-cluster.js';
import { startTestRedis } from '../../support/redis/test-redis.js';

const redis = await startTestRedis();
const proxy = await FaultProxy.start(redis.port);
/** A server that no longer runs. */
const dead = await startTestRedis();
await dead.kill();
const opened: RedisConnection[] = [];
after(async () => {
  for (const connection of opened) hangUp(connection);
  await proxy.stop();
  await Promise.all([redis.stop(), dead.stop()]);
});

function open(policy: ConnectionPolicy, input: SettingsInput & { readonly redisUrl: string }): RedisConnection {
  const settings = resolveSettings({ reconnectDelayMs: 20, ...input }) as ConnectedSettings;
  const logger = createLoggerFactory({ settings, destination: { write: () => undefined } })('redis');
  const connection = connect({ settings, policy, logger, name: 'test' });
  opened.push(connection);
  return connection;
}

async function assertLost(command: Promise<unknown>): Promise<void> {
  await assert.rejects(command, (error) => {
    assert.ok(isConnectionError(error), String(error));
    return true;
  });
}

/** Opens a connection with a command in flight, whose reconnect is accepted but not answered. */
async function halfOpen(policy: ConnectionPolicy): Promise<{ readonly connection: Redis; readonly lost: Promise<void> }> {
  const connection = open(policy, { redisUrl: proxy.url, maxRetries: 1 }) as Redis;
  await ready(connection, 5_000);
  const lost = assertLost(connection.blpop('nothing', 0));
  const again = eventOf(connection, 'connect');
  proxy.halfOpen();
  proxy.reset();
  await again;
  return { connection, lost };
}

test('a command in flight fails after `maxRetries` reconnects, even if they are accepted and never answered', async (t) => {
  t.after(() => proxy.heal());
  const { lost } = await halfOpen('fail-fast');
  proxy.reset();
  await lost;
});

test('a command in flight fails when its connection is closed during an unanswered reconnect', async (t) => {
  t.after(() => proxy.heal());
  const { connection, lost } = await halfOpen('wait');
  hangUp(connection);
  await lost;
});

test('closing a cluster client during the discovery of its nodes fails its commands and ends it', async () => {
  const cluster = open('wait', { redisUrl: dead.url, cluster: true });
  const lost = assertLost(cluster.get('key'));
  assert.equal(cluster.status, 'connecting');
  hangUp(cluster);
  await lost;
  await untilEnded(cluster);
});

test('closing a cluster client between two connection attempts fails its commands and ends it', async () => {
  const cluster = open('wait', { redisUrl: dead.url, cluster: true, reconnectDelayMs: 60_000 });
  const lost = assertLost(cluster.get('key'));
  await eventOf(cluster, 'reconnecting');
  hangUp(cluster);
  await lost;
  await untilEnded(cluster);
});

test('closing a cluster client while it waits for a new master fails the commands to be sent again', async (t) => {
  const nodes = await TestCluster.start();
  t.after(() => nodes.stop());
  const cluster = open('wait', { redisUrl: nodes.hosts.map(({ port }) => `redis://127.0.0.1:${port}`)[0] as string, cluster: true });
  await ready(cluster, 5_000);
  await cluster.set('key', 'value');
  const lost = assertLost(cluster.blpop('key-of-a-list', 0));
  await nodes.killMasterOf('key-of-a-list');
  await eventOf(cluster, '-node');
  hangUp(cluster);
  await lost;
  await untilEnded(cluster);
});

async function untilEnded(cluster: RedisConnection): Promise<void> {
  if (cluster.status !== 'end') await eventOf(cluster, 'end');
  await assertLost(cluster.get('key'));
}
