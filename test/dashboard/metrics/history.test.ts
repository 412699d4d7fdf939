import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { readHistory } from '../../../dashboard/metrics/history.js';
import type { Store } from '../../../shared/store.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';

const MINUTE_MS = 60_000;
const NOTHING = { completed: 0, failed: 0, cancelled: 0, skipped: 0, stop_p50_ms: null, stop_p99_ms: null };
const task = { queue: 'q', name: 'n' };

describe('the history', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  /** Counts, and returns the start of the minute of the counts. */
  async function count(store: Store, counting: () => void): Promise<string> {
    await store.redis.ping();
    counting();
    await store.counters.flush();
    const [key = ''] = await fleet.client.keys(store.keys.minute('*'));
    return new Date(Number(key.split(':').at(-1)) * MINUTE_MS).toISOString();
  }

  it('has the finished tasks and the stop latency of each minute', async () => {
    const store = fleet.store();
    const at = await count(store, () => {
      for (let n = 0; n < 5; n += 1) store.taskCounters.finished(task, 'completed');
      store.taskCounters.finished(task, 'failed');
      for (let n = 0; n < 3; n += 1) store.taskCounters.finished(task, 'skipped');
      for (let ms = 1; ms <= 100; ms += 1) store.taskCounters.cancelled(task, { via: 'signal', deliveredMs: 0, settledMs: ms });
      store.taskCounters.cancelled(task, { via: 'queue', deliveredMs: null, settledMs: null });
    });
    const minutes = await readHistory(store, 5);
    const minute = minutes.find((one) => one.at === at);
    for (const { at: _, ...other } of minutes.filter((one) => one !== minute)) assert.deepEqual(other, NOTHING);
    assert.deepEqual([minute?.completed, minute?.failed, minute?.cancelled, minute?.skipped], [5, 1, 101, 3]);
    const [p50, p99] = [minute?.stop_p50_ms ?? 0, minute?.stop_p99_ms ?? 0];
    assert.ok(p50 >= 50 && p50 <= 50 * 1.06, `${p50} ms`);
    assert.ok(p99 >= 99 && p99 <= 99 * 1.06, `${p99} ms`);
  });

  it('has the requested length, oldest minute first, and at most two hours', async () => {
    const store = fleet.store();
    const hour = await readHistory(store, 60);
    assert.equal(hour.length, 60);
    const times = hour.map(({ at }) => Date.parse(at));
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    );
    assert.equal((times[59] ?? 0) - (times[0] ?? 0), 59 * MINUTE_MS);
    assert.ok(Math.abs((times[59] ?? 0) - Date.now()) < 2 * MINUTE_MS);
    for (const [asked, given] of [
      [0, 1],
      [-3, 1],
      [1.7, 1],
      [100_000, 120],
      [Number.NaN, 1],
    ] as const)
      assert.equal((await readHistory(store, asked)).length, given, String(asked));
  });

  it('includes the shortest stop in the percentiles', async () => {
    const store = fleet.store();
    const at = await count(store, () => store.taskCounters.cancelled(task, { via: 'signal', deliveredMs: 0, settledMs: -5 }));
    const minute = (await readHistory(store, 2)).find((one) => one.at === at);
    assert.deepEqual([minute?.stop_p50_ms, minute?.stop_p99_ms], [1, 1]);
  });
});
