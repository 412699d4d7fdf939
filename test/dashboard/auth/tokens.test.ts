import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { entryOf, newToken, readTokens } from '../../../dashboard/auth/tokens.js';

const HASH = createHash('sha256').update('secret').digest('hex');

function problemsOf(...entries: string[]): string[] {
  const problems: string[] = [];
  readTokens(entries, problems);
  return problems;
}

test('a token finds its entry with role and item patterns', () => {
  const [ada, chats] = [newToken(), newToken()];
  const problems: string[] = [];
  const table = readTokens(
    [
      entryOf(ada, { name: 'ada', role: 'admin', items: null }),
      entryOf(chats, { name: 'chats', role: 'submitter', items: ['chat:*', 'draft:1'] }),
    ],
    problems,
  );
  assert.deepEqual(problems, []);
  const shown = (token: string): unknown => {
    const { name, role, items } = table.find(token) ?? {};
    return [name, role, items];
  };
  assert.deepEqual(shown(ada), ['ada', 'admin', null]);
  assert.deepEqual(shown(chats), ['chats', 'submitter', ['chat:*', 'draft:1']]);
});

test('only the exact token is found: not its hash, a part of it or an empty text', () => {
  const token = newToken();
  const table = readTokens([entryOf(token, { name: 'ada', role: 'admin', items: null })], []);
  const hash = createHash('sha256').update(token).digest('hex');
  for (const other of ['', 'ada', hash, token.slice(0, -1), `${token}x`, token.toUpperCase(), ` ${token}`])
    assert.equal(table.find(other), null);
});

test('a hash that differs in one bit does not match', () => {
  const token = newToken();
  const hash = createHash('sha256').update(token).digest();
  const others = Array.from({ length: 256 }, (_, bit) => {
    const other = Buffer.from(hash);
    other[bit >> 3] = (other[bit >> 3] as number) ^ (1 << (bit & 7));
    return `t${bit}:admin:${other.toString('hex')}`;
  });
  const problems: string[] = [];
  assert.equal(readTokens(others, problems).find(token), null);
  assert.deepEqual(problems, []);
});

test('tokens are long and unique', () => {
  const tokens = Array.from({ length: 100 }, newToken);
  assert.equal(new Set(tokens).size, 100);
  for (const token of tokens) assert.match(token, /^tf_[\w-]{43}$/);
});

test('the error names each bad entry and its problem', () => {
  assert.deepEqual(problemsOf(`ada:boss:${HASH}`), [
    'API_TOKENS: entry ada: expected one of the roles viewer, submitter, operator, admin, got "boss"',
  ]);
  assert.deepEqual(problemsOf('ada:admin:secret'), [
    'API_TOKENS: entry ada: expected the SHA-256 of a token as the third part, 64 hexadecimal digits (not shown)',
  ]);
  assert.deepEqual(problemsOf(`ada:viewer:${HASH}:chat:*,`), [
    'API_TOKENS: entry ada: bad item pattern: expected 1 to 256 characters, got 0',
  ]);
  assert.deepEqual(problemsOf('ada'), ['API_TOKENS: entry 1: expected name:role:sha256-hex, optionally followed by :item-pattern,…']);
  assert.deepEqual(problemsOf(`ada:viewer:${HASH}`, `ada:admin:${HASH.replaceAll('a', 'b')}`), [
    'API_TOKENS: two entries have the name ada',
  ]);
  assert.deepEqual(problemsOf(`ada:viewer:${HASH}`, `bob:admin:${HASH.toUpperCase()}`), [
    'API_TOKENS: entry bob has the same hash as another entry',
  ]);
});

test('errors never repeat a hash or a misplaced token', () => {
  const token = newToken();
  for (const entry of [
    token,
    `ada:${token}`,
    `ada:${HASH}:viewer`,
    `${HASH}:viewer:ada`,
    `${token}:viewer:${HASH}`,
    `ada:viewer:${token}`,
    `ada:${token}:${HASH}`,
    `ada:viewer:x${HASH}`,
    `:${token}:`,
  ]) {
    const problems = problemsOf(entry);
    assert.notEqual(problems.length, 0, entry);
    for (const problem of problems) for (const secret of [token, HASH]) assert.ok(!problem.includes(secret.slice(4, 24)), problem);
  }
});
