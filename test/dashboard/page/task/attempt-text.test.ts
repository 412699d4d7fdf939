import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Attempt, Failure } from '../../../../dashboard/page/parts/api-types.js';
import {
  changeText,
  explanationOf,
  failureTitle,
  outcomeOf,
  retryDelayOf,
  runTimeOf,
  workerOf,
} from '../../../../dashboard/page/task/attempts/attempt-text.js';
import { ATTEMPT_OUTCOMES } from '../../../../shared/attempt/attempt.js';
import { at } from '../a-task.js';

const ATTEMPT: Attempt = { number: 1, worker: null, started_at: at(10), ended_at: null, outcome: null, error: null, retry_at: null };
const FAILURE: Failure = { name: 'TypeError', message: 'no rows', code: null, stack: null, cause: null, errors: [] };

test('an attempt is described by its outcome, its times and its worker', () => {
  assert.equal(outcomeOf(ATTEMPT), 'running');
  assert.deepEqual(
    ATTEMPT_OUTCOMES.map((outcome) => outcomeOf({ ...ATTEMPT, outcome })),
    ['completed', 'failed', 'cancelled', 'timed out', 'requeued', 'worker lost', 'lock lost'],
  );
  const explained = ATTEMPT_OUTCOMES.filter((outcome) => explanationOf({ ...ATTEMPT, outcome }) !== null);
  assert.deepEqual(explained, ['requeued', 'worker_lost', 'lock_lost']);
  assert.equal(explanationOf(ATTEMPT), null);

  assert.deepEqual(
    [runTimeOf(ATTEMPT, 12_000), runTimeOf({ ...ATTEMPT, ended_at: at(10.84) }, 99_000), runTimeOf({ ...ATTEMPT, started_at: null }, 0)],
    ['2 s', '840 ms', null],
  );
  const ended = { ...ATTEMPT, ended_at: at(11) };
  assert.deepEqual(
    [retryDelayOf(ended), retryDelayOf({ ...ended, retry_at: at(11) }), retryDelayOf({ ...ended, retry_at: at(19.45) })],
    [null, 'at once', 'after 8.4 s'],
  );
  const worker = { id: 'web-1-311-aaaaaaaa', host: 'web-1', pid: 311 };
  assert.deepEqual(
    [null, worker, { ...worker, pid: null }, { id: 'other', host: null, pid: null }].map((one) => workerOf({ ...ATTEMPT, worker: one })),
    ['unknown worker', 'web-1, pid 311', 'web-1', 'other'],
  );
});

test('a failure is one line: its name, its code and its message', () => {
  assert.equal(failureTitle(FAILURE), 'TypeError: no rows');
  assert.equal(failureTitle({ ...FAILURE, code: 'E_ROWS' }), 'TypeError [E_ROWS]: no rows');
  assert.equal(failureTitle({ ...FAILURE, name: 'ABORT', code: 'ABORT', message: '' }), 'ABORT');
});

const CHANGE = {
  at: at(1),
  attempt: null,
  error: null,
  next_attempt_at: null,
  waiting_for: null,
  skipped_for: null,
  receipt: null,
  task: null,
} as const;

test('a state change names the attempt, its error and the next attempt', () => {
  assert.equal(changeText({ ...CHANGE, state: 'queued' }), 'queued');
  assert.equal(changeText({ ...CHANGE, state: 'running', attempt: 2 }), 'running, attempt 2');
  const error = { name: 'TypeError', message: 'no rows', code: null, stack: null, cause: null, errors: [] };
  assert.equal(changeText({ ...CHANGE, state: 'retrying', attempt: 1, error }), 'retrying after attempt 1: TypeError: no rows');
  assert.equal(changeText({ ...CHANGE, state: 'failed', attempt: 3, error }), 'failed after attempt 3: TypeError: no rows');
  assert.equal(changeText({ ...CHANGE, state: 'stopping', attempt: 3 }), 'stopping');
  assert.equal(changeText({ ...CHANGE, state: 'skipped', skipped_for: 'the-other' }), 'skipped: overlapped the-other');
  assert.match(
    changeText({ ...CHANGE, state: 'retrying', attempt: 1, next_attempt_at: '2026-11-29T22:00:09.007Z' }),
    /^retrying after attempt 1; next attempt at .*0?9\b/,
  );
});
