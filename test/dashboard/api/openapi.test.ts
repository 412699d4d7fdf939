import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ROUTES } from '../../../dashboard/api/api.js';
import { ERROR_CODES, type ErrorCode } from '../../../shared/errors.js';
import { STATUS_OF, isApiCode } from '../../../shared/http-status.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { type ServedApi, send, serveApi } from './serve-api.js';

interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly { name: string; in: string; required: boolean; schema: unknown }[];
  readonly responses: Record<string, { description: string; content?: Record<string, { schema: unknown }> }>;
  readonly requestBody?: { content: Record<string, { schema: unknown }> };
}

interface Document {
  readonly openapi: string;
  readonly info: { title: string; version: string };
  readonly servers: readonly { url: string }[];
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: Record<string, Record<string, unknown>>;
}

const fleet = await TestFleet.start();
let api: ServedApi;
let document: Document;
before(async () => {
  api = await serveApi({ producer: fleet.producer() });
  document = (await send(api.port, 'GET', '/openapi.json')).body as Document;
});
after(async () => {
  await api.close();
  await fleet.stop();
});

const operations = (): (readonly [path: string, method: string, operation: Operation])[] =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [path, method, operation] as const),
  );

test('the document has a title and a version', () => {
  assert.match(document.openapi, /^3\.1\.\d$/);
  assert.ok(document.info.title && document.info.version);
  assert.deepEqual(document.servers, [{ url: '/' }]);
});

test('the document has exactly the routes of the API', () => {
  const described = operations().map(([path, method]) => `${method} ${path}`);
  assert.deepEqual(described.toSorted(), ROUTES.map(({ method, path }) => `${method} /api/v1${path}`).toSorted());
  const ids = operations().map(([, , { operationId }]) => operationId);
  assert.equal(new Set(ids).size, ids.length);
});

test('every reference resolves', () => {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference = '']) => reference);
  assert.ok(references.length > 50);
  for (const reference of references) {
    const [root, ...steps] = reference.split('/');
    assert.equal(root, '#');
    assert.ok(
      steps.reduce<unknown>((part, step) => (part as Record<string, unknown> | undefined)?.[step], document),
      reference,
    );
  }
});

test('every part of a path is a parameter, and every response has a description and a schema', () => {
  for (const [path, method, { parameters = [], responses, requestBody }] of operations()) {
    const inPath = parameters.filter((one) => one.in === 'path');
    assert.deepEqual(
      inPath.map(({ name }) => name),
      [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name),
      path,
    );
    assert.ok(inPath.every(({ required }) => required));
    for (const { schema, name } of parameters) assert.ok(isSchema(schema), `${method} ${path} ${name}`);
    assert.ok(Object.keys(responses).some((status) => status.startsWith('2')));
    for (const [status, { description, content }] of Object.entries(responses)) {
      assert.ok(description, `${method} ${path} ${status}`);
      if (status !== '204') assert.ok(Object.keys(content ?? {}).length > 0, `${method} ${path} ${status}`);
      for (const { schema } of Object.values(content ?? {})) assert.ok(isSchema(schema), `${method} ${path} ${status}`);
    }
    if (requestBody) assert.ok(isSchema(requestBody.content['application/json']?.schema));
  }
});

test('every error that a route may answer is one of the catalogue, with a status', () => {
  for (const { errors } of ROUTES) for (const code of errors) assert.ok(code in ERROR_CODES && isApiCode(code), code);
  const codes = (document.components as { schemas: { Problem: { properties: { code: { enum: string[] } } } } }).schemas.Problem.properties
    .code.enum;
  for (const code of Object.keys(STATUS_OF) as ErrorCode[]) assert.ok(codes.includes(code));
});

test('the docs page loads from its own origin and has no inline script', async () => {
  const { status, text, headers } = await send(api.port, 'GET', '/docs');
  assert.equal(status, 200);
  assert.match(String(headers['content-security-policy']), /default-src 'self'/);
  assert.doesNotMatch(text, /https?:|<script>|<style|\son\w+=|style=/);
  const files = [...text.matchAll(/(?:src|href)="(docs\/[^"]+)"/g)].map(([, file = '']) => file);
  assert.equal(files.length, 3);
  for (const file of files) {
    const sent = await send(api.port, 'GET', `/${file}`);
    assert.equal(sent.status, 200, file);
    assert.match(String(sent.headers['content-type']), file.endsWith('.css') ? /^text\/css/ : /^text\/javascript/);
  }
  for (const file of ['index.html', 'swagger-initializer.js', '..%2fpackage.json', 'package.json'])
    assert.equal((await send(api.port, 'GET', `/docs/${file}`)).status, 404, file);
});

/** Returns whether a value could be a JSON Schema, checking its subschemas. */
function isSchema(schema: unknown): boolean {
  if (typeof schema !== 'object' || schema === null) return false;
  const { $ref: reference, type, properties = {}, items, enum: values, required = [] } = schema as Record<string, unknown>;
  if (reference !== undefined) return typeof reference === 'string';
  const types = [type ?? []].flat() as string[];
  return (
    types.every((one) => ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'].includes(one)) &&
    Object.values(properties as object).every((one) => isSchema(one)) &&
    (required as string[]).every((name) => name in (properties as object)) &&
    (items === undefined ? !types.includes('array') : isSchema(items)) &&
    (values === undefined || Array.isArray(values))
  );
}
