import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { MergedWrites, type Registration } from '../../../shared/registry/merged-writes.js';
import { TASK_KEY_NAMES } from '../../../shared/reserved-ids.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';

const fleet = await TestFleet.start();
const { client } = fleet;
after(() => fleet.stop());

function open() {
  const prefix = fleet.newPrefix();
  const { keys, registry } = fleet.store({ keyPrefix: prefix });
  const write = async (change: (writes: MergedWrites) => void): Promise<void> => {
    const writes = new MergedWrites(keys);
    change(writes);
    await Promise.all(writes.flushInto(fleet.scripted));
  };
  const add = (...tasks: Registration[]) => write((writes) => tasks.forEach((task) => writes.add(task)));
  return { prefix, keys, registry, write, add };
}

test('any number of registrations is one command per key', async () => {
  const { prefix: p, keys } = open();
  const writes = new MergedWrites(keys);
  writes.add({ id: 'a', item: 'chat-1', name: 'ask', tags: ['x', 'y'], queue: 'chat', at: 1 });
  writes.add({ id: 'b', item: '', name: 'ask', queue: 'chat', at: 2 });
  writes.add({ id: 'c', item: 'chat-1', queue: 'docs', at: 2 });
  const watch = await fleet.monitor();
  const sent = writes.flushInto(fleet.scripted);
  assert.equal(sent.length, 11);
  await Promise.all(sent);
  assert.deepEqual(await watch.stop(), [
    ['hset', `${p}:tasks:queues`, 'a', 'chat', 'b', 'chat', 'c', 'docs'],
    ['hset', `${p}:tasks`, 'a', 'chat-1', 'b', '', 'c', 'chat-1'],
    ['sadd', `${p}:items:chat-1`, 'a', 'c'],
    ['sadd', `${p}:tasks:item:chat-1`, 'a', 'c'],
    ['zadd', `${p}:find:name:ask`, '1', 'a', '2', 'b'],
    ['zadd', `${p}:find:tag:x`, '1', 'a'],
    ['zadd', `${p}:find:tag:y`, '1', 'a'],
    ['zadd', `${p}:find:texts`, '0', 'tx\0a', '0', 'ty\0a'],
    ['zadd', `${p}:find:items`, '0', 'chat-1'],
    ['sadd', `${p}:find:names`, 'chat:ask'],
    ['zadd', `${p}:tasks:live`, '1', 'a', '2', 'b', '2', 'c'],
  ]);
});

test('any number of removals is one command per key too, and one for all items, after the registrations', async () => {
  const { prefix: p, keys, write } = open();
  await write((writes) => writes.remove('loads-the-script', { item: 'chat-2' }));
  const writes = new MergedWrites(keys);
  writes.remove('a', { item: 'chat-1', name: 'ask', tags: ['x'] });
  writes.remove('b', { item: '' });
  writes.add({ id: 'a', item: 'chat-1', queue: 'chat', at: 1 });
  const watch = await fleet.monitor();
  const sent = writes.flushInto(fleet.scripted);
  assert.equal(sent.length, 13);
  assert.equal(writes.flushInto(fleet.scripted).length, 0);
  await Promise.all(sent);
  const commands = (await watch.stop()).slice(6);
  assert.deepEqual(
    commands.filter(([name]) => name !== 'evalsha'),
    [
      ['zrem', `${p}:tasks:live`, 'a', 'b'],
      ['zrem', `${p}:find:name:ask`, 'a'],
      ['zrem', `${p}:find:tag:x`, 'a'],
      ['zrem', `${p}:find:texts`, 'tx\0a'],
      ['ZLEXCOUNT', `${p}:find:texts`, '[i', '(j'],
      ['SREM', `${p}:items:chat-1`, 'a'],
      ['SREM', `${p}:tasks:item:chat-1`, 'a'],
      ['EXISTS', `${p}:items:chat-1`],
      ['ZREM', `${p}:find:items`, 'chat-1'],
      ['hdel', `${p}:tasks`, 'a', 'b'],
      ['hdel', `${p}:tasks:queues`, 'a', 'b'],
    ],
  );
  assert.deepEqual(await fleet.registrySize(p), EMPTY_REGISTRY);
  assert.deepEqual(await client.keys(`${p}:find:*`), []);
});

