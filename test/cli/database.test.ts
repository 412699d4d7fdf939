import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runCli } from '../support/process/run-cli.js';
import { type TestRedis, startTestRedis } from '../support/redis/test-redis.js';

describe('taskfleet with an unusable database', () => {
  let redis: TestRedis;
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-database-'));
    redis = await startTestRedis({ users: [{ name: 'fleet', rules: 'on >pw ~* &* +@all -select' }] });
  });
  after(async () => {
    await redis.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const run = (args: string, redisUrl: string) => runCli(args.split(' '), { cwd: folder, env: { REDIS_URL: redisUrl, API_PORT: '0' } });

  it('every command exits with code 78 if the database does not exist, 69 if the user may not select it, and writes nothing', async () => {
    const forbidden = `redis://fleet:pw@127.0.0.1:${redis.port}/1`;
    const ends = await Promise.all([
      ...['worker', 'dashboard', 'up --workers 1', 'task list', 'doctor'].map(async (args) => ({
        args,
        code: 78,
        text: /DB index is out of range/,
        end: await run(args, `${redis.url}/16`),
      })),
      ...['worker', 'dashboard', 'doctor'].map(async (args) => ({
        args,
        code: 69,
        text: /NOPERM.*\+select/,
        end: await run(args, forbidden),
      })),
    ]);
    for (const { args, code, text, end } of ends) {
      assert.equal(end.code, code, `${args}: ${end.stderr}`);
      assert.match(end.stderr, text, args);
    }
    assert.doesNotMatch(await redis.client().info('keyspace'), /^db/m);
  });
});
