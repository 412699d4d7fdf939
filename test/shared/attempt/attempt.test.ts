import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  ATTEMPT_FIELDS,
  type Attempt,
  type AttemptRecord,
  attemptField,
  attemptToJson,
  parseAttempts,
  workerOfId,
} from '../../../shared/attempt/attempt.js';
import { type Failure, failureOf } from '../../../shared/attempt/failure.js';

const record = (run: number, more: Partial<AttemptRecord> = {}): AttemptRecord => ({
  ...{ number: run, run, worker: 'host-7-0a1b2c3d', started: 1_000 * run, ended: 1_000 * run + 5, outcome: 'failed' },
  ...more,
});

function stored(records: readonly AttemptRecord[]): (string | null)[] {
  const fields: Record<string, string> = Object.assign({}, ...records.map(attemptField));
  return ATTEMPT_FIELDS.map((name) => fields[name] ?? null);
}

function attemptsOf(values: readonly (string | null)[]): Attempt[] {
  return parseAttempts(values, assert.fail).map(({ attempt }) => attempt);
}

describe('the records of attempts', () => {
  it('come back in the order of their runs, the last twenty', () => {
    const attempts = parseAttempts(stored(Array.from({ length: 25 }, (_, index) => record(index + 1))), assert.fail);
    assert.deepEqual(
      attempts.map(({ attempt }) => attempt.number),
      Array.from({ length: 20 }, (_, index) => index + 6),
    );
  });

  it('leave out what cannot be read, and say so', () => {
    const values = stored([record(1), record(2), record(3)]);
    values[1] = '{"number":1';
    values[2] = '{"number":"two","run":2,"outcome":"failed"}';
    values[5] = '[]';
    const problems: string[] = [];
    assert.deepEqual(
      parseAttempts(values, (problem) => problems.push(problem)).map(({ attempt }) => attempt.number),
      [3],
    );
    assert.deepEqual(
      problems.map((problem) => problem.split(':')[0]),
      ['try1', 'try2', 'try5'],
    );
  });

  it('have null for a time or a worker that is unknown', () => {
    const [attempt] = attemptsOf(['{"number":1,"run":1,"outcome":"worker_lost","started":-4,"ended":0,"worker":""}']);
    assert.deepEqual([attempt?.startedAt, attempt?.endedAt, attempt?.worker], [null, null, null]);
  });

  it('are formatted with their error and the time of the retry', () => {
    const [attempt] = attemptsOf(stored([record(1, { error: failureOf(new Error('no')), retry_at: 9_000 })]));
    assert.ok(attempt);
    const { error, retry_at: retryAt } = attemptToJson(attempt);
    assert.deepEqual([(error as Failure).message, retryAt], ['no', '1970-01-01T00:00:09.000Z']);
  });

  it("take the host and the pid from the worker's id", () => {
    assert.deepEqual(workerOfId('web-1.example-4711-0a1b2c3d'), { id: 'web-1.example-4711-0a1b2c3d', host: 'web-1.example', pid: 4711 });
    assert.deepEqual(workerOfId('web-0-0a1b2c3d'), { id: 'web-0-0a1b2c3d', host: 'web', pid: null });
    assert.deepEqual(workerOfId('bull worker'), { id: 'bull worker', host: null, pid: null });
  });
});
