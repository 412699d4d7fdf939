import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, type Server, connect, createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { Redis } from 'ioredis';
import { isFleetError } from '../../../shared/errors.js';
import { createKeys } from '../../../shared/keys.js';
import { isConnectionError, isUnavailability } from '../../../shared/redis/connection-errors.js';
import { Replicas } from '../../../shared/redis/replicas.js';
import { type ScriptedRedis, defineScripts } from '../../../shared/scripts/define-scripts.js';
import { type TestRedis, startTestRedis } from '../../support/redis/test-redis.js';
import { until } from '../../support/until.js';

const keys = createKeys('p');
let master: TestRedis;
let replica: TestRedis;
let stranger: TestRedis;

before(async () => {
  [master, stranger] = await Promise.all([startTestRedis({ config: ['repl-diskless-sync-delay 0'] }), startTestRedis()]);
  replica = await startTestRedis({ config: [`replicaof 127.0.0.1 ${master.port}`] });
  const client = master.client();
  await until(
    () => client.info('replication'),
    (info) => info.includes('state=online'),
    { everyMs: 10 },
  );
});

after(() => Promise.all([replica.stop(), master.stop(), stranger.stop()]));

const isUnavailable = (error: unknown): boolean => isFleetError(error, 'REDIS_UNAVAILABLE');

/** Starts a proxy that leads the first connection to one server and every later one to another. */
async function startMovedName(first: number, later: number): Promise<{ server: Server; port: number }> {
  let accepted = 0;
  const server = createServer((socket) => {
    const target = connect((accepted += 1) === 1 ? first : later, '127.0.0.1');
    for (const [one, other] of [
      [socket, target],
      [target, socket],
    ] as const)
      one
        .on('error', () => other.destroy())
        .on('close', () => other.destroy())
        .pipe(other);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port };
}

test('a WAIT covers the writes of its own connection: on an idle one it says nothing about writes of others', async () => {
  const [writes, idle] = [master.client(), master.client()];
  await Promise.all([writes.ping(), idle.ping()]);
  assert.equal(await idle.wait(1, 10_000), 1);
  process.kill(replica.pid, 'SIGSTOP');
  try {
    await writes.set('a', '1');
    assert.equal(await idle.wait(1, 50), 1, 'a mark is needed');
    assert.equal(await writes.wait(1, 50), 0);
    await writes.set('mark', '');
    await idle.del('mark');
    assert.equal(await idle.wait(1, 50), 0, 'its own write covers all earlier writes');
  } finally {
    process.kill(replica.pid, 'SIGCONT');
  }
});

test('writes are confirmed, and no mark is left behind', async () => {
  const redis = defineScripts(master.client()) as Redis & ScriptedRedis;
  const replicas = new Replicas({ redis, keys, count: 1, timeoutMs: 10_000 });
  const written = replicas.begin();
  await redis.set('b', '1');
  assert.equal(await written.confirm([null, 'mail']), null);
  assert.equal(await replica.client().get('b'), '1');
  assert.deepEqual(await redis.keys('p:replicas:*'), []);
  replicas.close();
});

test('a WAIT through a host name that now leads to another server confirms nothing', async () => {
  const { server, port } = await startMovedName(stranger.port, master.port);
  const redis = defineScripts(new Redis(port, { protocol: 2 }));
  const replicas = new Replicas({ redis, keys, count: 1, timeoutMs: 10_000 });
  try {
    // The stranger has no replica: it acts as a replaced master that does not know it yet.
    const written = replicas.begin();
    await redis.set('c', '1');
    await assert.rejects(written.confirm([null]), isUnavailable);
  } finally {
    replicas.close();
    redis.disconnect();
    server.close();
  }
});

test('writes before a lost connection are not confirmed by the next connection', async () => {
  const redis = defineScripts(master.client()) as Redis & ScriptedRedis;
  const replicas = new Replicas({ redis, keys, count: 1, timeoutMs: 10_000 });
  const written = replicas.begin();
  await redis.set('d', '1');
  const ready = once(redis, 'ready');
  redis.disconnect(true);
  await ready;
  await assert.rejects(written.confirm([null]), isUnavailable);
  assert.equal(await replicas.begin().confirm([null]), null);
  replicas.close();
});

test('a lost WAIT connection is replaced', async () => {
  const redis = defineScripts(master.client({ connectionName: 'writer' })) as Redis & ScriptedRedis;
  const replicas = new Replicas({ redis, keys, count: 1, timeoutMs: 10_000 });
  assert.equal(await replicas.begin().confirm([null]), null);
  const [, id] = /^id=(\d+) .* name=writer:replicas /m.exec((await redis.client('LIST')) as string) ?? [];
  await redis.client('KILL', 'ID', Number(id));
  // The connection may not have noticed its end yet: then this call notices it.
  const [first] = await Promise.allSettled([replicas.begin().confirm([null])]);
  assert.ok(first.status === 'fulfilled' || !isFleetError(first.reason, 'NOT_REPLICATED'));
  assert.equal(await replicas.begin().confirm([null]), null);
  replicas.close();
});

test('a master that becomes a replica during the WAIT confirms nothing', async () => {
  const demoted = await startTestRedis();
  const redis = defineScripts(demoted.client({ maxRetriesPerRequest: 0 }));
  const replicas = new Replicas({ redis, keys, count: 1, timeoutMs: 30_000 });
  const written = replicas.begin();
  const confirming = assert.rejects(written.confirm([null]), isUnavailability);
  const other = demoted.client();
  await until(async () => (await other.info('clients')).includes('blocked_clients:1'), Boolean);
  await other.replicaof('127.0.0.1', master.port);
  await confirming;
  replicas.close();
  await demoted.stop();
});

test('a pending confirmation rejects on close', async () => {
  const redis = defineScripts(stranger.client());
  const replicas = new Replicas({ redis, keys, count: 1, timeoutMs: 30_000 });
  const confirming = assert.rejects(replicas.begin().confirm([null]), isConnectionError);
  const other = stranger.client();
  await until(async () => (await other.info('clients')).includes('blocked_clients:1'), Boolean);
  replicas.close();
  await confirming;
  await assert.rejects(replicas.begin().confirm([null]), isConnectionError);
});
