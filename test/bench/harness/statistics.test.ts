import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { quantile, quantileByRound, ratioOf } from '../../../bench/harness/statistics.js';
import type { Ratio, Row } from '../../../bench/harness/suite.js';
import { markdownTables, textTables } from '../../../bench/harness/table.js';

const RATIO: Ratio = { of: 'fleet', to: 'bare', better: 'higher' };

function rowOf(fleet: readonly number[], bare: readonly number[]): Row {
  return { name: 'process', unit: 'jobs/s', sides: { bare, fleet }, ratios: [RATIO] };
}

describe('The statistics of a benchmark', () => {
  it('have quantiles between two values', () => {
    assert.equal(quantile([4, 1, 3, 2], 0.5), 2.5);
    assert.equal(quantile([1, 2, 3], 1), 3);
    assert.ok(Number.isNaN(quantile([], 0.5)));
  });

  it('have a quantile for each round of samples', () => {
    assert.deepEqual(quantileByRound([1, 2, 3, 10, 20, 30], 2, 0.5), [2, 20]);
    assert.deepEqual(quantileByRound([1, 2], 5, 0.5), [1, 2]);
    assert.equal(
      quantileByRound(
        Array.from({ length: 7 }, () => 1),
        3,
        0.5,
      ).length,
      3,
    );
    assert.deepEqual(quantileByRound([], 3, 0.5), []);
  });

  it('have the median of the ratios of the rounds, so that a slow machine slows both sides', () => {
    const { value, lowest, highest, spread } = ratioOf(rowOf([90, 9, 1.2], [100, 10, 1]), RATIO) ?? assert.fail();
    assert.deepEqual([value, lowest, highest], [0.9, 0.9, 1.2]);
    assert.ok(Math.abs(spread - 0.15 / 0.9) < 1e-9);
  });

  it('have the ratio of the medians for sides with different numbers of rounds, and none without values', () => {
    assert.equal(ratioOf(rowOf([1, 2, 3], [4]), RATIO)?.value, 0.5);
    assert.equal(ratioOf(rowOf([], [4]), RATIO), null);
    assert.equal(ratioOf(rowOf([1], [4]), { ...RATIO, to: 'other' }), null);
  });
});

describe('A table of a benchmark', () => {
  const rows: Row[] = [rowOf([9_000, 11_000], [10_000, 10_000]), { name: 'idle', unit: 'µs', sides: { bare: [0.123], fleet: [45.67] } }];

  it('has medians, and ratios with their range', () => {
    assert.equal(
      textTables(rows),
      [
        '         unit      bare   fleet      fleet / bare',
        'process  jobs/s  10,000  10,000  1.00 (0.90–1.10)',
        '',
        '      unit  bare  fleet',
        'idle  µs    0.12   45.7',
      ].join('\n'),
    );
  });

  it('has the same cells in Markdown', () => {
    assert.equal(
      markdownTables(rows.slice(0, 1)),
      [
        '|  | unit | bare | fleet | fleet / bare |',
        '| --- | --- | ---: | ---: | ---: |',
        '| process | jobs/s | 10,000 | 10,000 | 1.00 (0.90–1.10) |',
      ].join('\n'),
    );
  });
});
