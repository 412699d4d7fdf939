import { z } from 'zod';
import type { AnyDefinition } from '../../../shared/task/definition.js';
import { shardsOf } from '../../../shared/task/shards.js';
import { type Route, defineRoute } from '../route.js';

const definitions = z
  .strictObject({
    definitions: z.array(
      z.strictObject({
        name: z.string(),
        queue: z.string(),
        shards: z.int().min(1).meta({ description: 'Number of BullMQ queues that share its tasks: `chat`, `chat.shard-1`, …' }),
        input: z.record(z.string(), z.unknown()).meta({ description: 'JSON Schema of the input; `{}` if it cannot be expressed.' }),
        attempts: z.int().min(1),
        timeout_ms: z.number().nullable(),
      }),
    ),
  })
  .meta({ id: 'Definitions' });

const list = defineRoute({
  method: 'get',
  path: '/definitions',
  role: 'viewer',
  operation: 'listDefinitions',
  summary: 'List the tasks that can be enqueued',
  replies: { 200: { about: 'Definitions, sorted by name.', schema: definitions } },
  handle: ({ api }) => Promise.resolve({ status: 200, body: { definitions: api.definitions.list().map(definitionToJson) } }),
});

function definitionToJson(definition: AnyDefinition): Record<string, unknown> {
  const { name, queue, retry, timeoutMs } = definition;
  return {
    name,
    queue,
    shards: shardsOf(definition).length,
    input: inputSchemaOf(definition),
    attempts: retry.attempts,
    timeout_ms: timeoutMs,
  };
}

const schemas = new WeakMap<AnyDefinition, Record<string, unknown>>();

function inputSchemaOf(definition: AnyDefinition): Record<string, unknown> {
  const known = schemas.get(definition);
  if (known) return known;
  const made = toJsonSchema(definition.input);
  schemas.set(definition, made);
  return made;
}

/** Converts a schema; `{}` if it is from another zod version or JSON Schema cannot express it. */
function toJsonSchema(schema: z.ZodType): Record<string, unknown> {
  try {
    return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  } catch {
    return {};
  }
}

export const definitionRoutes: readonly Route[] = [list];
