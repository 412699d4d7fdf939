import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { nextPage } from '../../../dashboard/auth/session/sign-in.js';

test('the requested page of the dashboard is opened after the sign-in', () => {
  for (const page of ['/', '/tasks/a-1', '/?item=a%20b&state=running', '/board/queue/x#top']) assert.equal(nextPage(page, ''), page);
  assert.equal(nextPage('/fleet/tasks', '/fleet'), '/fleet/tasks');
});

const ELSEWHERE = [
  ...[
    'https://evil.example',
    '//evil.example',
    '///evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    '/\t/evil.example',
    '/\n/evil.example',
  ],
  ...[
    '/.//evil.example',
    '/x/..//evil.example',
    '/%2e//evil.example',
    '/./\\evil.example',
    'javascript:alert(1)',
    'evil.example',
    '',
    '/sign-in',
    '/sign-out',
    `/${'a'.repeat(3_000)}`,
  ],
  ...['http:/evil.example', 'http:evil.example', '/http://[', '//[', undefined, null, 7, ['/x'], { toString: () => '//evil.example' }],
];

test('any other target, however it is written, opens the first page', () => {
  for (const asked of ELSEWHERE) {
    const next = nextPage(asked, '');
    assert.equal(new URL(next, 'http://us.example').host, 'us.example', String(asked));
    assert.doesNotMatch(next, /^\/[/\\]/, String(asked));
  }
  for (const asked of ['/', '/elsewhere', '/fleet', '/fleeting', '/fleet/../admin', '/fleet/%2e%2e/admin'])
    assert.equal(nextPage(asked, '/fleet'), '/fleet/', asked);
});

test("a browser never leaves the dashboard's origin", () => {
  const text = fc.string({
    unit: fc.constantFrom(
      '/',
      '\\',
      '.',
      '..',
      '%2e',
      '%2f',
      '%5c',
      ':',
      '@',
      '?',
      '#',
      '\t',
      '\n',
      ' ',
      'evil.example',
      'http:',
      'a',
      '\u3000',
      '。',
    ),
  });
  fc.assert(
    fc.property(text, (asked) => assert.equal(new URL(nextPage(`/${asked}`, ''), 'http://us.example').host, 'us.example')),
    { numRuns: 2_000 },
  );
});