test('tasks leave their items with what older producers wrote, unless the keys of the item have another type', async () => {
  const { prefix: p, keys, write, add } = open();
  const ids = Array.from({ length: 1_200 }, (_, n) => `t${n}`);
  await add(...ids.map((id) => ({ id, item: 'x', queue: 'q', at: 1 })), { id: 'other', item: 'y', queue: 'q', at: 1 });
  await client.zadd(keys.findTexts, ...ids.flatMap((id) => [0, `ix\0${id}`]), 0, 'iy\0other', 0, 'tx\0other');
  await client.multi().del(keys.item('x')).set(keys.item('x'), 'not a set').exec();
  await write((writes) => ids.forEach((id) => writes.remove(id, { item: 'x' })));
  assert.deepEqual(await client.zrange(keys.findTexts, '0', '-1'), ['iy\0other', 'tx\0other']);
  assert.deepEqual(await client.zrange(keys.findItems, '0', '-1'), ['y']);
  assert.deepEqual(await client.keys(`${p}:items:*`), [keys.ownItem('y')]);
  assert.equal((await fleet.registrySize(p)).live, 1);
});

test('150,000 registrations can be written and removed at once', async () => {
  const { prefix, write, registry } = open();
  const ids = Array.from({ length: 150_000 }, (_, n) => `t${n}`);
  await write((writes) => ids.forEach((id) => writes.add({ id, item: 'big', queue: 'q', at: 1 })));
  assert.equal((await fleet.registrySize(prefix)).tasks, ids.length);
  const found = await registry.find(ids);
  assert.equal(found.length, ids.length);
  assert.ok(found.every((entry) => entry?.queue === 'q'));
  await write((writes) => ids.forEach((id) => writes.remove(id, { item: 'big' })));
  assert.deepEqual(await fleet.registrySize(prefix), EMPTY_REGISTRY);
});

test('repeating a write changes nothing', async () => {
  const { prefix, add, write, registry } = open();
  const task = { id: 'a', item: 'chat-1', queue: 'chat', at: 5 };
  await add(task);
  await add(task);
  assert.deepEqual(await registry.find(['a']), [{ id: 'a', item: null, queue: 'chat' }]);
  await write((writes) => writes.remove('a', { item: 'chat-1' }));
  await write((writes) => writes.remove('a', { item: 'chat-1' }));
  assert.deepEqual(await fleet.registrySize(prefix), EMPTY_REGISTRY);
});

test('a task id is found with its queue, a foreign one with its item and without a queue, an unknown one not at all', async () => {
  const { keys, add, registry } = open();
  await add({ id: 'ours', item: 'chat-1', queue: 'chat', at: 1 }, { id: 'loose', item: '', queue: 'chat', at: 1 });
  await client.hset(keys.tasks, 'theirs', 'chat-1', 'theirs-loose', '');
  assert.deepEqual(await registry.find(['ours', 'loose', 'theirs', 'theirs-loose', 'nobody']), [
    { id: 'ours', item: null, queue: 'chat' },
    { id: 'loose', item: null, queue: 'chat' },
    { id: 'theirs', item: 'chat-1', queue: null },
    { id: 'theirs-loose', item: null, queue: null },
    null,
  ]);
  assert.deepEqual(await registry.find([]), []);
});

test('only the entries of other programs are foreign', async () => {
  const { keys, add, registry } = open();
  await add({ id: 'ours', item: '', queue: 'chat', at: 1 });
  assert.deepEqual(await registry.foreign(), []);
  await client.hset(keys.tasks, 'theirs', 'chat-1', 'loose', '');
  const foreign = (await registry.foreign()).toSorted((a, b) => (a.id < b.id ? -1 : 1));
  assert.deepEqual(foreign, [
    { id: 'loose', item: null, queue: null },
    { id: 'theirs', item: 'chat-1', queue: null },
  ]);
});

test('an item has the ids of its live tasks', async () => {
  const { add, write, registry } = open();
  await add(
    { id: 'a', item: 'x', queue: 'q', at: 1 },
    { id: 'b', item: 'x', queue: 'q', at: 2 },
    { id: 'c', item: 'y', queue: 'q', at: 3 },
  );
  assert.deepEqual([...(await registry.findItem('x')).keys()].toSorted(), ['a', 'b']);
  await write((writes) => writes.remove('a', { item: 'x' }));
  assert.deepEqual([...(await registry.findItem('x')).keys()], ['b']);
  assert.deepEqual([await registry.hasActive('x'), await registry.hasActive('z')], [true, false]);
});

/** Deletes the entries that open-webui deletes when it stops a task. */
async function deleted({ keys }: ReturnType<typeof open>, id: string, item: string): Promise<void> {
  await client.multi().hdel(keys.tasks, id).srem(keys.item(item), id).del(keys.lease(id)).exec();
}

