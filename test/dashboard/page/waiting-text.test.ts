import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Task } from '../../../dashboard/page/parts/api-types.js';
import { lineText, ordinal, rowText, waitText, waitingText } from '../../../dashboard/page/parts/waiting-text.js';
import { changeText } from '../../../dashboard/page/task/attempts/attempt-text.js';
import { aTask, at } from './a-task.js';

const WAITING = {
  ...{
    kind: 'concurrency' as const,
    name: 'chat',
    key: 'chat:1',
    limit: 1,
    running: 1,
    position: 3,
    length: 7,
    next_at: null,
    behind: null,
  },
};

test('a position in line is a word up to the tenth, then a number', () => {
  assert.deepEqual([1, 3, 10, 11, 12, 13, 21, 22, 23, 111, 1_002].map(ordinal), [
    ...['first', 'third', 'tenth', '11th', '12th', '13th', '21st', '22nd', '23rd', '111th', '1,002nd'],
  ]);
});

test('each kind of limit is named', () => {
  assert.equal(lineText(WAITING), 'third in line for chat:1');
  assert.equal(lineText({ ...WAITING, key: null, position: 1 }), 'first in line for chat');
  assert.equal(lineText({ ...WAITING, name: 'group:gpu', key: null }), 'third in line for group gpu');
  assert.equal(lineText({ ...WAITING, name: 'group:gpu' }), 'third in line for chat:1');
  assert.equal(lineText({ ...WAITING, kind: 'fair', name: 'queue:chat', key: 'tenant:7' }), 'third in line for a turn of tenant:7 on chat');
  assert.equal(lineText({ ...WAITING, kind: 'rate', key: null }), 'third in line for the rate of chat');
});

test('a row, a title and the history say what a task waits for', () => {
  const task = aTask({ state: 'queued', waiting_for: WAITING });
  assert.equal(rowText(task), 'third in line for chat:1');
  assert.equal(rowText({ waiting_for: { ...WAITING, position: 11 } }), 'in line for chat:1', 'a position that is not kept up to date');
  assert.equal(waitingText(task, 0), 'third in line for chat:1');
  assert.equal(
    waitingText({ waiting_for: { ...WAITING, kind: 'rate', next_at: at(42) } }, 0),
    'third in line for the rate of chat:1, next in 42 s',
  );
  assert.deepEqual([rowText(aTask()), waitingText(aTask(), 0)], [null, null]);
  const change = {
    at: at(1),
    state: 'queued',
    attempt: null,
    error: null,
    next_attempt_at: null,
    skipped_for: null,
    receipt: null,
    task: null,
  } as const;
  assert.equal(changeText({ ...change, waiting_for: WAITING }), 'queued, third in line for chat:1');
});

test('a task on a paused queue says who paused it; a row leaves out why', () => {
  const paused = {
    ...{ kind: 'paused', queue: 'chat', since: at(0), by: 'alice', reason: 'the model is down', limit_wait: WAITING },
  } as const satisfies Task['waiting_for'];
  const task = aTask({ state: 'queued', waiting_for: paused });
  assert.equal(waitingText(task, 0), 'queue chat is paused by alice: the model is down');
  assert.equal(rowText(task), 'queue chat is paused by alice');
  assert.equal(rowText({ waiting_for: { ...paused, since: null, by: null, reason: null } }), 'queue chat is paused');
  assert.equal(waitText(WAITING), 'third in line for chat:1');
});
