import { z } from 'zod';
import { ERROR_CODES, type ErrorCode } from '../../shared/errors.js';
import { statusOf } from '../../shared/http-status.js';
import type { Reply, Route } from './route.js';
import { problem } from './schemas/problem.js';

type JsonSchema = Record<string, unknown>;

/** Builds the JSON Schemas of a document. Schemas with an id become components and are referenced. */
class JsonSchemas {
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

export const API_PATH = '/api/v1';

/** Errors of every route. */
const COMMON_ERRORS: readonly ErrorCode[] = [
  'BAD_REQUEST',
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'TOO_MANY_REQUESTS',
  'REDIS_UNAVAILABLE',
  'REDIS_WRONG_TYPE',
  'REDIS_ERROR',
];
/** Errors of routes with a body. */
const BODY_ERRORS: readonly ErrorCode[] = ['REQUEST_TIMEOUT', 'BODY_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'];

const ABOUT = `Enqueue, list, follow and stop the tasks of a fleet. JSON is snake_case, times are ISO 8601, absent values null.

Errors are \`application/problem+json\` (RFC 9457), identified by \`code\`. Every response has \`X-Request-Id\`. Callers limited to
certain items get 404 for other tasks, and lists omit them.`;

export interface OpenApiDocument {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly components: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

interface Response {
  readonly description: string;
  readonly content?: Readonly<Record<string, { readonly schema: unknown }>>;
  readonly headers?: Readonly<Record<string, unknown>>;
}

/** Builds the OpenAPI document of these routes, with zod's JSON Schemas, the dialect of OpenAPI 3.1. */
export function describeRoutes(routes: readonly Route[]): OpenApiDocument {
  const schemas = new JsonSchemas();
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) (paths[API_PATH + route.path] ??= {})[route.method] = operationOf(route, schemas);
  return {
    openapi: '3.1.0',
    info: { title: 'taskfleet', version: '1', description: ABOUT },
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'One of `API_TOKENS`, a JWT, or an item token of `POST /tokens`.' },
      },
      schemas: schemas.components,
    },
  };
}

function operationOf(route: Route, schemas: JsonSchemas): Record<string, unknown> {
  const { path, operation, summary, description, role, itemTokens, body } = route;
  const [, noun = ''] = path.split('/');
  const parameters = parametersOf(route, schemas);
  return {
    ...{ operationId: operation, summary, tags: [noun] },
    description: `${description ?? ''}\n\nRole: ${role}.${itemTokens ? ' Accepts item tokens.' : ''}`.trim(),
    ...(parameters.length > 0 && { parameters }),
    ...(body && { requestBody: { content: { 'application/json': { schema: schemas.of(body, 'input') } } } }),
    responses: {
      ...Object.fromEntries(Object.entries(route.replies).map(([status, reply]) => [status, responseOf(reply, schemas)])),
      ...errorsOf(route, schemas),
    },
  };
}

function parametersOf({ params, query, headers }: Route, schemas: JsonSchemas): Record<string, unknown>[] {
  const places = [
    ['path', params],
    ['query', query],
    ['header', headers],
  ] as const;
  return places.flatMap(([place, schema]) =>
    (schema ? schemas.members(schema) : []).map(({ name, required, schema: { description, example, ...rest } }) => ({
      ...{ name, in: place, required: required || place === 'path' },
      ...(description !== undefined && { description }),
      ...(example !== undefined && { example }),
      schema: rest,
    })),
  );
}

function responseOf({ about, schema, type = 'application/json', events, streams, headers = {} }: Reply, schemas: JsonSchemas): Response {
  const ofEvents = Object.entries(events ?? {}).map(([name, data]) => [name, schemas.of(data, 'output')]);
  return {
    description: about,
    ...(schema && {
      content: {
        // OpenAPI 3.1 has no word for the events of a stream.
        [type]: { schema: schemas.of(schema, 'output'), ...(events && { 'x-events': Object.fromEntries(ofEvents) as JsonSchema }) },
        ...(streams && { [streams]: { schema: { type: 'string' } } }),
      },
    }),
    headers: Object.fromEntries(Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: 'string' } }])),
  };
}

function errorsOf({ errors, body }: Route, schemas: JsonSchemas): Record<string, Response> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of new Set([...COMMON_ERRORS, ...(body ? BODY_ERRORS : []), ...errors])) {
    const status = statusOf(code);
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      String(status),
      {
        description: codes.map((code) => `\`${code}\`: ${ERROR_CODES[code]}`).join('\n\n'),
        content: { 'application/problem+json': { schema: schemas.of(problem, 'output') } },
      },
    ]),
  );
}
