import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ago,
  duration,
  latency,
  nextAttemptText,
  progressOf,
  receiptOf,
  receiptText,
  span,
} from '../../../dashboard/page/parts/wording.js';
import { aTask, at } from './a-task.js';

test('a duration is shown in its largest units', () => {
  assert.deepEqual([-5, 0, 59_999, 60_000, 3_599_999, 11_100_000, 187_200_000].map(duration), [
    '0 s',
    '0 s',
    '59 s',
    '1 min',
    '59 min',
    '3 h 5 min',
    '2 d 4 h',
  ]);
  assert.deepEqual(
    [duration(-2_001), duration(-3_599_000), ago(-3_599_000), ago(61_000)],
    ['in 2 s (clock?)', 'in 59 min (clock?)', 'in 59 min (clock?)', '1 min ago'],
  );
  assert.deepEqual([0.26, 14.4, 9_999, 12_000].map(latency), ['0.3 ms', '14 ms', '9999 ms', '12 s']);
  assert.deepEqual([0, 840.4, 8_449, 9_999, 12_000, 61_000].map(span), ['0 ms', '840 ms', '8.4 s', '9.9 s', '12 s', '1 min']);
});

test('a delayed task says when it starts or retries', () => {
  const delayed = { next_attempt_at: at(50) };
  const texts = (['retrying', 'scheduled', 'running'] as const).map((state) => nextAttemptText(aTask({ ...delayed, state }), 8_000));
  assert.deepEqual(texts, ['retries in 42 s', 'starts in 42 s', null]);
  assert.equal(nextAttemptText(aTask({ ...delayed, state: 'retrying' }), 60_000), 'retries now');
  assert.equal(nextAttemptText(aTask({ state: 'retrying' }), 0), null);
});

test('progress is a percentage, a count of a total, or a custom value', () => {
  assert.equal(progressOf(null), null);
  assert.deepEqual(progressOf(42.4), { fraction: 0.424, text: '42 %' });
  assert.deepEqual(progressOf(500), { fraction: 1, text: '500 %' });
  assert.deepEqual(progressOf({ done: 3, total: 8 }), { fraction: 0.375, text: '3 of 8' });
  assert.deepEqual(progressOf({ page: 'x' }), { fraction: null, text: '{"page":"x"}' });
  assert.equal(progressOf('y'.repeat(500))?.text.length, 121);
});

test('a task yields its stop receipt', () => {
  const stop = { reason: 'why', by: 'olga', at: at(1), via: 'signal' as const };
  assert.equal(receiptText(receiptOf(aTask({ state: 'stopping', stop }))), 'stop recorded, not settled yet');
  assert.equal(receiptText(receiptOf(aTask({ state: 'cancelled', stop, finished_at: at(1.014) }))), 'cancelled by signal after 14 ms');
  assert.equal(receiptText(receiptOf(aTask({ state: 'completed', stop, finished_at: at(2) }))), 'already completed');
});
