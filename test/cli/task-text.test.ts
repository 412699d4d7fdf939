import assert from 'node:assert/strict';
import { test } from 'node:test';
import { taskDetails } from '../../cli/task-text.js';
import type { TaskView } from '../../producer/index.js';
import { foreignTask } from '../../shared/task/task-reader.js';

function attemptLine(task: Partial<TaskView>): string | undefined {
  const view = { ...foreignTask('one', null), name: 'a.b', queue: 'a', ...task };
  return taskDetails(view, 0).find((line) => line.startsWith('attempt '));
}

test('the details of a task say which attempt of how many it is, and why a failed one has no other', () => {
  assert.equal(attemptLine({ state: 'retrying', attempt: 1, attempts: 3 }), 'attempt   1 of 3');
  assert.equal(attemptLine({ state: 'failed', attempt: 3, attempts: 3 }), 'attempt   3 of 3');
  assert.equal(attemptLine({ state: 'failed', attempt: 1, attempts: 3 }), 'attempt   1 of 3 (this error is not retried)');
  assert.equal(attemptLine({ state: 'cancelled', attempt: 1, attempts: 3 }), 'attempt   1 of 3');
  assert.equal(attemptLine({ queue: null }), undefined, 'nothing is known of a foreign task');
});
