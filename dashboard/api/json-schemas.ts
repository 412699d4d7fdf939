import { z } from 'zod';

type JsonSchema = Record<string, unknown>;

/** Builds the JSON Schemas of a document. Schemas with an id become components and are referenced. */
export class JsonSchemas {
  readonly components: Record<string, JsonSchema> = {};

  /** @param io whether the schema describes requests or responses */
  of(schema: z.ZodType, io: 'input' | 'output'): JsonSchema {
    const {
      $schema: _,
      $defs = {},
      ...made
    } = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as JsonSchema & { $defs?: Record<string, JsonSchema> };
    for (const [id, definition] of Object.entries($defs)) this.components[id] ??= relocate(definition);
    const { id } = made;
    if (typeof id !== 'string') return relocate(made);
    this.components[id] ??= relocate(made);
    return { $ref: refTo(id) };
  }

  /** Returns the members of an object, each with whether it is required. */
  members(schema: z.ZodObject): { name: string; required: boolean; schema: JsonSchema }[] {
    return Object.entries(schema.shape).map(([name, member]) => ({
      name,
      required: !z.safeParse(member, undefined).success,
      schema: this.of(member as z.ZodType, 'input'),
    }));
  }
}

function refTo(id: string): string {
  return `#/components/schemas/${id}`;
}

/** Points references to the components and drops `id`, which is not a JSON Schema keyword. */
function relocate(schema: JsonSchema): JsonSchema {
  const { id: _, ...rest } = schema;
  return JSON.parse(JSON.stringify(rest), (key, value: unknown) => {
    if (key === '$ref' && typeof value === 'string') return value.replace('#/$defs/', refTo(''));
    return value;
  }) as JsonSchema;
}
