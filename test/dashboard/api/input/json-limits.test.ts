import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { problemOfShape } from '../../../../dashboard/api/read-body.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { freshApi } from '../fresh-api.js';
import type { ServedApi } from '../serve-api.js';

const fleet = await TestFleet.start();
let api: ServedApi;
freshApi(fleet, (fresh) => ({ api } = fresh));
after(() => fleet.stop());

const list = (length: number): string => `[${Array.from({ length }, () => '1').join(',')}]`;
const fields = (length: number): string => `{${Array.from({ length }, (_, n) => `"k${n}":1`).join(',')}}`;
const deep = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

test('a short body with too many values is refused before parsing', async () => {
  for (const [input, problem] of [
    [list(500_000), 'expected at most 100000 values'],
    [`[${Array.from({ length: 60_000 }, () => '{}').join(',')}]`, 'expected at most 100000 values'],
    [fields(60_000), 'expected at most 10000 fields in one object'],
    [deep(400_000), 'expected at most 100 levels of objects and arrays'],
    [`${'{"a":'.repeat(200)}1${'}'.repeat(200)}`, 'expected at most 100 levels of objects and arrays'],
  ] as const) {
    const text = `{"name":"fleet.canary","input":${input}}`;
    const { status, body } = await api.send('POST', '/tasks', { text, headers: { 'content-type': 'application/json' } });
    assert.deepEqual([status, (body as { detail: string }).detail], [400, `Bad body: ${problem}.`]);
  }
});

test('a string counts as one value, whatever its escapes', () => {
  for (const text of [
    '{"a":"[[[[{{{{,,,,::::"}',
    String.raw`{"a":"\"","b":"\\","c":"\\\"[[["}`,
    `"${'[{,:'.repeat(200_000)}"`,
    String.raw`"\\\\\\" `,
  ])
    assert.equal(problemOfShape(text), null);
  assert.equal(problemOfShape(`"${'\\\\'.repeat(10)}",${deep(101)}`), 'expected at most 100 levels of objects and arrays');
});

test('the limits themselves are allowed', () => {
  assert.deepEqual([deep(100), fields(10_000), list(99_999), '', '{', ']]]]', '"'].map(problemOfShape), [
    null,
    null,
    null,
    null,
    null,
    null,
    null,
  ]);
  assert.deepEqual(
    [deep(101), fields(10_001), list(100_002)].map((text) => problemOfShape(text) !== null),
    [true, true, true],
  );
});

test('a field named __proto__ is refused, escaped or not', async () => {
  for (const name of ['__proto__', String.raw`\u005f_proto__`, String.raw`__pro\u0074o__`]) {
    const { status, body } = await api.send('POST', '/tasks', {
      text: `{"name":"fleet.canary","input":{"${name}":{}}}`,
      headers: { 'content-type': 'application/json' },
    });
    assert.deepEqual([status, (body as { detail: string }).detail], [400, 'Bad body: expected no field named __proto__.'], name);
  }
});

test('an input with many problems lists the first of them', async () => {
  const input = Object.fromEntries(Array.from({ length: 9_000 }, (_, n) => [`k${n}`, n]));
  const { status, body } = await api.send('POST', '/tasks', { json: { name: 'fleet.canary', input } });
  assert.deepEqual([status, (body as { errors: unknown[] }).errors.length], [400, 20]);
});

test('JSON in UTF-8 is accepted under each of its names, chunked or not', async () => {
  const text = JSON.stringify({ name: 'fleet.canary' });
  for (const type of [
    'application/json',
    'Application/JSON; charset=UTF-8',
    'application/json; charset="utf8"',
    'application/merge-patch+json',
  ])
    for (const chunked of [false, true]) {
      const { status } = await api.send('POST', '/tasks', { text, chunked, headers: { 'content-type': type } });
      assert.equal(status, 202, type);
    }
});
