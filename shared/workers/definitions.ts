import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { AnyDefinition } from '../task/definition.js';

/**
 * A definition as JSON, for comparison: the values of its options and hashes of its schemas. Of a function, such as the key of a limit,
 * only its presence shows.
 */
export type DefinitionSummary = Readonly<Record<string, unknown>> & { readonly name: string };

const FUNCTION = '(function)';
const DIGEST_LENGTH = 12;

/** Summarizes a definition, its fields in alphabetical order. */
export function summaryOf(definition: AnyDefinition): DefinitionSummary {
  const { input, output, chunk, ...rest } = definition;
  const values = JSON.parse(
    JSON.stringify(rest, (_key, value: unknown) => (typeof value === 'function' ? FUNCTION : value)),
  ) as typeof rest;
  const hashes = {
    input: hashOfSchema(input, 'input'),
    output: output && hashOfSchema(output, 'output'),
    chunk: chunk && hashOfSchema(chunk, 'output'),
  };
  return sorted({ ...values, ...hashes }) as DefinitionSummary;
}

/** Returns the digest of a summary: equal for equal definitions. */
export function digestOf(summary: DefinitionSummary): string {
  return hashOf(JSON.stringify(summary));
}

/** Hashes the JSON Schema of a schema, which custom checks do not affect; null if JSON Schema cannot represent it. */
export function hashOfSchema(schema: z.ZodType, io: 'input' | 'output'): string | null {
  try {
    return hashOf(JSON.stringify(z.toJSONSchema(schema, { io, unrepresentable: 'any' })));
  } catch {
    return null;
  }
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, DIGEST_LENGTH);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, each]) => [name, sorted(each)]),
  );
}
