import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BatchTask, STOPPED_CHAT, makeBatch } from '../../../cli/demo/batch.js';
import { TaskRow } from '../../../cli/demo/task-row.js';
import { problemsOf, tableOf } from '../../../cli/demo/verdict.js';
import { receiptOf } from '../../../shared/stop/receipt.js';

const plain = (_style: unknown, text: string): string => text;
const batch = makeBatch('.');

/** A task that has ended as it should, unless told otherwise. */
function endedRow(task: BatchTask, state = task.expected): TaskRow {
  const row = new TaskRow(task);
  row.state = state;
  if (state === 'cancelled') row.receipt = { ...receiptOf(task.id, null), outcome: 'cancelled', via: 'signal', latencyMs: 12 };
  return row;
}

describe("the demo's verdict", () => {
  it('has nothing to say if every task ended as it should', () => {
    assert.deepEqual(
      problemsOf(
        batch.map((task) => endedRow(task)),
        0,
      ),
      [],
    );
  });

  it('names each task that ended otherwise, and a registry that is not empty', () => {
    const rows = batch.map((task) => endedRow(task, task.id === STOPPED_CHAT ? 'completed' : task.expected));
    assert.deepEqual(problemsOf(rows, 2), [
      `${STOPPED_CHAT}: expected cancelled, is completed`,
      'expected an empty registry, it has 2 entries',
    ]);
  });

  it('wants a receipt that says cancelled, and that the chat heeded its signal', () => {
    const rows = batch.filter(({ expected }) => expected === 'cancelled').map((task) => endedRow(task));
    for (const row of rows)
      row.receipt = row.task.id === STOPPED_CHAT ? { ...receiptOf(row.task.id, null), outcome: 'cancelled', via: 'fence' } : null;
    const problems = problemsOf(rows, 0);
    assert.equal(problems.length, rows.length);
    assert.ok(problems.includes(`${STOPPED_CHAT}: expected to be stopped by its signal, was by fence`));
  });

  it('is a table of one line a task, at most 100 columns wide', () => {
    const lines = tableOf(
      batch.map((task) => endedRow(task)),
      plain,
    );
    assert.equal(lines.length, batch.length + 1);
    assert.ok(lines.every((line) => line.length <= 100));
  });
});
