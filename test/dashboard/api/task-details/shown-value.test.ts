import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shownValue } from '../../../../dashboard/api/routes/task-details/shown-value.js';

const MOST = 65_536;
const sizeOf = (value: unknown): number => JSON.stringify(value).length;
const shown = (value: unknown) => shownValue(value, sizeOf(value), MOST);

test('a small value is shown whole, with its secrets censored at any depth', () => {
  const value = { text: 'x'.repeat(10_000), input: 'kept', apiKey: '', servers: [{ token: 'abc', port: 1 }, null], model: { apiKey: 'k' } };
  assert.deepEqual(shown(value), {
    value: { ...value, servers: [{ token: '***', port: 1 }, null], model: { apiKey: '***' } },
    cut: false,
    censored: ['servers[0].token', 'model.apiKey'],
  });
  for (const plain of ['text', 7, true, null, []]) assert.deepEqual(shown(plain), { value: plain, cut: false, censored: [] });
});

test('a big value is cut, with the size of what is missing, and stays small', () => {
  const value = { text: 'é'.repeat(60_000), rows: Array.from({ length: 20_000 }, (_, row) => ({ row })), last: { a: 1 }, token: 't' };
  const { value: cut, cut: isCut } = shown(value) as { value: { text: string; rows: unknown[]; '…': string }; cut: boolean };
  assert.equal(isCut, true);
  assert.match(cut.text, /^é+ … \(cut: 120000 bytes\)$/);
  assert.match(String(cut.rows.at(-1)), /^… \(cut: \d+ of 20000 elements\)$/);
  assert.equal(cut['…'], '… (cut: 2 of 4 fields)');
  assert.ok(sizeOf(cut) < 2 * MOST, `${sizeOf(cut)}`);
});

test('a value that is nested too deep for a recursion is cut', () => {
  const deep: unknown = JSON.parse(`${'['.repeat(5_000)}${']'.repeat(5_000)}`);
  const { value, cut } = shownValue(deep, 10_000, MOST);
  assert.equal(cut, true);
  assert.match(JSON.stringify(value), /nested deeper than 64 levels/);
});
