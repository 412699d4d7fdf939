import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { historyOf } from '../../../dashboard/overview/history.js';
import { SeriesReader } from '../../../dashboard/overview/series.js';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import type { Store } from '../../../shared/store.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';

const MINUTE_MS = 60_000;
const START = Date.UTC(2026, 0, 1, 12);
const NONE = { run_p50_ms: null, run_p95_ms: null, wait_p50_ms: null, wait_p95_ms: null, stop_p50_ms: null, stop_p95_ms: null };

describe('the history', () => {
  const starting = TestFleet.start();
  after(async () => (await starting).stop());

  /** A reader whose clock is 30 s into the minute that begins at `START`. */
  async function setUp(now = START + 30_000): Promise<{ store: Store; reader: SeriesReader; clock: { at: number } }> {
    const store = (await starting).store();
    await store.redis.ping();
    const clock = { at: now };
    return { store, clock, reader: new SeriesReader({ ...store, clock: { now: () => clock.at } }) };
  }
  const minute = ({ keys }: Store, before: number): string => keys.series('1m', String(START / MINUTE_MS - before));

  it('has counts, rate and percentiles of each slot, of the range and by name', async () => {
    const { store, reader, clock } = await setUp();
    await store.redis.hset(minute(store, 0), { 'finished|a|completed': 6, 'finished|b|failed': 2, 'run|a|40': 5, 'run|a|60': 1 });
    await store.redis.hset(minute(store, 59), { 'finished|a|completed': 30, 'wait|a|0': 30, 'stop|b|20': 1 });
    await store.redis.hset(minute(store, 60), { 'finished|a|completed': 1_000 });
    const { points, total, names, step_s: step } = historyOf('1h', await reader.read('1m', 60), null, clock.at);
    assert.deepEqual(
      [points.length, step, points[0]?.at, points[59]?.at],
      [60, 60, '2026-01-01T11:01:00.000Z', '2026-01-01T12:00:00.000Z'],
    );
    const outcomes = { completed: 0, failed: 0, cancelled: 0, skipped: 0 };
    const { at: _first, ...first } = points[0] ?? { at: '' };
    assert.deepEqual(first, {
      ...outcomes,
      completed: 30,
      per_minute: 30,
      ...NONE,
      wait_p50_ms: 1,
      wait_p95_ms: 1,
      stop_p50_ms: 9.5,
      stop_p95_ms: 9.5,
    });
    assert.deepEqual(points[1], { at: '2026-01-01T11:02:00.000Z', ...outcomes, per_minute: 0, ...NONE });
    // The last minute has been running for 30 s: 8 tasks make 16 a minute.
    const last = points[59];
    assert.deepEqual([last?.completed, last?.failed, last?.per_minute], [6, 2, 16]);
    // 100 ms is in bucket 40, and 1,000 ms in bucket 60.
    const [p50, p95] = [last?.run_p50_ms ?? 0, last?.run_p95_ms ?? 0];
    assert.ok(Math.abs(p50 - 100) < 6 && Math.abs(p95 - 1_000) < 60, `${p50} and ${p95} ms`);
    assert.deepEqual(
      [total.completed, total.failed, names.map(({ name, completed }) => [name, completed])],
      [
        36,
        2,
        [
          ['a', 36],
          ['b', 0],
        ],
      ],
    );
    const ofB = historyOf('1h', await reader.read('1m', 60), 'b', clock.at);
    assert.deepEqual([ofB.total.completed, ofB.total.failed, ofB.points[59]?.failed, ofB.names.length], [0, 2, 2, 2]);
    const ofNone = historyOf('1h', await reader.read('1m', 60), 'unheard-of', clock.at);
    assert.deepEqual([ofNone.total.completed, ofNone.points.length], [0, 60]);
  });

  it('has no rate for a slot that has just begun', async () => {
    const { store, reader, clock } = await setUp(START + 3_000);
    await store.redis.hset(minute(store, 0), { 'finished|a|completed': 1 });
    const { points } = historyOf('1h', await reader.read('1m', 60), null, clock.at);
    assert.deepEqual([points[59]?.completed, points[59]?.per_minute, points[58]?.per_minute], [1, null, 0]);
  });

  it('skips fields of other versions, reports what is no number, and survives a key of the wrong type', async () => {
    const lines: string[] = [];
    const settings = resolveSettings({ logLevel: 'warn' });
    const loggers = createLoggerFactory({ settings, destination: { write: (line) => void lines.push(line) } });
    const store = (await starting).store({}, loggers);
    const reader = new SeriesReader({ ...store, clock: { now: () => START + 30_000 } });
    await store.redis.hset(minute(store, 0), {
      ...{ 'finished|a|completed': 3, 'finished|a|lost': 4, 'run|a|x': 1, 'run|a|': 1, 'run|a|100000': 1, 'walk|a|1': 1, '': 1 },
      ...{ 'finished|a|failed': 'many', 'run|a|3': '-1' },
    });
    await store.redis.set(minute(store, 1), 'no hash');
    const { total, points } = historyOf('1h', await reader.read('1m', 60), null, START + 30_000);
    assert.deepEqual([total.completed, total.failed, total.run_p50_ms, points.length], [3, 0, null, 60]);
    assert.equal(lines.filter((line) => line.includes('Cannot read a record')).length, 3);
  });

  it('reads slots of the past once, but sees counts that arrive late', async () => {
    const fleet = await starting;
    const { store, reader, clock } = await setUp();
    const watch = await fleet.monitor();
    const reads = async (step: '1m' | '1h', length: number): Promise<number> => {
      const before = watch.commands.length;
      await reader.read(step, length);
      await store.redis.ping();
      return watch.commands.slice(before).filter(([name]) => name === 'hgetall').length;
    };
    assert.equal(await reads('1m', 60), 60);
    // The minute that runs, and the two before it.
    assert.equal(await reads('1m', 60), 3);
    assert.equal(await reads('1h', 168), 168);
    assert.equal(await reads('1h', 168), 2);
    clock.at += 11 * MINUTE_MS;
    await store.redis.hset(minute(store, 20), { 'finished|a|completed': 7 });
    assert.equal(await reads('1m', 60), 60);
    const { total } = historyOf('1h', await reader.read('1m', 60), null, clock.at);
    assert.equal(total.completed, 7);
    await watch.stop();
  });
});
