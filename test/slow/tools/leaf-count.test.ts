import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { LeafCount, type TestResult } from '../../support/runner/leaf-count.js';

const FILE = '/project/test/a.test.ts';

describe('the count of the test runner', () => {
  let count: LeafCount;
  beforeEach(() => {
    count = new LeafCount();
  });

  function pass(nesting: number, more: Partial<TestResult> = {}): void {
    count.add({ name: 'a test', file: FILE, nesting, details: {}, ...more }, true);
  }
  function fail(nesting: number, failureType: string, more: Partial<TestResult> = {}): void {
    const error = Object.assign(new Error('failed'), { failureType });
    count.add({ name: 'a test', file: FILE, nesting, details: { error }, ...more }, false);
  }
  function assertCount(passed: number, failed: number): void {
    assert.deepEqual({ passed: count.passed, failed: count.failed }, { passed, failed });
  }

  test('takes tests, not what contains them', () => {
    pass(0);
    pass(2);
    pass(2);
    pass(1);
    pass(0, { details: { type: 'suite' } });
    pass(0);
    assertCount(4, 0);
  });

  test('does not take a suite without tests', () => {
    pass(0, { details: { type: 'suite' } });
    assertCount(0, 0);
  });

  test('takes a failure once, and not again for each parent', () => {
    fail(1, 'testCodeFailure');
    fail(0, 'subtestsFailed');
    assertCount(0, 1);
  });

  test('takes the failure of a parent itself', () => {
    pass(1);
    fail(0, 'hookFailed');
    assertCount(1, 1);
  });

  test("takes a file's process only if it failed", () => {
    pass(0, { name: FILE });
    assertCount(0, 0);
    fail(0, 'testTimeoutFailure', { name: FILE });
    assertCount(0, 1);
  });

  test('takes neither skipped tests nor todos', () => {
    pass(0, { skip: true });
    pass(0, { skip: 'no network' });
    fail(0, 'testCodeFailure', { todo: true });
    assertCount(0, 0);
  });

  test('keeps apart files that report at the same time', () => {
    pass(1);
    pass(0, { file: '/project/test/b.test.ts' });
    pass(0);
    assertCount(2, 0);
  });
});
