/** The Redis Cluster of the tests. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import type { Cluster } from 'ioredis';
import { isAlive } from '../../support/process/processes.js';
import { TestCluster } from '../../support/redis/test-cluster.js';
import type { TestRedis } from '../../support/redis/test-redis.js';

describe('TestCluster', () => {
  let redis: TestCluster;
  let client: Cluster;

  before(async () => {
    redis = await TestCluster.start({ password: 'hidden-word' });
    client = redis.client();
  });
  after(() => redis.stop());

  /** Writes keys one after the other until ended, then returns the number of acknowledged writes. */
  function startWriting(keyOf: (index: number) => string): { readonly end: () => Promise<number> } {
    const ending = new AbortController();
    const done = (async () => {
      let index = 0;
      for (; !ending.signal.aborted; index += 1) assert.equal(await client.set(keyOf(index), index), 'OK');
      return index;
    })();
    // `end` reports a failure.
    done.catch(() => undefined);
    return {
      end: () => {
        ending.abort();
        return done;
      },
    };
  }

  /** Returns the owners of the slots of a hundred keys. */
  async function masters(): Promise<TestRedis[]> {
    const keys = Array.from({ length: 100 }, (_, index) => `key-${index}`);
    return [...new Set(await Promise.all(keys.map((key) => redis.masterOf(key))))];
  }

  async function missing(keys: readonly string[]): Promise<string[]> {
    const found = await Promise.all(keys.map((key) => client.exists(key)));
    return keys.filter((_, index) => found[index] === 0);
  }

  it('spreads the slots over three masters, each with a replica, on ports below the ephemeral ones', async () => {
    assert.deepEqual(
      redis.hosts.map(({ port }) => port + 10_000 < 32_000),
      Array(6).fill(true),
    );
    const owners = await masters();
    assert.equal(owners.length, 3);
    const served: unknown[] = [];
    for (const node of redis.nodes.filter((one) => !owners.includes(one))) {
      const [role, , port] = (await node.client().call('ROLE')) as [string, unknown, unknown];
      assert.equal(role, 'slave');
      served.push(port);
    }
    assert.deepEqual(new Set(served), new Set(owners.map(({ port }) => port)));
  });

  it('moves a slot with all its keys during writes', async () => {
    const [tag, count] = ['{moving}', 300];
    const slot = await redis.slotOf(tag);
    const earlier = Array.from({ length: count }, (_, index) => `${tag}:before:${index}`);
    await Promise.all(earlier.map((key) => client.set(key, 'value')));
    const old = await redis.masterOf(tag);
    const target = (await masters()).find((node) => node !== old);
    assert.ok(target !== undefined);
    const writing = startWriting((index) => `${tag}:during:${index}`);
    assert.equal(await redis.migrateSlot(slot, { to: target, keysAtOnce: 5 }), target);
    const during = Array.from({ length: await writing.end() }, (_, index) => `${tag}:during:${index}`);
    assert.ok(during.length > 0);
    assert.deepEqual(await missing([...earlier, ...during]), []);
    assert.equal(await redis.masterOf(tag), target);
    assert.equal(await target.client().cluster('COUNTKEYSINSLOT', slot), earlier.length + during.length);
    assert.equal(await old.client().cluster('COUNTKEYSINSLOT', slot), 0);
  });

  it('promotes a replica when a master is killed under load: no write fails, and confirmed writes survive', async () => {
    const key = 'of the master that dies';
    const confirmed = Array.from({ length: 200 }, (_, index) => `{${key}}:${index}`);
    await Promise.all(confirmed.map((one) => client.set(one, 'value')));
    const admin = (await redis.masterOf(key)).client();
    await admin.set(key, 'value');
    assert.equal(await admin.wait(1, 10_000), 1);
    const writing = startWriting((index) => `key-${index}`);
    const old = await redis.killMasterOf(key);
    assert.equal(old.running, false);
    const promoted = await redis.promoted(key, old);
    assert.ok(promoted !== old && promoted.running);
    assert.ok((await writing.end()) > 0);
    assert.deepEqual(await missing([key, ...confirmed]), []);
    await redis.restart(old);
    await redis.complete();
    assert.deepEqual(((await old.client().call('ROLE')) as unknown[]).slice(0, 3), ['slave', '127.0.0.1', promoted.port]);
  });

  it('stop ends its processes and removes their folders', async () => {
    const pids = redis.nodes.map(({ pid }) => pid);
    assert.ok(pids.every(isAlive) && pids.length === 6);
    await redis.stop();
    assert.deepEqual([pids.filter(isAlive), redis.nodes.filter(({ dir }) => existsSync(dir))], [[], []]);
  });
});