test("entries that open-webui deletes do not change the fleet's own registry", async () => {
  const opened = open();
  const { keys, add, registry } = opened;
  await add({ id: 'ours', item: 'x', queue: 'q', at: 1 });
  await client.multi().hset(keys.tasks, 'theirs', 'x').sadd(keys.item('x'), 'theirs').exec();
  await deleted(opened, 'ours', 'x');
  assert.deepEqual(await registry.find(['ours']), [{ id: 'ours', item: null, queue: 'q' }]);
  assert.deepEqual(Object.fromEntries(await registry.findItem('x')), {
    ours: { id: 'ours', item: null, queue: 'q' },
    theirs: { id: 'theirs', item: 'x', queue: null },
  });
  assert.deepEqual(await registry.foreign(), [{ id: 'theirs', item: 'x', queue: null }]);
  await deleted(opened, 'theirs', 'x');
  assert.equal(await registry.hasActive('x'), true);
  assert.deepEqual(await registry.claimItem({ id: 'second', item: 'x', queue: 'q', at: 2 }, 'reject'), ['ours']);
  assert.equal(await registry.count(), 1);
});

test('a task registered by an older version, in the shared set of an item only, is a task of the fleet', async () => {
  const { keys, add, registry } = open();
  await add({ id: 'old', item: 'x', queue: 'q', at: 1 });
  await client.del(keys.ownItem('x'));
  assert.deepEqual([...(await registry.findItem('x'))], [['old', { id: 'old', item: null, queue: 'q' }]]);
  assert.equal(await registry.hasActive('x'), true);
  assert.deepEqual(await registry.claimItem({ id: 'new', item: 'x', queue: 'q', at: 2 }, 'join'), ['old']);
});

test('a set member that is not a task does not keep its item busy, and a claim removes it', async () => {
  const { prefix, keys, registry } = open();
  await client.multi().sadd(keys.ownItem('x'), 'left').sadd(keys.item('x'), 'left', 'left-too').exec();
  assert.equal(await registry.hasActive('x'), false);
  assert.deepEqual(await registry.claimItem({ id: 'new', item: 'x', queue: 'q', at: 2 }, 'reject'), []);
  assert.deepEqual([await client.smembers(keys.ownItem('x')), await client.smembers(keys.item('x'))], [['new'], ['new']]);
  assert.deepEqual(await fleet.registrySize(prefix), { tasks: 1, queues: 1, live: 1, items: 1, leases: 0 });
});

test('leases are written together with many entries, before the list of live tasks, and removed with them', async () => {
  const { prefix: p, keys } = open();
  const writes = new MergedWrites(keys, { written: true, removed: true });
  writes.add({ id: 'a', item: '', queue: 'chat', at: 1 });
  writes.add({ id: 'b', item: '', queue: 'chat', at: 2 });
  const watch = await fleet.monitor();
  await Promise.all(writes.flushInto(fleet.scripted));
  assert.deepEqual(await client.mget(keys.lease('a'), keys.lease('b')), ['1', '1']);
  assert.equal(await client.pttl(keys.lease('a')), -1);
  writes.remove('a', { item: '' });
  writes.remove('b', { item: '' });
  await Promise.all(writes.flushInto(fleet.scripted));
  assert.deepEqual(
    (await watch.stop()).map(([name = '', key]) => `${name} ${key?.slice(p.length)}`).filter((line) => !/mget|ttl/.test(line)),
    [
      ...['hset :tasks:queues', 'hset :tasks', 'mset :tasks:a', 'zadd :tasks:live'],
      ...['zrem :tasks:live', 'del :tasks:a', 'hdel :tasks', 'hdel :tasks:queues'],
    ],
  );
  assert.deepEqual(await fleet.registrySize(p), EMPTY_REGISTRY);
});

test('a job of a plain BullMQ queue with the id of a registry key is hidden from open-webui', async () => {
  const { keys, registry } = open();
  const names = [...TASK_KEY_NAMES, 'item:chat-1', 'events:1'];
  const writes = new MergedWrites(keys, { written: true, removed: true });
  for (const id of names) writes.add({ id, item: 'x', queue: 'q', at: 1 });
  await Promise.all(writes.flushInto(fleet.scripted));
  assert.equal(await client.hlen(keys.tasks), 0);
  assert.deepEqual([...(await registry.findItem('x')).keys()].toSorted(), names.toSorted());
  for (const id of names) writes.remove(id, { item: 'x' });
  await Promise.all(writes.flushInto(fleet.scripted));
  assert.equal(await registry.hasActive('x'), false);
});

test('an item with thousands of tasks is read in pages, with those of other programs', async () => {
  const { registry, keys } = open();
  const ids = Array.from({ length: 2_500 }, (_, index) => `t${index}`);
  const writes = registry.writes();
  for (const id of ids) writes.add({ id, item: 'x', queue: 'q', at: 1 });
  await Promise.all(writes.flushInto(fleet.scripted));
  await client.hset(keys.tasks, 'foreign', 'x');
  await client.sadd(keys.item('x'), 'foreign');
  const found = await registry.findItem('x');
  assert.deepEqual(new Set(found.keys()), new Set([...ids, 'foreign']));
  assert.deepEqual([found.get('t7')?.queue, found.get('foreign')?.queue], ['q', null]);
});
