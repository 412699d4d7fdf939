import assert from 'node:assert/strict';
import { test } from 'node:test';
import { taskDetails } from '../../../cli/text/task-text.js';
import type { TaskView } from '../../../producer/index.js';
import { foreignTask } from '../../../shared/task/task-reader.js';

function attemptLine(task: Partial<TaskView>): string | undefined {
  const view = { ...foreignTask('one', null), name: 'a.b', queue: 'a', ...task };
  return taskDetails(view, 0).find((line) => line.startsWith('attempt '));
}

test('a time that is yet to come is said to be so, not to be now', () => {
  const line = (ms: number) =>
    taskDetails({ ...foreignTask('one', null), enqueuedAt: new Date(10_000_000 - ms) }, 10_000_000).find((one) =>
      one.startsWith('enqueued'),
    ) ?? '';
  assert.match(line(720_000), / \(12m ago\)$/);
  assert.match(line(-1_000), / \(0s ago\)$/);
  assert.match(line(-3_599_000), / \(in 59m \(clock\?\)\)$/);
});

test('the details of a task say which attempt of how many it is, and why a failed one has no other', () => {
  assert.equal(attemptLine({ state: 'retrying', attempt: 1, maxAttempts: 3 }), 'attempt   1 of 3');
  assert.equal(attemptLine({ state: 'failed', attempt: 3, maxAttempts: 3 }), 'attempt   3 of 3');
  assert.equal(attemptLine({ state: 'failed', attempt: 1, maxAttempts: 3 }), 'attempt   1 of 3 (this error is not retried)');
  assert.equal(attemptLine({ state: 'cancelled', attempt: 1, maxAttempts: 3 }), 'attempt   1 of 3');
  assert.equal(attemptLine({ queue: null }), undefined, 'nothing is known of a foreign task');
});

test('a long result is cut, with its size', () => {
  const details = taskDetails({ ...foreignTask('one', null), state: 'completed', result: 'x'.repeat(10_000) }, 0);
  const line = details.find((one) => one.startsWith('result')) ?? '';
  assert.match(line, /^result +"x+ … \(cut: 10002 bytes\)$/);
  assert.ok(line.length < 4_200);
});
