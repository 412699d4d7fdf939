import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { checkJson } from '../../../../shared/task/payload/json-value.js';

class Point {
  constructor(readonly x: number) {}
}

class Money {
  constructor(readonly cents: bigint) {}

  toJSON(): string {
    return String(this.cents);
  }
}

const cycle: { self?: unknown } = {};
cycle.self = { again: [cycle] };

/** Each value as its check shows it: `same`, `trimmed`, or `path: what it is`. */
const show = (value: unknown): string => {
  const check = checkJson(value);
  return typeof check === 'string' ? check : `${check.path.join('.')}: ${check.problem.split(';')[0]}`;
};

test('JSON carries strings, finite numbers, booleans, null, arrays and plain objects as they are', () => {
  const plain: unknown[] = ['', 0, -1.5, true, null, [], {}, [[{ a: [null] }]], Object.create(null), 'text', { toJSON: 'no function' }];
  for (const value of plain) assert.equal(show(value), 'same');
  assert.equal(show(runInNewContext('({ list: [1, { a: null }] })')), 'same');
});

test('properties that are undefined are left out, and instances of a class become plain objects', () => {
  for (const value of [
    { a: undefined },
    [{ b: { c: undefined } }],
    new Point(1),
    { at: new Point(1) },
    runInNewContext('({ a: undefined })'),
  ])
    assert.equal(show(value), 'trimmed');
});

test('a value that JSON changes is found, with its path', () => {
  const cases: readonly (readonly [unknown, string])[] = [
    [new Date(0), ': a Date is not JSON'],
    [{ a: { at: new Date(0) } }, 'a.at: a Date is not JSON'],
    [runInNewContext('({ at: new Date(0) })'), 'at: a Date is not JSON'],
    [[new Map()], '0: a Map is not JSON'],
    [{ tags: new Set() }, 'tags: a Set is not JSON'],
    [{ bytes: Buffer.from('x') }, 'bytes: a Buffer is not JSON'],
    [{ bytes: new Uint8Array(1) }, 'bytes: a Uint8Array is not JSON'],
    [new ArrayBuffer(1), ': an ArrayBuffer is not JSON'],
    [[1, undefined], '1: undefined is not JSON'],
    // oxlint-disable-next-line no-sparse-arrays -- the hole is the case
    [[1, , 3], '1: undefined is not JSON'],
    [{ n: 1n }, 'n: a BigInt is not JSON'],
    [{ n: Number.NaN }, 'n: NaN is not JSON, which has null in its place'],
    [Number.POSITIVE_INFINITY, ': Infinity is not JSON, which has null in its place'],
    [{ f: () => 1 }, 'f: a function is not JSON'],
    [{ s: Symbol('s') }, 's: a symbol is not JSON'],
    [{ url: new URL('http://localhost') }, 'url: a URL is not JSON'],
    [new Error('x'), ': an Error is not JSON'],
    [/x/, ': a RegExp is not JSON'],
    [Promise.resolve(), ': a Promise is not JSON'],
    [{ price: new Money(5n) }, 'price: a Money with toJSON() is not what JSON makes of it'],
    [cycle, 'self.again.0: a cycle is not JSON'],
  ];
  for (const [value, problem] of cases) assert.equal(show(value), problem);
});

test('a value that is nested deeper than the stack allows is left to JSON', () => {
  let deep: unknown = new Date(0);
  for (let level = 0; level < 20_000; level += 1) deep = [deep];
  assert.equal(show(deep), 'same');
});
