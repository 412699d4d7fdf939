import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstLine, normaliseError } from '../../../dashboard/overview/error-text.js';

test('errors that differ in ids and numbers are one kind', () => {
  for (const [one, other, kind] of [
    ['connect ECONNREFUSED 10.0.0.1:5432', 'connect ECONNREFUSED 10.0.0.22:5433', 'connect ECONNREFUSED N.N.N.N:N'],
    ['no user 01983f6e-7d1c-7a2b-9c3d-4e5f60718293', 'no user 42', 'no user N'],
    ['object 5f2a90bc17de is gone', 'object 00ffee11aa22 is gone', 'object N is gone'],
    ['invoice-7 rejected\nat line 3', 'invoice-12 rejected', 'invoice-N rejected'],
  ] as const)
    assert.deepEqual([normaliseError(one), normaliseError(other)], [kind, kind]);
});

test('words stay as they are', () => {
  for (const text of ['deadbeef', 'defaced facade', 'the card was declined'] as const) assert.equal(normaliseError(text), text);
});

test('an error is cut to its first line, without control characters', () => {
  assert.equal(firstLine('\n\n  a\tb\u0000c  \nd'), 'a b c');
  assert.equal(firstLine(''), '');
  assert.equal(firstLine('x'.repeat(500)), `${'x'.repeat(200)}…`);
});
