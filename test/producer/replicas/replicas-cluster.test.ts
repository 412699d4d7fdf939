import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { createProducer } from '../../../producer/index.js';
import { isFleetError } from '../../../shared/errors.js';
import { createKeys } from '../../../shared/keys.js';
import { defineTask } from '../../../shared/task/definition.js';
import { TestCluster } from '../../support/redis/test-cluster.js';
import type { TestRedis } from '../../support/redis/test-redis.js';
import { KEEP } from '../../support/task/keep.js';

const definitions = Array.from({ length: 6 }, (_, n) =>
  defineTask({ name: `note.${n}`, queue: `notes-${n}`, input: z.object({}), retention: KEEP }),
);
const SETTINGS = { cluster: true, enqueueWaitReplicas: 1, stopWaitReplicas: 1, logLevel: 'silent' } as const;

let cluster: TestCluster;
before(async () => {
  cluster = await TestCluster.start();
});
after(() => cluster.stop());

function setUp(keyPrefix: string, waitReplicasTimeoutMs: number) {
  const producer = createProducer({ ...SETTINGS, redisUrl: cluster.url, keyPrefix, waitReplicasTimeoutMs });
  const job = (n: number, id: string): string => `${createKeys(keyPrefix, true).jobs(`notes-${n}`)}${id}`;
  return { producer, job };
}

/** The replica of a key's master, and a readonly connection to it. */
async function replicaOf(key: string): Promise<{ node: TestRedis; client: Redis }> {
  const master = await cluster.masterOf(key);
  for (const node of cluster.nodes) {
    const client = node.client();
    if ((await client.info('replication')).includes(`master_port:${master.port}`)) {
      await client.readonly();
      return { node, client };
    }
  }
  assert.fail(`no replica of ${master.url}`);
}

test("on a cluster, the replica of the task's queue has the task and its stop when they are acknowledged", async () => {
  const { producer, job } = setUp('a', 20_000);
  try {
    const masters = new Set<string>();
    for (const [n, definition] of definitions.entries()) {
      const { client } = await replicaOf(job(n, 'x'));
      masters.add((await cluster.masterOf(job(n, 'x'))).url);
      const { id } = await producer.enqueue(definition, {});
      assert.equal(await client.hexists(job(n, id), 'name'), 1);
      assert.equal((await producer.stop(id)).outcome, 'cancelled');
      assert.equal(await client.hget(job(n, id), 'stop_via'), 'queue');
    }
    assert.ok(masters.size > 1, 'the queues are on several masters');
    for (const node of cluster.nodes) assert.deepEqual(await node.client().keys('*:replicas:*'), []);
  } finally {
    await producer.close();
  }
});

test('only tasks on the master of a hanging replica wait for it', async () => {
  const { producer, job } = setUp('b', 300);
  const places = await Promise.all(definitions.map((_, n) => cluster.masterOf(job(n, 'x'))));
  const registry = await cluster.masterOf(createKeys('b', true).tasks);
  const held = places.findIndex((master) => master !== registry);
  const others = definitions.filter((_, n) => places[n] !== places[held]);
  const { node } = await replicaOf(job(held, 'x'));
  process.kill(node.pid, 'SIGSTOP');
  try {
    await assert.rejects(producer.enqueue(definitions[held] as (typeof definitions)[0], {}, { id: 'a' }), (error) =>
      isFleetError(error, 'NOT_REPLICATED'),
    );
    for (const definition of others) await producer.enqueue(definition, {});
  } finally {
    process.kill(node.pid, 'SIGCONT');
    await producer.close();
  }
});

test('the replicas of a migrated queue are asked at its new master', async () => {
  const { producer, job } = setUp('c', 20_000);
  try {
    const [definition] = definitions as [(typeof definitions)[0]];
    await producer.enqueue(definition, {});
    await cluster.migrateSlot(await cluster.slotOf(job(0, 'x')));
    await producer.enqueue(definition, {}, { id: 'a' });
    const { client } = await replicaOf(job(0, 'a'));
    assert.equal(await client.hexists(job(0, 'a'), 'name'), 1);
    assert.equal((await producer.stop('a')).outcome, 'cancelled');
  } finally {
    await producer.close();
  }
});
