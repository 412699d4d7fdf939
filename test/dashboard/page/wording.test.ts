import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listPath, listSearch, readListQuery } from '../../../dashboard/page/parts/task-set.js';
import { ago, duration, latency, progressOf, receiptOf, receiptText } from '../../../dashboard/page/parts/wording.js';
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

test('the URL holds the list query; bad values are ignored', () => {
  const query = readListQuery('?item=a%26b&state=running&name=chat&limit=500');
  assert.deepEqual(query, { item: 'a&b', state: 'running', name: 'chat', limit: 500 });
  assert.equal(listSearch(query), '?item=a%26b&state=running&name=chat&limit=500');
  assert.deepEqual(readListQuery('?state=odd&limit=7'), { item: null, state: null, name: null, limit: 100 });
  assert.equal(listSearch(readListQuery('')), '');
  assert.equal(listPath(readListQuery(''), '5-x'), 'tasks?limit=100&after=5-x');
});
