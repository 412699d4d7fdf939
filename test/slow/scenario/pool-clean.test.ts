import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import type { Keys } from '../../../shared/keys.js';
import { sessionPoolClean, usagePoolClean } from '../../../worker/builtin/definitions.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { QUICK, startWorker } from '../../support/fleet/scenario.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { FleetProxy } from '../../support/network/fleet-proxy.js';
import type { NodeProcess } from '../../support/process/processes.js';
import { until } from '../../support/until.js';

const OLD = 1_700_000_000;
/** Workers that clean up on demand only. */
const BY_HAND = { USAGE_POOL_CLEAN_INTERVAL_MS: '3600000', SESSION_POOL_CLEAN_INTERVAL_MS: '3600000' };

let fleet: TestFleet;
before(async () => {
  fleet = await TestFleet.start();
});
after(() => fleet.stop());

function names(): { keyPrefix: string; keys: Keys } {
  const keyPrefix = fleet.newPrefix();
  return { keyPrefix, keys: fleet.keys(keyPrefix) };
}

describe('Pools in the format of open-webui', () => {
  let worker: NodeProcess;
  const keyPrefix = 'pools';
  let keys: Keys;

  before(async () => {
    keys = fleet.keys(keyPrefix);
    worker = await startWorker(fleet.redis, keyPrefix, {
      USAGE_POOL_CLEAN_INTERVAL_MS: '200',
      USAGE_POOL_TIMEOUT: '3600',
      SESSION_POOL_CLEAN_INTERVAL_MS: '200',
      CLEANUP_LOG_LEVEL: 'debug',
      WEBSOCKET_REDIS_LOCK_TIMEOUT: '0.3',
    });
  });
  after(() => worker.stop());

  it('lose exactly the expired entries after an interval; the rest stays the same, byte for byte', async () => {
    const now = Number((await fleet.client.time())[0]);
    const expired = (model: number, session: number): boolean => model < 3 || (model > 3 && (model + session) % 3 === 0);
    const whole: Record<string, string> = {};
    const expected: Record<string, string> = {};
    let gone = 0;
    for (let model = 0; model < 10; model += 1) {
      const colon = model === 7 ? ' :' : ': ';
      const more = model === 8 ? ', "more": {"none": {}, "no": [], "big": 12345678901234567890, "text": "\\u00e9 \\"}, {"}' : '';
      const sessions = Array.from({ length: 10 }, (_, session) => {
        const old = expired(model, session);
        gone += Number(old);
        return {
          old,
          text: `"s\\u00e9ssion-${session}"${colon}{"updated_at"${colon}${old ? OLD : now}${more}}`.replace(
            '\\u00e9',
            model % 2 ? 'e' : '\\u00e9',
          ),
        };
      });
      const entry = (texts: readonly { text: string }[]): string => `{${texts.map(({ text }) => text).join(', ')}}`;
      const kept = sessions.filter(({ old }) => !old);
      whole[`model-${model}`] = entry(sessions);
      if (kept.length > 0) expected[`model-${model}`] = entry(kept);
    }
    assert.deepEqual([Object.keys(expected).length, gone], [7, 50]);
    await fleet.client.hset(keys.usagePool, whole);
    await until(
      () => fleet.client.hlen(keys.usagePool),
      (models) => models === 7,
    );
    assert.deepEqual(await fleet.client.hgetall(keys.usagePool), expected);

    const young = `{"id": "u", "last_seen_at": ${now}, "info": []}`;
    await fleet.client.hset(keys.sessionPool, {
      young,
      old: `{"id": "u", "last_seen_at": ${now - 200}}`,
      never: '{"id": "u"}',
      broken: '{',
    });
    await until(
      () => fleet.client.hlen(keys.sessionPool),
      (sessions) => sessions === 2,
    );
    assert.deepEqual(await fleet.client.hgetall(keys.sessionPool), { young, broken: '{' });
    await worker.waitForLine(/Ignoring invalid pool entries: \\"broken\\"/);
  });

  it('are not cleaned while an open-webui holds the lock, and cleaned after its release', async () => {
    const text = `{"a": {"updated_at": ${OLD}}}`;
    // Repeats its SET NX until it succeeds between two runs of the fleet.
    await until(
      () => fleet.client.set(keys.usageLock, randomUUID(), 'EX', 60, 'NX'),
      (answer) => answer === 'OK',
    );
    await fleet.client.hset(keys.usagePool, 'stale', text);
    await worker.waitForLine(/"component":"cleanup".*Skipping this clean-up: another owner holds the lock/);
    const attempts = [...worker.stdout.lines, ...worker.stderr.lines].filter((line) =>
      /usage_cleanup_lock.*Another owner holds the lock, which expires in/.test(line),
    );
    assert.deepEqual(
      attempts.slice(0, 3).map((line) => /"attempt":(\d)/.exec(line)?.[1]),
      ['1', '2', '3'],
    );
    assert.equal(await fleet.client.hget(keys.usagePool, 'stale'), text);
    await fleet.client.del(keys.usageLock);
    await until(
      () => fleet.client.hexists(keys.usagePool, 'stale'),
      (exists) => exists === 0,
    );
  });
});

