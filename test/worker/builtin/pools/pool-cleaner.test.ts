import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { StopRequested } from '../../../../shared/stop/cause.js';
import type { Store } from '../../../../shared/store.js';
import { type Pool, PoolCleaner } from '../../../../worker/builtin/pools/handlers.js';
import { LogLines } from '../../../support/fleet/log-lines.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';

const fleet = await TestFleet.start({ appendonly: 'yes' });
const { client } = fleet;
after(() => fleet.stop());

const [OLD, NEW] = [1_700_000_000, 4_000_000_000];
/** In the format of open-webui. */
const FOREIGN = randomUUID();
const never = new AbortController().signal;

function setUp({ lockMs = 60_000, onBatch }: { lockMs?: number; onBatch?: () => Promise<void> } = {}) {
  const store: Store = fleet.store();
  const { redis, keys } = store;
  const log = new LogLines();
  const pool: Pool = { key: keys.usagePool, lock: keys.usageLock, channel: keys.usageChanges, shape: 'usage', timeoutMs: 3_000 };
  const cleaner = new PoolCleaner({ connection: () => Promise.resolve(redis), pool, lockMs, logger: log.loggers('cleanup') }, onBatch);
  const read = (): Promise<Record<string, string>> => client.hgetall(pool.key);
  return { pool, log, read, run: (task = 'task-1', signal = never) => cleaner.run(task, signal) };
}

const half = (index: number): string =>
  `{"old-${index}": {"updated_at": ${OLD}}, "new-${index}": {"updated_at": ${NEW}, "more": "${'x'.repeat(3_000)}"}}`;
