import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { defineTask } from '../../../../shared/task/definition.js';
import { hasCodec, problemOfInput, problemOfOutput } from '../../../../shared/task/payload/payload-schema.js';

const isoDate = z.codec(z.iso.datetime(), z.date(), { decode: (text) => new Date(text), encode: (date) => date.toISOString() });
const tree = z.object({
  at: isoDate,
  get branches() {
    return z.array(tree).optional();
  },
});

const start = (problem: string | null): string | null => problem && (problem.split(';')[0] as string);

test('a schema of values that JSON cannot carry is found, with its path', () => {
  const cases: readonly (readonly [z.ZodType, string])[] = [
    [z.date(), 'z.date() is not JSON'],
    [z.object({ at: z.date() }), 'at: z.date() is not JSON'],
    [z.object({ list: z.array(z.object({ at: z.date().optional() })) }), 'list[].at: z.date() is not JSON'],
    [z.record(z.string(), z.bigint()), '{}: z.bigint() is not JSON'],
    [z.tuple([z.string(), z.date()]), '[1]: z.date() is not JSON'],
    [z.object({ either: z.union([z.string(), z.date()]) }), 'either: z.date() is not JSON'],
    [z.intersection(z.object({ a: z.string() }), z.object({ b: z.date() })), 'b: z.date() is not JSON'],
    [z.object({ at: z.date().default(() => new Date(0)) }), 'at: z.date() is not JSON'],
    [z.object({ at: z.lazy(() => z.date()) }), 'at: z.date() is not JSON'],
    [z.object({ map: z.map(z.string(), z.string()) }), 'map: z.map() is not JSON'],
    [z.set(z.string()), 'z.set() is not JSON'],
    [z.literal(1n), 'z.literal() is not JSON'],
    [z.codec(z.date(), z.string(), { decode: String, encode: (text) => new Date(text) }), 'z.date() is not JSON'],
    [z.object({ file: z.file() }), 'file: z.file() is not JSON'],
  ];
  for (const [schema, problem] of cases) {
    assert.equal(start(problemOfInput(schema)), problem);
    assert.equal(start(problemOfOutput(schema)), problem);
  }
});

test('codecs, coercions, preprocessing and types that JSON has are accepted', () => {
  const fine = [
    isoDate,
    tree,
    z.stringbool(),
    z.coerce.date(),
    z.object({ n: z.coerce.bigint() }),
    z.json(),
    z.unknown(),
    z.void(),
    z.null(),
  ];
  for (const schema of [...fine, z.object({ at: z.preprocess((value) => new Date(value as string), z.object({ on: z.date() })) })])
    assert.deepEqual([problemOfInput(schema), problemOfOutput(schema)], [null, null]);
});

test('an input may be transformed, but not an output, which readers could not type', () => {
  const length = z.object({ text: z.string().transform((text) => text.length) });
  assert.equal(problemOfInput(length), null);
  assert.match(problemOfOutput(length) ?? '', /^text: a transform cannot be undone/);
  assert.equal(problemOfOutput(z.string().trim()), null);
  const mixed = z.object({ at: isoDate, raw: z.preprocess(String, z.string()) });
  assert.match(problemOfOutput(mixed) ?? '', /^raw: a transform cannot be undone/);
});

test('a definition with such a schema is refused, with what to declare', () => {
  const input = z.object({ at: z.date() });
  assert.throws(() => defineTask({ name: 'report.write', input }), {
    code: 'INVALID_DEFINITION',
    message:
      'Bad task definition "report.write": input: at: z.date() is not JSON; declare z.iso.datetime(), or z.codec(z.iso.datetime(), z.date(), ' +
      '{ decode: (text) => new Date(text), encode: (date) => date.toISOString() }).',
  });
  const any = z.object({});
  for (const [field, given] of Object.entries({ output: { output: input }, chunk: { chunk: input } }))
    assert.throws(() => defineTask({ name: 'a.b', input: any, ...given }), new RegExp(`definition "a\\.b": ${field}: at: z\\.date`));
});

test('a codec at either end of a pipe is found', () => {
  for (const schema of [
    isoDate,
    z.string().pipe(isoDate),
    isoDate.pipe(z.date()),
    z.object({ at: z.string().pipe(isoDate).optional() }),
    tree,
  ])
    assert.equal(hasCodec(schema), true);
  for (const schema of [z.string().pipe(z.string()), z.string().transform(Number), z.preprocess(String, z.string()), z.json()])
    assert.equal(hasCodec(schema), false);
});
