import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_LOG_LINE_BYTES, formatLogLine, levelOfNumber, parseLogLine } from '../../../shared/log/task-log.js';

const at = new Date('2030-01-31T12:00:00.000Z');
const line = (message: string, fields: Record<string, unknown> = {}) => formatLogLine({ at, level: 'info', attempt: 2, message, fields });

test('a line shows its time, level, attempt, message and fields, and parses back', () => {
  assert.equal(line('read', { rows: 3 }), '2030-01-31T12:00:00.000Z INFO [2] read {"rows":3}');
  const cases: [string, Record<string, unknown>][] = [
    ['plain', {}],
    ['', {}],
    ['', { a: 1 }],
    ['ends like fields {"a":1}', {}],
    ['{"a":1}', {}],
    ['has {"a":1} inside', { b: { c: ' {"d":2}' } }],
    ['open { {', { text: '} {' }],
  ];
  for (const [message, fields] of cases)
    assert.deepEqual(parseLogLine(line(message, fields), 7), { seq: 7, at, level: 'info', attempt: 2, message, fields });
});

test('a line stays one line', () => {
  assert.equal(line('first\nsecond\r\nthird').split('\n').length, 1);
  assert.equal(parseLogLine(line('first\nsecond'), 1).message, 'first\\nsecond');
});

test('a long line is cut with a mark, and its fields stay readable', () => {
  const cases: [string, Record<string, unknown>][] = [
    ['é'.repeat(10_000), {}],
    ['short', { error: { message: 'm'.repeat(9_000), stack: 's'.repeat(9_000) } }],
    ['x'.repeat(100_000), { text: 'y'.repeat(100_000), n: 1 }],
    ['short', { many: Array.from({ length: 9_000 }, (_, n) => n) }],
    ['short', { nested: JSON.stringify({ quotes: '"'.repeat(9_000) }) }],
  ];
  for (const [message, fields] of cases) {
    const text = line(message, fields);
    assert.ok(Buffer.byteLength(text) <= MAX_LOG_LINE_BYTES, `${Buffer.byteLength(text)} bytes`);
    assert.match(text, /…|"cut":/);
    assert.deepEqual(Object.keys(parseLogLine(text, 1).fields), 'many' in fields ? ['cut'] : Object.keys(fields));
  }
});

test('secret fields are censored down to the third level', () => {
  const fields = { password: 'p', user: { token: 't', deep: { apiKey: 'k', name: 'n' } } };
  assert.deepEqual(parseLogLine(line('login', fields), 1).fields, {
    password: '***',
    user: { token: '***', deep: { apiKey: '***', name: 'n' } },
  });
});

test('lines in another format are messages', () => {
  for (const text of ['written by job.log', '', '2030-13-31T12:00:00.000Z INFO [2] no such month', '2030-01-31T12:00:00.000Z LOUD [2] x'])
    assert.deepEqual(parseLogLine(text, 3), { seq: 3, at: null, level: null, attempt: null, message: text, fields: {} });
  assert.ok(parseLogLine('x'.repeat(100_000), 1).message.length <= MAX_LOG_LINE_BYTES);
  const many = `2030-01-31T12:00:00.000Z INFO [2] ${' {'.repeat(4_000)}}`;
  assert.deepEqual(parseLogLine(many, 1).fields, {});
});

test("pino's numbers become levels", () => {
  assert.deepEqual([5, 10, 20, 30, 35, 40, 50, 60, 90].map(levelOfNumber), [
    ...['trace', 'trace', 'debug', 'info', 'info', 'warn', 'error', 'fatal', 'fatal'],
  ]);
});
