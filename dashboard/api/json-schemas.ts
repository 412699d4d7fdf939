import { z } from 'zod';

type JsonSchema = Record<string, unknown>;

/** Makes the JSON Schemas of a document; those whose schema has an id are written once, among its components, and referred to. */
export class JsonSchemas {
  readonly components: Record<string, JsonSchema> = {};

  /** @param io whether it is of what callers send or of what they get */
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

  /** The members of an object, one by one, with whether each must be there. */
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

/** With references to the components, and without ids: `id` is no word of JSON Schema. */
function relocate(schema: JsonSchema): JsonSchema {
  const { id: _, ...rest } = schema;
  return JSON.parse(JSON.stringify(rest), (key, value: unknown) => {
    if (key === '$ref' && typeof value === 'string') return value.replace('#/$defs/', refTo(''));
    return value;
  }) as JsonSchema;
}
