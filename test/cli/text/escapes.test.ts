import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TASK_COLUMNS } from '../../../cli/columns/task-columns.js';
import { describeError } from '../../../cli/errors.js';
import { PLAIN } from '../../../cli/text/colour.js';
import { listLines } from '../../../cli/text/columns.js';
import { printable } from '../../../cli/text/output.js';
import { invalidPlanText, planTable } from '../../../cli/text/plan-text.js';
import { endText, taskDetails, taskLine } from '../../../cli/text/task-text.js';
import type { TaskView } from '../../../producer/index.js';
import { foreignTask } from '../../../shared/task/task-reader.js';

const EVIL = '\u001b]0;owned\u0007\u009b2J\r\u202e';
// eslint-disable-next-line no-control-regex -- matches control characters on purpose
const ESCAPES = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

/** A task whose every text contains terminal escapes. */
const task: TaskView = {
  ...foreignTask(EVIL, EVIL),
  ...{ name: EVIL, queue: EVIL, worker: EVIL, error: EVIL, result: { [EVIL]: EVIL }, progress: { [EVIL]: EVIL }, problem: EVIL },
  stop: { reason: EVIL, by: EVIL, at: new Date(), via: null },
};

test('no text of a task reaches a terminal as more than text', () => {
  const texts = [
    ...listLines(TASK_COLUMNS, [task], { now: 0, width: Infinity, paint: PLAIN }),
    taskLine(task),
    ...taskDetails(task, 0),
    endText({ ...task, state: 'failed' }),
    endText({ ...task, state: 'cancelled' }),
  ];
  const plan = { id: EVIL, name: EVIL, price: 1, currency: 'USD', interval: 'month', active: true, promo: null, order: 1 } as never;
  texts.push(
    ...planTable([plan], new Date(), Infinity),
    invalidPlanText({ id: EVIL, problem: EVIL }),
    printable(describeError(new Error(EVIL), { json: false, debug: false }).text),
  );
  for (const text of texts) assert.doesNotMatch(text.replaceAll('\n', ''), ESCAPES);
});
