import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FleetError, isFleetError, messageOf, withoutCalls } from '../../shared/errors.js';
import { TaskCancelled, receiptOf, receiptToJson } from '../../shared/stop/receipt.js';
import { formatMs } from '../../shared/time.js';

test('a FleetError is recognised by its code, even from another copy of this package', () => {
  const error = new FleetError('CLOSED', 'gone', { cause: new Error('why'), details: { id: 'a' } });
  assert.deepEqual(
    [error.name, error.code, error.message, (error.cause as Error).message, error.details],
    ['FleetError', 'CLOSED', 'gone', 'why', { id: 'a' }],
  );
  assert.ok(isFleetError(error) && isFleetError(error, 'INVALID_ID', 'CLOSED'));
  assert.ok(!isFleetError(error, 'INVALID_ID'));
  assert.ok(isFleetError(Object.assign(new Error('x'), { code: 'CLOSED' }), 'CLOSED'));
  for (const other of [
    new Error('x'),
    Object.assign(new Error('x'), { code: 'ENOENT' }),
    Object.assign(new Error('x'), { code: 'toString' }),
    { code: 'CLOSED' },
    null,
  ]) {
    assert.ok(!isFleetError(other));
  }
});

test('an error made without calls has its message as its stack, and others keep their calls', () => {
  const made = withoutCalls(() => new FleetError('CLOSED', 'gone'));
  assert.match(made.stack ?? '', /^\w*Error: gone$/);
  assert.throws(() =>
    withoutCalls(() => {
      throw new Error('not made');
    }),
  );
  assert.match(new Error('later').stack ?? '', /errors\.test/);
});

test('any thrown value has a message', () => {
  assert.equal(messageOf(new Error('x')), 'x');
  assert.equal(messageOf('x'), 'x');
  assert.equal(messageOf(undefined), 'undefined');
  assert.equal(messageOf(new AggregateError([new Error('a'), 'b'])), 'a; b');
  assert.equal(messageOf(new AggregateError([], 'both')), 'both');
});

test('the error of a cancelled task says who stopped it and why, if known', () => {
  const receipt = receiptOf('a', null);
  assert.equal(new TaskCancelled(receipt).message, 'Task a was stopped');
  assert.equal(new TaskCancelled({ ...receipt, by: 'alice', reason: 'slow' }).message, 'Task a was stopped by alice: slow');
  assert.deepEqual(Object.values(receiptToJson(receipt)), ['a', 'not_found', null, null, null, null, null, null, null]);
});

test('a duration is shown in a readable unit', () => {
  const shown = {
    0: '0.0 ms',
    8.54: '8.5 ms',
    9.96: '10 ms',
    850.4: '850 ms',
    999.6: '1.0 s',
    12_340: '12.3 s',
    59_949: '59.9 s',
    59_960: '1 min 00 s',
    245_000: '4 min 05 s',
    3_600_000: '60 min 00 s',
  };
  for (const [ms, text] of Object.entries(shown)) assert.equal(formatMs(Number(ms)), text);
});
