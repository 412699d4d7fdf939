/** The sentinels of the tests. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { isAlive } from '../../support/process/processes.js';
import { TestSentinels } from '../../support/redis/test-sentinels.js';

describe('TestSentinels', () => {
  let redis: TestSentinels;

  before(async () => {
    redis = await TestSentinels.start({
      appendonly: 'yes',
      config: ['appendfsync always'],
      password: 'hidden-word',
      users: [{ name: 'guest', rules: 'on >guest-word ~* +get +info' }],
    });
  });
  after(() => redis.stop());

  it('gives the addresses of the sentinels, which lead to the master', async () => {
    assert.equal(redis.sentinelHosts, redis.sentinels.map(({ port }) => `127.0.0.1:${port}`).join(','));
    for (const sentinel of redis.sentinels)
      assert.match(String(await sentinel.client().call('SENTINEL', 'CKQUORUM', redis.name)), /^OK 3 usable Sentinels/);
    const master = await redis.master();
    const client = redis.client();
    assert.equal(((await client.call('ROLE')) as unknown[])[0], 'master');
    assert.equal((await client.config('GET', 'port'))[1], String(master.port));
    assert.equal((await client.config('GET', 'appendfsync'))[1], 'always');
    const guest = redis.client({ username: 'guest', password: 'guest-word' });
    await assert.rejects(guest.set('key', 'value'), /NOPERM/);
  });

  it('promotes a replica with all confirmed writes when the master is killed', async () => {
    const client = redis.client();
    await client.set('key', 'value');
    assert.equal(await client.wait(2, 10_000), 2);
    const old = await redis.killMaster();
    assert.equal(old.running, false);
    const promoted = await redis.promoted(old);
    assert.ok(promoted !== old && promoted.running);
    assert.equal(await redis.master(), promoted);
    assert.deepEqual([await client.get('key'), await client.set('key', 'later')], ['value', 'OK']);
    await redis.restart(old);
    assert.ok(old.running);
  });

  it('stop ends its processes and removes their folders', async () => {
    const all = [...redis.nodes, ...redis.sentinels];
    const pids = all.map(({ pid }) => pid);
    assert.ok(pids.every(isAlive) && pids.length === 6);
    await redis.stop();
    assert.deepEqual([pids.filter(isAlive), all.filter(({ dir }) => existsSync(dir))], [[], []]);
  });
});
