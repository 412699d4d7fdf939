import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { StopLatency } from '../../worker/stop-listener.js';

function summaryOf(latencies: readonly number[]): ReturnType<StopLatency['summary']> {
  const stops = new StopLatency();
  for (const ms of latencies) stops.record(ms);
  return stops.summary();
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

describe('StopLatency', () => {
  it('is empty before the first stop', () => {
    assert.deepEqual(summaryOf([]), { count: 0, p50Ms: null, p99Ms: null, maxMs: null });
  });

  it('computes percentiles by nearest rank: each is a measured latency', () => {
    assert.deepEqual(summaryOf([7]), { count: 1, p50Ms: 7, p99Ms: 7, maxMs: 7 });
    assert.deepEqual(summaryOf([10, 40]), { count: 2, p50Ms: 10, p99Ms: 40, maxMs: 40 });
    assert.deepEqual(summaryOf([10, 20, 40]), { count: 3, p50Ms: 20, p99Ms: 40, maxMs: 40 });
    assert.deepEqual(summaryOf(upTo(100)), { count: 100, p50Ms: 50, p99Ms: 99, maxMs: 100 });
    assert.deepEqual(summaryOf(upTo(101)), { count: 101, p50Ms: 51, p99Ms: 100, maxMs: 101 });
  });

  it('does not depend on the order of the stops', () => {
    assert.deepEqual(summaryOf([100, 9, 10]), { count: 3, p50Ms: 10, p99Ms: 100, maxMs: 100 });
    assert.deepEqual(summaryOf(upTo(100).toReversed()), summaryOf(upTo(100)));
  });

  it('covers the last 1,000 stops but counts all', () => {
    const first = [5_000, ...upTo(999)];
    assert.deepEqual(summaryOf(first), { count: 1_000, p50Ms: 500, p99Ms: 990, maxMs: 5_000 });
    assert.deepEqual(summaryOf([...first, 0]), { count: 1_001, p50Ms: 499, p99Ms: 989, maxMs: 999 });
    // Newer latencies are overwritten in turn.
    assert.deepEqual(summaryOf([...first, 9_000, ...upTo(1_000)]), { count: 2_001, p50Ms: 500, p99Ms: 990, maxMs: 1_000 });
  });

  it('counts a negative latency, from clocks that disagree, as 0', () => {
    assert.deepEqual(summaryOf([-250, -1]), { count: 2, p50Ms: 0, p99Ms: 0, maxMs: 0 });
  });
});
