/** Deeper values are left to JSON itself, which fails if its stack overflows. */
const MAX_DEPTH = 1_000;

/** What a value is as JSON: the same, the same without some properties (`undefined`) or as plain objects, or another value. */
export type JsonCheck = 'same' | 'trimmed' | JsonProblem;

/** The first part of a value that JSON would change. */
export interface JsonProblem {
  readonly path: readonly (string | number)[];
  /** What it is and what to pass instead: `a Date is not JSON; pass …`. */
  readonly problem: string;
}

/** What to pass in place of an object that JSON changes, by its tag. */
const INSTEAD: Readonly<Record<string, string>> = {
  Date: 'pass date.toISOString(), and declare z.iso.datetime() or a codec to z.date()',
  Map: 'pass its entries, and declare an array or a codec to z.map()',
  Set: 'pass an array, and declare z.array() or a codec to z.set()',
  URL: 'pass its href, and declare z.url() or a codec',
  RegExp: 'pass its source as a string',
  Error: 'pass its message as a string',
};
const BYTES = 'pass base64 text, and declare z.base64() or a codec to Uint8Array';

/**
 * Compares a value with what JSON makes of it. Reads tags, not classes: a value may come from another realm (a test runner's sandbox).
 * Tolerates `undefined` properties, which JSON leaves out, and instances of classes without `toJSON`, which it makes plain objects.
 */
export function checkJson(value: unknown): JsonCheck {
  const found = problemOf(value, []);
  return typeof found === 'string' ? found : { path: found.path.toReversed(), problem: found.problem };
}

interface Found {
  readonly path: (string | number)[];
  readonly problem: string;
}

/** Returns the path from the inside out. @param above the objects around the value */
function problemOf(value: unknown, above: object[]): 'same' | 'trimmed' | Found {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return 'same';
    case 'number':
      return Number.isFinite(value) ? 'same' : problem(`${value} is not JSON, which has null in its place`);
    case 'bigint':
      return problem('a BigInt is not JSON; pass its text, and declare z.string() or a codec to z.bigint()');
    case 'undefined':
      return problem('undefined is not JSON; pass null');
    case 'object':
      if (value === null || above.length > MAX_DEPTH) return 'same';
      return above.includes(value) ? problem('a cycle is not JSON') : ofMembers(value, above);
    default:
      return problem(`a ${typeof value} is not JSON`);
  }
}

function ofMembers(value: object, above: object[]): ReturnType<typeof problemOf> {
  above.push(value);
  const found = Array.isArray(value) ? ofArray(value, above) : ofObject(value, above);
  above.pop();
  return found;
}

function ofArray(values: readonly unknown[], above: object[]): ReturnType<typeof problemOf> {
  let check: 'same' | 'trimmed' = 'same';
  // By index, because an iteration of a sparse array's entries skips its holes, which JSON fills with null.
  for (let index = 0; index < values.length; index += 1) {
    const found = problemOf(values[index], above);
    if (found === 'trimmed') check = found;
    else if (found !== 'same') return within(found, index);
  }
  return check;
}

function ofObject(value: object, above: object[]): ReturnType<typeof problemOf> {
  const tag = Object.prototype.toString.call(value).slice('[object '.length, -1);
  if (ArrayBuffer.isView(value) || tag === 'ArrayBuffer') return problem(`${withArticle(nameOf(value, tag))} is not JSON; ${BYTES}`);
  if (tag !== 'Object') return problem(`${withArticle(tag)} is not JSON${INSTEAD[tag] === undefined ? '' : `; ${INSTEAD[tag]}`}`);
  if ('toJSON' in value && typeof value.toJSON === 'function')
    return problem(`${withArticle(nameOf(value, tag))} with toJSON() is not what JSON makes of it; pass the result of toJSON()`);
  const prototype: unknown = Object.getPrototypeOf(value);
  let check: 'same' | 'trimmed' = prototype === null || Object.getPrototypeOf(prototype) === null ? 'same' : 'trimmed';
  for (const key of Object.keys(value)) {
    const member = (value as Record<string, unknown>)[key];
    const found = member === undefined ? 'trimmed' : problemOf(member, above);
    if (found === 'trimmed') check = found;
    else if (found !== 'same') return within(found, key);
  }
  return check;
}

function problem(text: string): Found {
  return { path: [], problem: text };
}

function within(found: Found, key: string | number): Found {
  found.path.push(key);
  return found;
}

function nameOf(value: object, tag: string): string {
  const name = (value.constructor as { name?: unknown } | undefined)?.name;
  return typeof name === 'string' && name !== '' ? name : tag;
}

function withArticle(noun: string): string {
  return `${/^[AEIOU]/.test(noun) && !noun.startsWith('U') ? 'an' : 'a'} ${noun}`;
}