const done = (index: number): string => half(index).replace(/"old.*?}, /, '');

/** Models for several batches. */
async function fill(key: string, models = 100): Promise<void> {
  await client.hset(key, Object.fromEntries(Array.from({ length: models }, (_, index) => [`model-${index}`, half(index)])));
}

/** Counts the cleaned models. @throws if an entry is neither unchanged nor cleaned */
function cleaned(pool: Readonly<Record<string, string>>): number {
  const entries = Object.entries(pool);
  for (const [model, text] of entries) {
    const index = Number(model.slice('model-'.length));
    assert.ok(text === half(index) || text === done(index), `${model}: ${text.slice(0, 80)}`);
  }
  return entries.filter(([, text]) => !text.includes('"old')).length;
}

describe('A run', () => {
  it('cleans the pool in batches, logs the counts, and releases the lock', async () => {
    const { pool, log, read, run } = setUp();
    await fill(pool.key);
    const { took_ms: tookMs, batches, ...counts } = await run();
    assert.deepEqual(counts, { skipped: false, lost: false, entries: 100, removed: 0, sessions: 100, invalid: 0 });
    assert.ok(batches >= 3 && tookMs >= 0, `${batches} batches`);
    assert.equal(cleaned(await read()), 100);
    assert.equal(await client.exists(pool.lock), 0);
    assert.deepEqual(
      log.lines.map(({ msg, level }) => [msg, level]),
      [
        ['Acquired the lock', 20],
        ['Cleaned a pool', 20],
      ],
    );
  });

  it('logs invalid entries once, until they change', async () => {
    const { pool, log, run } = setUp();
    const name = `a "bad" one\n${'x'.repeat(100)}`;
    await client.hset(pool.key, { [name]: 'secret, no JSON', good: half(1) });
    assert.equal((await run()).invalid, 1);
    assert.equal((await run()).invalid, 1);
    await client.hset(pool.key, 'another', 'no JSON');
    await client.hdel(pool.key, name);
    await run();
    const warnings = log.lines.filter(({ level }) => level === 40).map(({ msg }) => msg);
    assert.deepEqual(warnings, [
      `Ignoring invalid pool entries: ${JSON.stringify(`${name.slice(0, 60)}…`)}`,
      'Ignoring invalid pool entries: "another"',
    ]);
    assert.ok(!JSON.stringify(log.lines).includes('secret'), 'values are not logged');
  });

  it('fails if the pool is not a hash, and releases the lock', async () => {
    const { pool, run } = setUp();
    await client.set(pool.key, 'text');
    await assert.rejects(run(), { code: 'MALFORMED_DATA', message: `Bad pool ${pool.key}: expected a hash, got a string.` });
    assert.equal(await client.exists(pool.lock), 0);
  });

  it('that is stopped between two batches ends there and releases the lock; the next run finishes', async () => {
    const stop = new AbortController();
    const { pool, read, run } = setUp({ onBatch: () => Promise.resolve(stop.abort(new StopRequested('enough'))) });
    await fill(pool.key);
    await assert.rejects(run('task-1', stop.signal), StopRequested);
    const some = cleaned(await read());
    assert.ok(some > 0 && some < 100, `${some} of 100`);
    assert.equal(await client.exists(pool.lock), 0);
    const { entries, sessions } = await run('task-2');
    assert.deepEqual([entries, sessions, cleaned(await read())], [100, 100 - some, 100]);
  });

  it('survives a restart of Redis: the pool is consistent, and the next run finishes', async () => {
    let restarts = 0;
    const { pool, read, run } = setUp({
      onBatch: async () => {
        if (restarts++ > 0) return;
        await fleet.redis.kill();
        await fleet.redis.restart();
      },
    });
    await fill(pool.key);
    await client.config('SET', 'appendfsync', 'always');
    await run('task-1');
    assert.ok(restarts > 1, 'there were batches after it');
    assert.ok(cleaned(await read()) > 0);
    await run('task-2');
    assert.equal(cleaned(await read()), 100);
    assert.equal(await client.exists(pool.lock), 0);
  });
});

describe('The lock of a clean-up', () => {
  it('is respected: three attempts, one warning, and nothing is touched', async () => {
    const { pool, log, read, run } = setUp({ lockMs: 100 });
    await fill(pool.key, 3);
    await client.set(pool.lock, FOREIGN, 'EX', 60);
    const counts = await run();
    assert.deepEqual([counts.skipped, counts.batches], [true, 0]);
    assert.equal(cleaned(await read()), 0);
    assert.equal(await client.get(pool.lock), FOREIGN);
    const attempts = log.find(/Another owner holds the lock, which expires in/);
    assert.deepEqual(
      attempts.map(({ level, attempt, holder }) => [level, attempt, holder]),
      [1, 2, 3].map((attempt) => [20, attempt, JSON.stringify(FOREIGN)]),
    );
    const times = attempts.map(({ time }) => Number(time));
    assert.ok((times[1] ?? 0) - (times[0] ?? 0) >= 49 && (times[2] ?? 0) - (times[1] ?? 0) >= 49, `attempts at ${times.join(', ')}`);
    assert.deepEqual(
      log.lines.filter(({ level }) => level > 20).map(({ level, msg }) => [level, msg]),
      [[40, 'Skipping this clean-up: another owner holds the lock']],
    );
    assert.ok((await client.pttl(pool.lock)) > 1_000, 'its expiry stays');
  });

  it('is respected if it never expires, or is of another type', async () => {
    const { pool, log, run } = setUp({ lockMs: 100 });
    await client.set(pool.lock, FOREIGN);
    assert.equal((await run()).skipped, true);
    assert.match(log.lines[0]?.msg ?? '', /never expires/);
    await client.multi().del(pool.lock).hset(pool.lock, 'a', 'b').exec();
    assert.equal((await run()).skipped, true);
    assert.equal(log.lines.at(-1)?.['holder'], '"a hash"');
  });

  it('is taken at a later attempt if it is free by then', async () => {
    const { pool, log, read, run } = setUp({ lockMs: 4_000 });
    await fill(pool.key, 3);
    await client.set(pool.lock, FOREIGN);
    const running = run();
    await log.waitFor(/Another owner holds the lock/);
    await client.del(pool.lock);
    assert.equal((await running).skipped, false);
    assert.equal(cleaned(await read()), 3);
  });

  it('is no longer awaited after a stop', async () => {
    const stop = new AbortController();
    const { pool, log, run } = setUp({ lockMs: 3_600_000 });
    await client.set(pool.lock, FOREIGN);
    const running = run('task-1', stop.signal);
    await log.waitFor(/Another owner holds the lock/);
    stop.abort(new StopRequested('enough'));
    await assert.rejects(running, StopRequested);
    assert.equal(await client.get(pool.lock), FOREIGN);
  });

  for (const [how, thief] of [
    ['taken away', FOREIGN],
    ['gone', null],
  ] as const) {
    it(`ends the run if it is ${how} halfway: nothing more is removed`, async () => {
      let pools: Record<string, string>[] = [];
      const { pool, log, read, run } = setUp({
        onBatch: async () => {
          await (thief === null ? client.del(pool.lock) : client.set(pool.lock, thief, 'EX', 60));
          pools = [...pools, await read()];
        },
      });
      await fill(pool.key);
      const counts = await run();
      assert.deepEqual([counts.lost, counts.skipped, counts.batches, pools.length], [true, false, 1, 1]);
      assert.deepEqual(await read(), pools[0]);
      assert.equal(cleaned(await read()), counts.sessions);
      assert.ok(counts.sessions > 0 && counts.sessions < 100);
      assert.equal(await client.get(pool.lock), thief, 'the lock is left to its owner');
      assert.deepEqual(
        log.lines.filter(({ level }) => level > 20).map(({ level, msg }) => [level, msg]),
        [[40, 'Lost the lock; ending this clean-up']],
      );
    });
  }

  it('is renewed with each batch', async () => {
    const left: number[] = [];
    const { pool, run } = setUp({
      onBatch: async () => {
        left.push(await client.pttl(pool.lock));
        await client.pexpire(pool.lock, 10_000);
      },
    });
    await fill(pool.key);
    await run();
    assert.ok(left.length >= 3 && left.every((ms) => ms > 10_000), left.join(', '));
  });

  it('passes from a dead worker to the next run of the same task, and the earlier run ends', async () => {
    const earlier = setUp({
      onBatch: async () => {
        const { sessions, lost } = await later.run('task-1');
        assert.deepEqual([sessions > 0, lost], [true, false]);
      },
    });
    const later = (() => {
      const log = new LogLines();
      const cleaner = new PoolCleaner({
        connection: () => fleet.store().pools.connection(),
        pool: earlier.pool,
        lockMs: 60_000,
        logger: log.loggers('cleanup'),
      });
      return { log, run: (task: string) => cleaner.run(task, never) };
    })();
    await fill(earlier.pool.key);
    const counts = await earlier.run('task-1');
    assert.deepEqual([counts.lost, counts.batches], [true, 1]);
    assert.equal(cleaned(await earlier.read()), 100);
    assert.match(String(later.log.find(/Took over the lock/)[0]?.['holder']), /^"task-1\//);
  });

  it('does not pass to a task whose id has the same prefix', async () => {
    const { pool, run } = setUp({ lockMs: 100 });
    await client.set(pool.lock, `task-10/${FOREIGN}`);
    assert.equal((await run('task-1')).skipped, true);
  });
});
