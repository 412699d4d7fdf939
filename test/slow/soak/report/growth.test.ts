import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Series, growthOf, median } from './growth.js';

/** One point per second for 100 s. */
function series(valueAt: (second: number) => number): Series {
  return { name: 'figure', points: Array.from({ length: 101 }, (_, second) => ({ atMs: second * 1_000, value: valueAt(second) })) };
}

const LIMIT = { share: 0.2, least: 10 };

describe('The check for growth', () => {
  it('compares the medians of the second and of the last fifth', () => {
    assert.deepEqual(
      growthOf(
        series((second) => 1_000 + second),
        LIMIT,
      ),
      { name: 'figure', before: 1_030, after: 1_090, most: 1_236, grew: false },
    );
  });

  for (const [what, valueAt, grew] of [
    ['what is flat', () => 100, false],
    ['what grows from end to end', (second) => 100 + second, true],
    ['what grows late', (second) => (second < 75 ? 100 : 150), true],
    ['what only grows at first', (second) => Math.min(second, 20) * 10, false],
    ['peaks, less than half of the time', (second) => (second % 5 < 2 ? 1_000 : 100), false],
    ['what shrinks', (second) => 200 - second, false],
  ] as const satisfies readonly (readonly [string, (second: number) => number, boolean])[]) {
    it(`${grew ? 'reports' : 'passes'} ${what}`, () => {
      assert.equal(growthOf(series(valueAt), LIMIT)?.grew, grew);
    });
  }

  it('allows the larger of a share and an amount', () => {
    const grows = series((second) => (second < 50 ? 100 : 125));
    assert.equal(growthOf(grows, { share: 0.2, least: 10 })?.grew, true);
    assert.equal(growthOf(grows, { share: 0.2, least: 25 })?.grew, false);
    assert.equal(growthOf(grows, { share: 0.25, least: 0 })?.grew, false);
  });

  it('reports a decrease of a constant series', () => {
    const exact = { share: 0, least: 0, exact: true };
    assert.equal(
      growthOf(
        series(() => 7),
        exact,
      )?.grew,
      false,
    );
    assert.equal(
      growthOf(
        series((second) => (second < 50 ? 7 : 8)),
        exact,
      )?.grew,
      true,
    );
    assert.equal(
      growthOf(
        series((second) => (second < 50 ? 7 : 6)),
        exact,
      )?.grew,
      true,
    );
  });

  it('does not judge too few points', () => {
    assert.equal(growthOf({ name: 'few', points: [0, 1, 2, 3].map((atMs) => ({ atMs, value: atMs })) }, LIMIT), null);
    assert.equal(growthOf({ name: 'none', points: [] }, LIMIT), null);
  });

  it('uses a median that is one of the values', () => {
    assert.deepEqual([median([3, 1, 2]), median([4, 1, 3, 2]), median([5])], [2, 2, 5]);
  });
});
