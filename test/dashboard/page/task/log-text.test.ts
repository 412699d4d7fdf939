import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorText, fieldsText, isShown, missingBefore, stackIn, timeOfDay } from '../../../../dashboard/page/task/log/log-text.js';

test('a log shows the lines from a level on; a line without a level counts as info', () => {
  const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', null];
  const shown = (lowest: string) => levels.filter((level) => isShown(level, lowest));
  assert.deepEqual(shown('trace'), levels);
  assert.deepEqual(shown('info'), ['info', 'warn', 'error', 'fatal', null]);
  assert.deepEqual(shown('error'), ['error', 'fatal']);
});

test('the numbers of the lines tell how many were dropped', () => {
  assert.deepEqual([missingBefore(1, 0), missingBefore(41, 0), missingBefore(44, 42), missingBefore(42, 42)], [0, 40, 1, 0]);
});

test('the error of a line is shown with its causes, their stacks apart, and the other fields as JSON', () => {
  assert.deepEqual([errorText({}), fieldsText({}), stackIn({})], [null, '', null]);
  const cause = { message: 'inner', stack: 'Error: inner\n    at b' };
  const fields = { page: 3, error: { name: 'TypeError', code: 'E_ROWS', message: 'outer', stack: 'Error: outer\n    at a', cause } };
  assert.equal(errorText(fields), 'TypeError [E_ROWS]: outer; caused by Error: inner');
  assert.equal(fieldsText(fields), '{"page":3}');
  assert.equal(stackIn(fields), 'Error: outer\n    at a\nCaused by: Error: inner\n    at b');
  assert.equal(stackIn({ err: cause }), cause.stack);
  assert.deepEqual(
    [errorText({ error: 'text' }), fieldsText({ error: 'text' }), stackIn({ error: 'text' })],
    [null, '{"error":"text"}', null],
  );
});

test('a time of day has milliseconds', () => {
  assert.match(timeOfDay('2026-11-29T22:00:09.007Z'), /^\d\d:\d\d:09\.007$/);
});
