import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { ROUTES } from '../../../dashboard/api/api.js';
import { fleetCanary } from '../../../index.js';
import type { ProducerConfig } from '../../../producer/index.js';
import { createKeys } from '../../../shared/keys.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import type { TestRedisOptions } from '../../support/redis/test-redis.js';
import { until } from '../../support/until.js';
import { type ServedApi, serveApi } from './serve-api.js';
import { EventClient } from './stream/event-client.js';

/** Serves an API with its own Redis until the test ends. */
async function serve(context: TestContext, options: TestRedisOptions = {}, config: Partial<ProducerConfig> = {}) {
  const fleet = await TestFleet.start(options);
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix, ...config });
  const api = await serveApi({ producer });
  context.after(async () => {
    await api.close();
    await fleet.stop();
  });
  return { fleet, keyPrefix, producer, api };
}

/** Bodies of routes that do not accept `{}`. */
const BODIES: Readonly<Record<string, object>> = {
  '/tasks': { name: 'fleet.canary' },
  '/tokens': { role: 'viewer', items: ['some'] },
  '/limits/{name}': { limit: 3 },
  '/limits/{name}/{key}': { limit: 3 },
};

/** Calls every route and expects 503 in time. */
async function askAll(api: ServedApi): Promise<void> {
  await Promise.all(
    ROUTES.map(async ({ method, path, body }) => {
      const since = performance.now();
      const json = body ? (BODIES[path] ?? {}) : undefined;
      const sent = await api.send(method.toUpperCase(), path.replaceAll(/\{\w+\}/g, 'some'), {
        json,
        headers: path === '/tasks' ? { 'idempotency-key': 'k' } : {},
      });
      const ms = performance.now() - since;
      assert.deepEqual(
        [sent.status, sent.headers['retry-after'], (sent.body as { code: string }).code],
        [503, '2', 'REDIS_UNAVAILABLE'],
        `${method} ${path}`,
      );
      assert.doesNotMatch(sent.text, /127\.0\.0\.1|ECONNREFUSED/);
      // Two seconds, and more for a busy machine: without a limit, it would be a minute.
      assert.ok(ms < 45_000, `${method} ${path} took ${Math.round(ms)} ms`);
    }),
  );
}

test('while Redis is unavailable, every route answers 503, and recovers with Redis', async (context) => {
  const { fleet, producer, api } = await serve(context);
  assert.equal((await api.send('GET', '/tasks')).status, 200);
  await fleet.redis.kill();
  await askAll(api);
  await fleet.redis.restart();
  await producer.ping().catch(() => producer.ping());
  assert.equal((await api.send('POST', '/tasks', { json: { name: 'fleet.canary' }, headers: { 'idempotency-key': 'k' } })).status, 202);
});

test('a hanging Redis counts as unavailable', async (context) => {
  const { fleet, producer, api } = await serve(context);
  await producer.ping();
  process.kill(fleet.redis.pid, 'SIGSTOP');
  try {
    await askAll(api);
  } finally {
    process.kill(fleet.redis.pid, 'SIGCONT');
  }
});

test('an event stream survives an outage without gaps', async (context) => {
  const { fleet, keyPrefix, producer, api } = await serve(
    context,
    { appendonly: 'yes', extraArgs: ['--appendfsync', 'always'] },
    { reconnectDelayMs: 20 },
  );
  const { id } = await producer.enqueue(fleetCanary, {}, {});
  const say = (chunk: number): Promise<unknown> => fleet.client.xadd(createKeys(keyPrefix).events(id), '*', 'type', 'chunk', 'data', chunk);
  const client = await EventClient.open(api.port, `/tasks/${id}/events`);
  const list = await EventClient.open(api.port, '/events');
  await say(1);
  await client.until(() => client.chunks.length === 1);
  await fleet.redis.kill();
  // Each call gives up after about the timeout of the stream's own reads.
  for (let n = 0; n < 2; n += 1) await assert.rejects(producer.get(id), { code: 'REDIS_UNAVAILABLE' });
  await fleet.redis.restart();
  await say(2);
  await client.until(() => client.chunks.length === 2);
  assert.deepEqual(client.chunks, [1, 2]);
  await until(
    () => producer.stop(id).catch(() => null),
    (receipt) => receipt?.outcome === 'cancelled',
  );
  await client.end();
  await list.until((heard) => heard.some(({ data }) => (data['removed'] as string[] | undefined)?.includes(id)));
  list.leave();
});

test('a connection lost during a call yields 503 too', async (context) => {
  const { producer, api } = await serve(context);
  producer.store.redis.zrange = () => Promise.reject(new Error('Connection is closed.'));
  assert.equal((await api.send('GET', '/workers')).status, 503);
});
