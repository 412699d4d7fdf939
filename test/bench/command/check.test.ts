import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkLines, checkRun, hasFallen } from '../../../bench/command/check.js';
import type { Ratio, Row, SuiteResult } from '../../../bench/harness/suite.js';

const STEADY = [1, 1, 1];
const CPU: Ratio = { of: 'fleet', to: 'bare', better: 'lower' };
const RATE: Ratio = { of: 'fleet', to: 'bare', better: 'higher' };

/** A suite with one row, whose ratios by round are given. */
function suiteOf(fleet: readonly number[], ratio: Ratio = RATE, { name = 'throughput', row = 'process' } = {}): SuiteResult {
  const rows: Row[] = [{ name: row, unit: 'jobs/s', sides: { fleet, bare: fleet.map(() => 1) }, ratios: [ratio] }];
  return { name, about: '', sizes: { rounds: fleet.length }, rows, notes: [] };
}

const noRerun = (): Promise<never> => Promise.reject(new Error('measured again'));

describe('A run beside a stored one', () => {
  for (const [better, now, verdict] of [
    [RATE, 0.91, 'within'],
    [RATE, 0.89, 'fell'],
    [RATE, 1.5, 'within'],
    [CPU, 1.09, 'within'],
    [CPU, 1.11, 'fell'],
    [CPU, 0.5, 'within'],
  ] as const) {
    it(`is ${verdict} if a ratio that is better ${better.better} goes from 1 to ${now}`, async () => {
      const again = suiteOf(
        STEADY.map(() => now),
        better,
      );
      const [compared] = await checkRun([suiteOf(STEADY, better)], [again], () => Promise.resolve([again]));
      assert.equal(compared?.verdict, verdict);
      assert.equal(hasFallen([compared]), verdict === 'fell');
    });
  }

  it('compares ratios, not figures', async () => {
    const slow: SuiteResult = {
      ...suiteOf([10]),
      rows: [{ name: 'process', unit: 'jobs/s', sides: { fleet: [50], bare: [50] }, ratios: [RATE] }],
    };
    const fast: SuiteResult = {
      ...suiteOf([10]),
      rows: [{ name: 'process', unit: 'jobs/s', sides: { fleet: [900], bare: [900] }, ratios: [RATE] }],
    };
    const [compared] = await checkRun([fast], [slow], noRerun);
    assert.deepEqual([compared?.base, compared?.now, compared?.verdict], [1, 1, 'within']);
  });

  it('calls a ratio too noisy if its rounds differ by more than it fell, in either run', async () => {
    const noisy = [0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3].map((value) => value * 0.85);
    for (const [base, now] of [
      [STEADY, noisy],
      [
        [0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3],
        [0.85, 0.85],
      ],
    ] as const) {
      const compared = await checkRun([suiteOf(base)], [suiteOf(now)], () => Promise.resolve([suiteOf(now)]));
      assert.equal(compared[0]?.verdict, 'noisy');
      assert.equal(hasFallen(compared), false);
      assert.match(checkLines(compared).join('\n'), /^too noisy {2}throughput, process: fleet \/ bare: 1\.00 → 0\.85, 15 % worse/m);
    }
  });

  it('names a ratio that fell further than its rounds differ, with both values', async () => {
    const now = suiteOf([0.55, 0.6, 0.65]);
    const compared = await checkRun([suiteOf([0.95, 1, 1.05])], [now], () => Promise.resolve([now]));
    assert.match(checkLines(compared).join('\n'), /^fell {7}throughput, process: fleet \/ bare: 1\.00 → 0\.60, 40 % worse/m);
    assert.equal(hasFallen(compared), true);
  });

  it('measures the suites of such ratios once more, and believes the second run', async () => {
    const other = suiteOf(STEADY, RATE, { name: 'memory' });
    const asked: (readonly string[])[] = [];
    const rerun = (names: readonly string[]): Promise<SuiteResult[]> => {
      asked.push(names);
      return Promise.resolve([suiteOf([0.97])]);
    };
    const compared = await checkRun([suiteOf(STEADY), other], [suiteOf([0.5]), other], rerun);
    assert.deepEqual(asked, [['throughput']]);
    assert.deepEqual(
      compared.map(({ suite, now, verdict }) => [suite, now, verdict]),
      [
        ['throughput', 0.97, 'within'],
        ['memory', 1, 'within'],
      ],
    );
    assert.equal(hasFallen(compared), false);
  });

  it('keeps what was fine in the first run', async () => {
    const rows = (first: number, second: number): SuiteResult => ({
      ...suiteOf(STEADY),
      rows: [...suiteOf([first], RATE, { row: 'enqueue' }).rows, ...suiteOf([second]).rows],
    });
    const compared = await checkRun([rows(1, 1)], [rows(1, 0.5)], () => Promise.resolve([rows(0.5, 1)]));
    assert.deepEqual(
      compared.map(({ verdict }) => verdict),
      ['within', 'within'],
    );
  });

  it('fails for a ratio that is not measured any more, and ignores a new one', async () => {
    const renamed = suiteOf(STEADY, RATE, { row: 'run' });
    const compared = await checkRun([suiteOf(STEADY)], [renamed], noRerun);
    assert.deepEqual(
      compared.map(({ verdict }) => verdict),
      ['gone'],
    );
    assert.equal(hasFallen(compared), true);
    assert.match(checkLines(compared).join('\n'), /^gone {7}throughput, process: fleet \/ bare: was 1\.00/m);
  });

  it('mentions what got better, and counts the rest', async () => {
    const compared = await checkRun([suiteOf(STEADY)], [suiteOf([1.3])], noRerun);
    assert.deepEqual(checkLines(compared), [
      'better     throughput, process: fleet / bare: 1.00 → 1.30, 30 % better',
      '1 of 1 ratios are at most 10 % worse than in the stored run',
    ]);
  });
});
