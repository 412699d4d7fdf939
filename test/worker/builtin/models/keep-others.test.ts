import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { entryOf, keepOthers } from '../../../../worker/builtin/models/merge.js';

type Fields = Record<string, unknown>;

/** Returns the entry of a listed model, merged with an earlier stored listing after `edit`. */
function refreshed(listing: Fields, before: Fields, edit: Fields, recorded: Fields | null = before): Fields {
  return keepOthers(entryOf('m', listing, 0), { ...entryOf('m', before, 0), ...edit }, recorded);
}

test('each field has one owner', () => {
  const cases: [what: string, listing: Fields, before: Fields, edit: Fields, expected: Fields][] = [
    ['a field of another stays', { id: 'm' }, { id: 'm' }, { info: 1 }, { info: 1 }],
    ['a field that the server changed is changed', { id: 'm', a: 2 }, { id: 'm', a: 1 }, {}, { a: 2 }],
    ['a field that the server dropped goes', { id: 'm' }, { id: 'm', a: 1 }, {}, { a: undefined }],
    ['a field that another changed stays as that has it', { id: 'm', a: 1 }, { id: 'm', a: 1 }, { a: 5 }, { a: 5 }],
    ["what both changed is the server's", { id: 'm', a: 2 }, { id: 'm', a: 1 }, { a: 5 }, { a: 2 }],
    ['what another changed and the server dropped stays', { id: 'm' }, { id: 'm', a: 1 }, { a: 5 }, { a: 5 }],
    ["a field of another that the server lists now is the server's", { id: 'm', info: 2 }, { id: 'm' }, { info: 1 }, { info: 2 }],
    ['a field that another has removed comes back', { id: 'm', a: 1 }, { id: 'm', a: 1 }, { a: undefined }, { a: 1 }],
    ['a name that another gave stays', { id: 'm' }, { id: 'm' }, { name: 'Ours' }, { name: 'Ours' }],
  ];
  for (const [what, listing, before, edit, expected] of cases) {
    const stored = JSON.parse(JSON.stringify({ ...entryOf('m', before, 0), ...edit })) as Fields;
    const merged: Fields = keepOthers(entryOf('m', listing, 0), stored, before);
    for (const [field, value] of Object.entries(expected)) assert.deepEqual(merged[field], value, what);
    assert.deepEqual(merged['openai'], listing, what);
  }
});

test("a refresh keeps others' fields, has all of the server's, and changes nothing the second time", () => {
  const value = fc.oneof(fc.integer({ max: 3, min: 0 }), fc.constant('x'), fc.constant({ n: 1 }));
  const listing = fc.dictionary(fc.constantFrom('a', 'b', 'tags', 'name', '__proto__'), value).map((fields) => ({ ...fields, id: 'm' }));
  const edit = fc.dictionary(fc.constantFrom('info', 'actions', 'filters'), value);
  fc.assert(
    fc.property(listing, listing, edit, fc.boolean(), (now, before, theirs, recorded) => {
      const merged = refreshed(now, before, theirs, recorded ? before : null);
      for (const [field, given] of Object.entries(theirs)) assert.deepEqual(merged[field], given);
      for (const [field, given] of Object.entries(now))
        assert.deepEqual(Object.getOwnPropertyDescriptor(merged, field)?.value, given, field);
      assert.deepEqual(keepOthers(entryOf('m', now, 0), merged, now), merged);
      const moved = keepOthers(entryOf('m', now, 3), merged, now);
      assert.deepEqual({ ...moved, urlIdx: 0 }, merged);
    }),
  );
});
