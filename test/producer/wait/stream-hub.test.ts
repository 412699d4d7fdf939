import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { JobEvents } from '../../../producer/wait/events.js';
import { StreamHub, compareStreamIds } from '../../../producer/wait/stream-reader.js';
import { Waiter } from '../../../producer/wait/waiter.js';
import { Watch } from '../../../producer/wait/watch.js';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { connect } from '../../../shared/redis/connect.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import { defineTask } from '../../../shared/task/definition.js';
import { type Deferred, deferred } from '../../support/deferred.js';
import { eventOf } from '../../support/event.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

const fleet = await TestFleet.start();
const { client } = fleet;
const hubs: StreamHub[] = [];
after(async () => {
  for (const hub of hubs) await hub.close();
  await fleet.stop();
});

/** A hub and its connections. */
function open(options: { lingerMs?: number } = {}) {
  const settings = { ...resolveSettings({ redisUrl: fleet.redis.url, logLevel: 'silent' }), redisUrl: fleet.redis.url };
  const logger = createLoggerFactory({ settings })('producer');
  const connections: Redis[] = [];
  const hub = new StreamHub(
    fleet.redis.client(),
    () => {
      const connection = connect({ settings, policy: 'wait', logger, name: 'hub', resend: false }) as Redis;
      connections.push(connection);
      return connection;
    },
    logger,
    options,
  );
  hubs.push(hub);
  return { hub, connections };
}

/** Collects a stream's new entries; `until` resolves at a given count. */
async function follow(hub: StreamHub, key: string) {
  const seen: string[] = [];
  let waiting: { count: number; done: Deferred<void> } | null = null;
  const end = await hub.follow(key, (entries) => {
    for (const { fields } of entries) seen.push(fields[1] as string);
    if (waiting && seen.length >= waiting.count) waiting.done.resolve();
  });
  const until = async (count: number): Promise<string[]> => {
    waiting = { count, done: deferred() };
    if (seen.length >= count) waiting.done.resolve();
    await waiting.done.promise;
    return seen;
  };
  return { end, until, seen };
}

const add = (key: string, value: string | number): Promise<unknown> => client.xadd(key, '*', 'v', value);
const numbers = (count: number): string[] => Array.from({ length: count }, (_, n) => `${n}`);

test('a follower receives new entries only', async () => {
  const { hub } = open();
  const key = fleet.newPrefix();
  await add(key, 'before');
  const { until } = await follow(hub, key);
  await add(key, 'after');
  assert.deepEqual(await until(1), ['after']);
});

test('two followers of one stream receive the same entries, and none after unsubscribing', async () => {
  const { hub } = open();
  const key = fleet.newPrefix();
  const [a, b] = [await follow(hub, key), await follow(hub, key)];
  await add(key, 1);
  assert.deepEqual([await a.until(1), await b.until(1)], [['1'], ['1']]);
  b.end();
  await add(key, 2);
  assert.deepEqual([await a.until(2), b.seen], [['1', '2'], ['1']]);
});

test('any number of streams share one connection without delay', { timeout: 60_000 }, async () => {
  // A blocking read lasts five seconds, so each new stream must have unblocked the previous one.
  const { hub, connections } = open();
  for (const key of Array.from({ length: 30 }, () => fleet.newPrefix())) {
    const { until } = await follow(hub, key);
    await add(key, 'x');
    await until(1);
  }
  assert.equal(connections.length, 1);
});

test('a killed connection loses nothing and repeats nothing', async () => {
  const { hub, connections } = open();
  const key = fleet.newPrefix();
  const { until } = await follow(hub, key);
  for (let n = 0; n < 200; n += 1) {
    await add(key, n);
    if (n % 50 === 25) await killBlocked();
  }
  assert.deepEqual(await until(200), numbers(200));
  assert.equal(connections.length, 1);
});

