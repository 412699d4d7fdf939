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

  test('counts tests without nested tests', () => {
    pass(0);
    pass(2);
    pass(2);
    pass(1);
    pass(0, { details: { type: 'suite' } });
    pass(0);
    assertCount(4, 0);
  });

  test('does not count a suite without tests', () => {
    pass(0, { details: { type: 'suite' } });
    assertCount(0, 0);
  });

  test('counts a failure once, not for each parent', () => {
    fail(1, 'testCodeFailure');
    fail(0, 'subtestsFailed');
    assertCount(0, 1);
  });

  test('counts the own failure of a parent', () => {
    pass(1);
    fail(0, 'hookFailed');
    assertCount(1, 1);
  });

  test('counts the process of a file only if it failed', () => {
    pass(0, { name: FILE });
    assertCount(0, 0);
    fail(0, 'testTimeoutFailure', { name: FILE });
    assertCount(0, 1);
  });

  test('counts neither skipped tests nor todos', () => {
    pass(0, { skip: true });
    pass(0, { skip: 'no network' });
    fail(0, 'testCodeFailure', { todo: true });
    assertCount(0, 0);
  });
});