describe('A clean-up', () => {
  it('runs again on another worker, with the same lock, when its worker is killed in the middle', async () => {
    const { keyPrefix, keys } = names();
    const lives = { ...QUICK, CLEANUP_LOG_LEVEL: 'debug', ...BY_HAND };
    const text = (index: number, old: boolean): string =>
      `{${old ? `"old": {"updated_at": ${OLD}}, ` : ''}"new-${index}": {"updated_at": 4000000000, "more": "${'x'.repeat(3_000)}"}}`;
    await fleet.client.hset(
      keys.usagePool,
      Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`model-${index}`, text(index, true)])),
    );
    // The text of the script, if unknown, then a batch or two.
    const proxy = await FleetProxy.start(fleet.redis);
    const held = proxy.halfOpenAt(keys.usageChanges, 4);
    const workers = [await startWorker(fleet.redis, keyPrefix, { ...lives, ...proxy.env })];
    try {
      const producer = fleet.producer({ keyPrefix });
      const task = await producer.enqueue(usagePoolClean, {});
      await held;
      const [dying] = workers;
      dying?.kill('SIGKILL');
      await dying?.exit;
      const cleanedBy = (pool: Readonly<Record<string, string>>): number =>
        Object.entries(pool).filter(([model, entry]) => {
          const index = Number(model.slice('model-'.length));
          assert.ok(entry === text(index, true) || entry === text(index, false), model);
          return entry === text(index, false);
        }).length;
      const some = cleanedBy(await fleet.client.hgetall(keys.usagePool));
      assert.ok(some > 0 && some < 200, `${some} of 200`);
      assert.match((await fleet.client.get(keys.usageLock)) ?? '', new RegExp(`^${task.id}/`));

      const heir = await startWorker(fleet.redis, keyPrefix, lives);
      workers.push(heir);
      await heir.waitForLine(/Took over the lock of an earlier run of this task/);
      await until(
        async () => cleanedBy(await fleet.client.hgetall(keys.usagePool)),
        (count) => count === 200,
      );
      await until(
        () => fleet.client.exists(keys.usageLock),
        (exists) => exists === 0,
      );
    } finally {
      await Promise.all(workers.map((worker) => worker.stop()));
      await proxy.stop();
    }
  });

  it('can be stopped while it waits for the lock', async () => {
    const { keyPrefix, keys } = names();
    const log = new LogLines();
    await fleet.worker(keyPrefix, [], { loggers: log.loggers, usageCleanMs: 3_600_000, sessionCleanMs: 3_600_000 });
    const producer = fleet.producer({ keyPrefix });
    await fleet.client.set(keys.sessionLock, randomUUID());
    const task = await producer.enqueue(sessionPoolClean, {});
    await log.waitFor(/Another owner holds the lock, which never expires/);
    const { outcome, via } = await producer.stop(task, { waitMs: 60_000 });
    assert.deepEqual([outcome, via], ['cancelled', 'signal']);
  });
});
