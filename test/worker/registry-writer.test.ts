import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import { defineTask } from '../../shared/task/definition.js';
import { RegistryWriter } from '../../worker/registry-writer.js';
import { LogLines } from '../support/fleet/log-lines.js';
import { EMPTY_REGISTRY, TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';
import { until } from '../support/until.js';

const removal = (id: string) => ({ id, queue: 'q', since: performance.now() });

describe('The registry writer', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function setUp() {
    const keyPrefix = fleet.newPrefix();
    const store = fleet.store({ keyPrefix });
    await store.redis.ping();
    const log = new LogLines();
    return { keyPrefix, store, log, writer: new RegistryWriter(store, log.loggers('worker')) };
  }

  it('registers and removes a task, and leaves nothing', async () => {
    const { keyPrefix, writer } = await setUp();
    writer.add({ id: 'one', item: 'chat-1', queue: 'q', at: 5 });
    writer.add({ id: 'two', item: '', queue: 'q', at: 6 });
    await writer.flush();
    assert.deepEqual(await fleet.registrySize(keyPrefix), { tasks: 2, queues: 2, live: 2, items: 1, leases: 0 });
    writer.remove(removal('one'), { item: 'chat-1' });
    writer.remove(removal('two'), { item: '' });
    writer.remove(removal('one'), { item: 'chat-1' });
    await writer.flush();
    assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
  });

  it('writes the ends of many tasks in a few commands', async () => {
    const { keyPrefix, writer } = await setUp();
    await fleet.client.config('RESETSTAT');
    for (let index = 0; index < 1_000; index += 1) writer.add({ id: `t${index}`, item: `chat-${index % 2}`, queue: 'q', at: index });
    for (let index = 0; index < 1_000; index += 1) writer.remove(removal(`t${index}`), { item: `chat-${index % 2}` });
    await writer.flush();
    const { hset, zadd, sadd, hdel, zrem, srem } = await fleet.commandCounts();
    assert.deepEqual({ hset, zadd, sadd, hdel, zrem, srem }, { hset: 4, zadd: 3, sadd: 4, hdel: 2, zrem: 3, srem: 4 });
    assert.deepEqual(await fleet.registrySize(keyPrefix), EMPTY_REGISTRY);
  });

  it('writes the end of a stopped task at once, even right after another write', async () => {
    const { keyPrefix, store, writer } = await setUp();
    writer.add({ id: 'one', item: '', queue: 'q', at: 5 });
    await writer.flush();
    writer.remove(removal('one'), { item: '' }, { atOnce: true });
    await setImmediate();
    // On the writer's own connection, whose earlier commands come first.
    assert.equal(await store.redis.hexists(`${keyPrefix}:tasks`, 'one'), 0);
  });

  it('writes soon without a flush, and adds states to existing streams', async () => {
    const { store, keyPrefix, writer } = await setUp();
    await fleet.client.xadd(`${keyPrefix}:tasks:events:one`, '*', 'type', 'chunk', 'data', '1');
    const other = fleet.redis.client();
    const read = other.xread('BLOCK', 10_000, 'STREAMS', `${keyPrefix}:tasks:events:one`, '$');
    // The blocking read must wait before the event is written.
    await until(
      () => fleet.client.client('LIST') as Promise<string>,
      (clients) => clients.includes('cmd=xread'),
    );
    writer.state('one', 'completed');
    writer.state('unheard-of', 'completed');
    const [stream] = (await read) ?? [];
    assert.deepEqual(
      stream?.[1].map(([, fields]) => fields),
      [['type', 'state', 'data', '"completed"']],
    );
    await writer.flush();
    assert.ok((await fleet.client.pttl(`${keyPrefix}:tasks:events:one`)) > 3_000_000);
    assert.equal(await store.redis.exists(`${keyPrefix}:tasks:events:unheard-of`), 0);
  });

  it('writes a failed attempt before later commands of the process', async () => {
    const { store, keyPrefix, writer } = await setUp();
    const key = `${keyPrefix}:tasks:events:one`;
    await store.redis.xadd(key, '*', 'type', 'chunk', 'data', '1');
    writer.retrying('one', 1);
    await store.redis.xadd(key, '*', 'type', 'chunk', 'data', '2');
    assert.deepEqual(
      (await fleet.client.xrange(key, '-', '+')).map(([, fields]) => fields),
      [
        ['type', 'chunk', 'data', '1'],
        ['type', 'state', 'data', '"retrying"', 'attempt', '1'],
        ['type', 'chunk', 'data', '2'],
      ],
    );
  });

  it('restores the entry of a task that was retried before a late removal', async () => {
    const { keyPrefix, store, writer } = await setUp();
    const producer = fleet.producer({ keyPrefix });
    const task = defineTask({ name: 'q.task', queue: 'q', input: z.object({}), retention: KEEP });
    const ids = await Promise.all([1, 2].map(async () => (await producer.enqueue(task, {}, { item: 'chat-1' })).id));
    await producer.stop(ids);
    const [retried = '', ended = ''] = ids;
    await producer.retry(retried);
    for (const id of [retried, ended]) writer.remove({ id, queue: 'q', since: performance.now() - 10_000 }, { item: 'chat-1' });
    await writer.flush();
    assert.deepEqual(await fleet.registrySize(keyPrefix), { tasks: 1, queues: 1, live: 1, items: 1, leases: 0 });
    assert.deepEqual(await store.registry.find(ids), [{ id: retried, item: null, queue: 'q' }, null]);
  });

  it('warns when Redis refuses a write', async () => {
    const { keyPrefix, log, writer } = await setUp();
    await fleet.client.set(`${keyPrefix}:tasks`, 'not a hash');
    writer.remove(removal('one'), { item: '' });
    await writer.flush();
    assert.match(JSON.stringify(log.find(/Could not update the registry/)[0]), /WRONGTYPE/);
  });
});
