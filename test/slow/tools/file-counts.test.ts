import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { FileCounts } from '../../support/runner/file-counts.js';

const A = 'test/a.test.ts';
const B = 'test/b.test.ts';
const PROCESS = '/project/.tests/1/process-1.js';

describe('The counts of the test files', () => {
  let counts: FileCounts;
  beforeEach(() => {
    counts = new FileCounts([A, B]);
  });

  function report(to: FileCounts, name: string, nesting: number, failureType?: string): void {
    const error = failureType === undefined ? undefined : Object.assign(new Error('failed'), { failureType });
    const type = nesting === 0 && name !== PROCESS ? 'suite' : 'test';
    to.add({ name, nesting, file: name === PROCESS ? PROCESS : 'elsewhere.ts', details: { type, error } }, error === undefined);
  }

  it('name the failed tests of each file', () => {
    report(counts, 'holds', 1);
    report(counts, 'breaks', 1, 'testCodeFailure');
    report(counts, A, 0, 'subtestsFailed');
    report(counts, 'holds too', 1);
    report(counts, B, 0);
    report(counts, PROCESS, 0, 'subtestsFailed');
    assert.deepEqual([...counts.failures], [[A, ['breaks']]]);
    assert.deepEqual([counts.passed, counts.failed, counts.failedOutsideFiles], [2, 1, 0]);
  });

  it('give the failure of a process to no file', () => {
    report(counts, 'holds', 1);
    report(counts, PROCESS, 0, 'testCodeFailure');
    assert.deepEqual([...counts.failures], []);
    assert.deepEqual([counts.passed, counts.failed, counts.failedOutsideFiles], [1, 1, 1]);
  });

  it('take the second result of a file that failed, and keep those of the others', () => {
    report(counts, 'breaks once', 1, 'testCodeFailure');
    report(counts, 'breaks', 1, 'testCodeFailure');
    report(counts, A, 0, 'subtestsFailed');
    report(counts, 'holds', 1);
    report(counts, B, 0);
    const second = new FileCounts([A]);
    report(second, 'breaks once', 1);
    report(second, 'breaks', 1, 'testCodeFailure');
    report(second, A, 0, 'subtestsFailed');
    counts.replaceBy(second);
    assert.deepEqual([...counts.failures], [[A, ['breaks']]]);
    assert.deepEqual([counts.passed, counts.failed], [2, 1]);
  });

  it('drop the tests of a file that did not end once it has run again', () => {
    report(counts, 'holds', 1);
    report(counts, PROCESS, 0, 'testCodeFailure');
    const second = new FileCounts([A]);
    report(second, 'holds', 1);
    report(second, 'holds too', 1);
    report(second, A, 0);
    counts.replaceBy(second);
    assert.deepEqual([counts.passed, counts.failed], [2, 0]);
  });
});
