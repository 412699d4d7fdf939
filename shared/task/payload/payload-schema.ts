import { z } from 'zod';

/** What to declare in place of a type that JSON does not have. */
const INSTEAD: Readonly<Record<string, string>> = {
  date: 'declare z.iso.datetime(), or z.codec(z.iso.datetime(), z.date(), { decode: (text) => new Date(text), encode: (date) => date.toISOString() })',
  bigint: 'declare z.string(), or z.codec(z.string(), z.bigint(), { decode: (text) => BigInt(text), encode: String })',
  map: 'declare z.record(), or a z.codec from an array of its entries',
  set: 'declare z.array(), or a z.codec from an array',
  nan: 'declare z.null()',
  symbol: 'declare z.string()',
  promise: 'declare its value',
  function: 'declare the data that it needs',
  file: 'declare z.base64(), or store the content elsewhere and pass a reference',
};
const ONE_WAY = 'a transform cannot be undone; declare a z.codec, which has both directions, or transform in the handler';

/** The parts of zod's own description of a schema that are read here. */
interface Def {
  readonly type: string;
  readonly coerce?: boolean;
  readonly values?: readonly unknown[];
  readonly in?: { readonly def: Def };
  readonly out?: { readonly def: Def };
  readonly reverseTransform?: unknown;
}

/**
 * Returns why JSON cannot carry the values of a schema, naming the path and what to declare; null if it can, as far as the schema tells
 * (`z.custom` and `z.instanceof` do not). What zod coerces or preprocesses may be declared: it accepts what JSON makes of such a value.
 */
export function problemOfInput(schema: z.ZodType): string | null {
  const parts = partsOf(schema);
  const accepting = parts.filter(({ def }) => isPreprocess(def)).map(({ path }) => path);
  for (const { path, def } of parts) {
    const wanted = def.coerce || accepting.some((start) => isWithin(path, start)) ? null : insteadOf(def);
    if (wanted !== null) return `${placeOf(path)}z.${def.type}() is not JSON; ${wanted}`;
  }
  return null;
}

/** As {@link problemOfInput}, for values that workers encode and readers decode: outputs and chunks. */
export function problemOfOutput(schema: z.ZodType): string | null {
  const parts = partsOf(schema);
  const oneWay = parts.find(
    ({ def }) => def.type === 'pipe' && (def.out?.def.type === 'transform' || (isPreprocess(def) && hasCodec(schema))),
  );
  return oneWay ? `${placeOf(oneWay.path)}${ONE_WAY}` : problemOfInput(schema);
}

const withCodec = new WeakMap<z.ZodType, boolean>();

/** Returns whether a schema has a codec, so that its values differ from the JSON that carries them. */
export function hasCodec(schema: z.ZodType): boolean {
  let known = withCodec.get(schema);
  // Both walks, because each follows one end of a pipe, and a codec may be at the other: `z.string().pipe(codec)`.
  known ??= [...partsOf(schema), ...partsOf(schema, 'output')].some(({ def }) => isCodec(def));
  withCodec.set(schema, known);
  return known;
}

interface Part {
  readonly path: readonly (string | number)[];
  readonly def: Def;
}

/** Returns the parts of a schema that JSON carries, by zod's own walk; none for a schema of another library or version. */
function partsOf(schema: z.ZodType, io: 'input' | 'output' = 'input'): Part[] {
  const parts: Part[] = [];
  try {
    z.toJSONSchema(schema, {
      io,
      unrepresentable: 'any',
      override: ({ zodSchema, path }) => {
        parts.push({ path, def: (zodSchema as unknown as { readonly def: Def }).def });
      },
    });
  } catch {
    return [];
  }
  return parts;
}

function isCodec(def: Def): boolean {
  return def.type === 'pipe' && typeof def.reverseTransform === 'function';
}

function isPreprocess(def: Def): boolean {
  return def.type === 'pipe' && def.in?.def.type === 'transform';
}

function insteadOf(def: Def): string | null {
  if (def.type === 'literal') return def.values?.some((value) => typeof value === 'bigint') ? (INSTEAD['bigint'] ?? null) : null;
  return Object.hasOwn(INSTEAD, def.type) ? (INSTEAD[def.type] ?? null) : null;
}

function isWithin(path: readonly unknown[], start: readonly unknown[]): boolean {
  return start.every((key, index) => path[index] === key);
}

/** Converts a path in the JSON schema to one in the value: `messages[].at: `; empty for the whole value. */
function placeOf(path: readonly (string | number)[]): string {
  let place = '';
  for (let index = 0; index < path.length; index += 1) {
    const key = path[index];
    if (key === 'properties') place += `${place === '' ? '' : '.'}${path[(index += 1)]}`;
    else if (key === 'items') place += '[]';
    else if (key === 'prefixItems') place += `[${path[(index += 1)]}]`;
    else if (key === 'additionalProperties') place += '{}';
    else if (key === 'anyOf' || key === 'oneOf' || key === 'allOf') index += 1;
  }
  return place === '' ? '' : `${place}: `;
}
