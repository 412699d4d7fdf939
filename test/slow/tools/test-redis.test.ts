/** The redis-server of the tests leaves nothing behind. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { it } from 'node:test';
import { isAlive, spawnNode } from '../../support/process/processes.js';
import { startTestRedis } from '../../support/redis/test-redis.js';
import { until } from '../../support/until.js';

it('a redis-server ends with the test process, even after SIGKILL, and its files are removed', async () => {
  const starter = spawnNode(['--import', 'tsx', 'test/support/redis/start-test-redis.ts']);
  const [line] = await starter.waitForLine(/^\{.*\}$/);
  const { pid, folders } = JSON.parse(line) as { pid: number; folders: string[] };
  assert.ok(isAlive(pid) && folders.every(existsSync));
  starter.kill('SIGKILL');
  await starter.exit;
  await until(
    () => isAlive(pid) || folders.some(existsSync),
    (left) => !left,
    { everyMs: 10 },
  );
});

it('a redis-server that cannot start gives the reason and leaves no folder', async () => {
  const error: Error = await startTestRedis({ extraArgs: ['--appendfsync', 'sometimes'] }).then(
    () => assert.fail('It has started'),
    (reason: Error) => reason,
  );
  assert.match(error.message, /did not serve: it has ended.*appendfsync "sometimes"/s);
  const dir = / in (\S+) did not serve/.exec(error.message)?.[1];
  assert.ok(dir !== undefined && !existsSync(dir));
});

it('a killed redis-server starts again on its port with its changed configuration', async () => {
  const redis = await startTestRedis({ appendonly: 'yes', config: ['maxmemory 100mb'] });
  try {
    const client = redis.client();
    await client.set('key', 'value');
    await client.config('SET', 'maxmemory', '200mb');
    await client.config('REWRITE');
    const { pid } = redis;
    await redis.kill();
    assert.equal(redis.running, false);
    await redis.restart();
    assert.ok(redis.running && redis.pid !== pid);
    assert.deepEqual([await client.get('key'), (await client.config('GET', 'maxmemory'))[1]], ['value', String(200 * 2 ** 20)]);
  } finally {
    await redis.stop();
  }
});