test('a restart of Redis with its data loses nothing', async (context) => {
  const own = await TestFleet.start({ appendonly: 'yes', extraArgs: ['--appendfsync', 'always'] });
  const settings = { ...resolveSettings({ redisUrl: own.redis.url, logLevel: 'silent', reconnectDelayMs: 20 }), redisUrl: own.redis.url };
  const logger = createLoggerFactory({ settings })('producer');
  const hub = new StreamHub(own.client, () => connect({ settings, policy: 'wait', logger, name: 'hub', resend: false }) as Redis, logger);
  context.after(async () => {
    await hub.close();
    await own.stop();
  });
  const { until } = await follow(hub, 'stream');
  await own.client.xadd('stream', '*', 'v', 'before');
  await until(1);
  await own.redis.kill();
  await own.redis.restart();
  await own.client.xadd('stream', '*', 'v', 'after');
  assert.deepEqual(await until(2), ['before', 'after']);
});

test('a stream followed right after a lost connection is received at once', { timeout: 60_000 }, async () => {
  const { hub, connections } = open();
  const first = fleet.newPrefix();
  const { until } = await follow(hub, first);
  await add(first, 'x');
  await until(1);
  const back = eventOf(connections[0] as Redis, 'ready');
  await killBlocked();
  await back;
  const key = fleet.newPrefix();
  const second = await follow(hub, key);
  await add(key, 'y');
  assert.deepEqual(await second.until(1), ['y']);
});

test('the connection closes some time after the last follower and reopens for the next', async () => {
  const { hub, connections } = open({ lingerMs: 20 });
  const key = fleet.newPrefix();
  const { until, end } = await follow(hub, key);
  await add(key, 'x');
  await until(1);
  end();
  const closed = eventOf(connections[0] as Redis, 'end');
  await add(key, 'ends the read that waits');
  await closed;
  const again = await follow(hub, key);
  await add(key, 'y');
  assert.deepEqual(await again.until(1), ['y']);
  assert.equal(connections.length, 2);
});

test('the connection stays open for a follower soon after the last', async () => {
  const { hub, connections } = open();
  for (const key of [fleet.newPrefix(), fleet.newPrefix()]) {
    const { until, end } = await follow(hub, key);
    await add(key, 'x');
    await until(1);
    end();
  }
  assert.equal(connections.length, 1);
});

test('a follower of events that leaves early removes its listeners', async () => {
  const store = fleet.store();
  const { hub, connections } = open({ lingerMs: 20 });
  const waiter = new Waiter(new JobEvents(store.redis, hub, store.keys), () => Promise.resolve());
  const watch = new Watch({ ...store, hub, waiter });
  const producer = fleet.producer({ keyPrefix: store.keys.prefix });
  const { id } = await producer.enqueue(defineTask({ name: 'a', input: z.object({}), retention: KEEP }), {});
  const events = watch.events(id, {});
  await events.next();
  await events.return();
  const closed = eventOf(connections[0] as Redis, 'end');
  await add(store.keys.events(id), 'ends the read that waits');
  await closed;
});

test('close ends the connection, also during a read, and is idempotent', async () => {
  const { hub, connections } = open();
  const key = fleet.newPrefix();
  const { until, seen } = await follow(hub, key);
  await add(key, 'x');
  await until(1);
  await Promise.all([hub.close(), hub.close()]);
  assert.equal(connections[0]?.status, 'end');
  await add(key, 'y');
  assert.deepEqual(seen, ['x']);
  await open().hub.close();
});

test('stream ids are ordered by time, then by sequence', () => {
  const ids = ['0-0', '5-0', '5-1', '5-9', '5-10', '10-0', '1700000000000-0'];
  assert.deepEqual(ids.toReversed().toSorted(compareStreamIds), ids);
  assert.equal(compareStreamIds('5', '5-0'), 0);
});

/** Kills the connections with blocking reads. */
async function killBlocked(): Promise<void> {
  const list = (await client.client('LIST')) as string;
  const ids = list
    .split('\n')
    .filter((line) => line.includes(' name=hub '))
    .map((line) => /^id=(\d+)/.exec(line)?.[1] as string);
  for (const id of ids) await client.client('KILL', 'ID', id).catch(() => undefined);
}
