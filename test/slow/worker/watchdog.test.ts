import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Findings } from '../../../cli/doctor/record-checks.js';
import { createKeys } from '../../../shared/keys.js';
import { readLastRecords } from '../../../shared/workers/last-records.js';
import { builtUrl } from '../../support/process/built.js';
import { spawnNode } from '../../support/process/processes.js';
import { startTestRedis } from '../../support/redis/test-redis.js';

const WATCHDOG = builtUrl('dist/worker/watchdog/watchdog.js');
const SETTINGS = builtUrl('dist/shared/settings/settings.js');
/** The event loop may be blocked by less than the limit; then it hangs for good, in a loop of microtasks. */
const MODULE = `
import { Watchdog } from '${WATCHDOG}';
import { resolveSettings } from '${SETTINGS}';
const settings = process.argv[3] && resolveSettings({ redisUrl: process.argv[3] });
const watchdog = new Watchdog({ limitMs: 2_000, worker: 'host-1-0a0b0c0d', ...(settings && { settings }) });
const block = (ms) => { for (const end = performance.now() + ms; performance.now() < end;); };
setTimeout(async () => {
  block(300);
  console.log('went on');
  if (process.argv[2] === 'end') return watchdog.stop();
  if (process.argv[2] === 'unwatched') return;
  if (process.argv[2] === 'stay') return setTimeout(() => undefined, 3_000);
  for (;;) await null;
}, 100);
`;

describe('The watchdog', () => {
  let folder: string;
  let module: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-watchdog-'));
    module = join(folder, 'hangs.mjs');
    await writeFile(module, MODULE);
  });
  after(() => rm(folder, { recursive: true }));

  it('kills a process whose event loop hangs, and says so', async () => {
    const child = spawnNode([module, 'hang']);
    assert.equal((await child.exit).signal, 'SIGKILL');
    assert.equal(child.stdout.text, 'went on');
    const { level, id, pid, limitMs, msg } = JSON.parse(child.stderr.text) as Record<string, unknown>;
    assert.deepEqual([level, id, pid, limitMs], [60, 'host-1-0a0b0c0d', child.pid, 2_000]);
    assert.match(String(msg), /^The event loop hangs; killing this process/);
  });

  it('writes into the record of the worker why the process ends, and kills it even if Redis is away', async () => {
    const redis = await startTestRedis();
    try {
      const keys = createKeys('taskfleet');
      const client = redis.client();
      await client.hset(keys.lastWorker('host-1-0a0b0c0d'), { host: 'host', pid: 1, running: '["t1"]', beat_at: Date.now() });
      await client.zadd(keys.lastWorkers, Date.now(), 'host-1-0a0b0c0d');
      const child = spawnNode([module, 'hang', redis.url]);
      assert.equal((await child.exit).signal, 'SIGKILL');
      const [record] = await readLastRecords({ redis: client, keys, unreadable: new Findings() }, new Set());
      assert.deepEqual(record?.worker.running, ['t1']);
      assert.equal(record?.words, 'the event loop hung for more than 2 s; the watchdog killed the process');
    } finally {
      await redis.stop();
    }
    const child = spawnNode([module, 'hang', redis.url]);
    assert.equal((await child.exit).signal, 'SIGKILL');
  });

  it('lets a frozen process go on when it wakes', async () => {
    const child = spawnNode([module, 'stay']);
    await child.waitForLine(/went on/);
    child.kill('SIGSTOP');
    await setTimeout(4_000); // the measured time: twice the limit
    child.kill('SIGCONT');
    assert.deepEqual(await child.exit, { code: 0, signal: null });
  });

  it('keeps no process alive, whether it is stopped or not', async () => {
    for (const how of ['end', 'unwatched']) {
      const child = spawnNode([module, how]);
      assert.deepEqual(await child.exit, { code: 0, signal: null }, how);
    }
  });
});
