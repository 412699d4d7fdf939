import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { fleetCanary } from '../../../../index.js';
import type { Producer } from '../../../../producer/index.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { type SendOptions, type ServedApi, checkAnswer, send, serveApi } from '../serve-api.js';

const BODY_LIMIT = 65_536;
const fleet = await TestFleet.start();
const keyPrefix = fleet.newPrefix();
let producer: Producer;
let api: ServedApi;
let untouched: string[];

/** Returns a digest of every key in Redis, except audit and metrics. */
async function everything(): Promise<string[]> {
  const keys = (await fleet.client.keys(`${keyPrefix}:*`)).filter((key) => !/:dashboard:audit|:metrics:/.test(key)).toSorted();
  return Promise.all(
    keys.map(
      async (key) =>
        `${key} ${createHash('sha256')
          .update(await contentOf(key))
          .digest('hex')}`,
    ),
  );
}

/** DUMP depends on the order of a hash's fields, which a read may change. */
async function contentOf(key: string): Promise<Buffer | string> {
  if ((await fleet.client.type(key)) !== 'hash') return (await fleet.client.dumpBuffer(key)) ?? '';
  return JSON.stringify(Object.entries(await fleet.client.hgetall(key)).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

before(async () => {
  producer = fleet.producer({ keyPrefix });
  // Its input may be anything.
  const { definition } = new ScriptedTask('report.write');
  api = await serveApi({ producer, definitions: [definition], bodyLimit: BODY_LIMIT, streams: { maxStreams: 6 } });
  await producer.enqueue(fleetCanary, {}, { id: 'bystander', item: 'mine-1' });
  await producer.schedules.upsert('nightly', fleetCanary, {}, { every: 3_600_000 });
  // BullMQ writes a queue's metadata on first use.
  await producer.schedules.list();
  untouched = await everything();
});
after(async () => {
  assert.deepEqual(
    api.logged.filter((line) => !line.includes('Write denied')),
    [],
  );
  await api.close();
  await fleet.stop();
});

const JSON_TYPE = { 'content-type': 'application/json' };
const enqueue = JSON.stringify({ name: 'fleet.canary' });

const REQUESTS: readonly (readonly [what: string, method: string, path: string, options: SendOptions, status: number])[] = [
  ['a parent path', 'GET', '/tasks/..%2f..%2fapi%2ftasks', {}, 404],
  ['an unencoded parent path', 'GET', '/tasks/../../livez', {}, 404],
  ['a parent path with a backslash', 'GET', '/tasks/..%5cbystander', {}, 404],
  ['a NUL', 'GET', '/tasks/bystander%00', {}, 400],
  ['a line break', 'POST', '/tasks/a%0d%0aSet-Cookie:%20x=1/stop', {}, 404],
  ["a queue's own key", 'POST', '/tasks/active/stop', {}, 404],
  ["a scheduler's key", 'POST', '/tasks/repeat:nightly/stop', {}, 404],
  ['a key of another type', 'POST', '/tasks/bystander:lock/stop', {}, 404],
  ['a glob', 'POST', '/tasks/*/stop', {}, 404],
  ['a truncated character', 'GET', '/tasks/%c3', {}, 400],
  ['invalid percent-encoding', 'GET', '/tasks/%zz', {}, 400],
  ['a lone surrogate', 'GET', '/items/%ed%a0%80/tasks', {}, 400],
  ['a long id', 'GET', `/tasks/${'a'.repeat(8_000)}`, {}, 400],
  ['an item with an escape', 'POST', '/items/%1b%5b2J/stop', {}, 400],
  ['a long item', 'POST', `/items/${'a'.repeat(257)}/stop`, {}, 400],
  ['an unknown task', 'POST', '/tasks/unknown/stop', {}, 404],
  ['an unknown schedule', 'DELETE', '/schedules/unknown', {}, 404],
  ["one of the fleet's own schedules", 'DELETE', '/schedules/registry.reconcile', {}, 404],
  ['the prototype as a schedule', 'POST', '/schedules/__proto__/run', {}, 404],
  ['the prototype as a task', 'GET', '/tasks/__proto__', {}, 404],
  ['the constructor as a task', 'GET', '/tasks/constructor', {}, 404],
  ['the prototype in a body', 'POST', '/tasks', { text: '{"name":"fleet.canary","__proto__":{"id":"x"}}', headers: JSON_TYPE }, 400],
  [
    'the prototype deep in a body',
    'POST',
    '/tasks',
    { text: '{"name":"report.write","input":{"a":[{"\\u005f_proto__":{}}]}}', headers: JSON_TYPE },
    400,
  ],
  [
    'the constructor in a body',
    'POST',
    '/tasks',
    { text: '{"name":"fleet.canary","constructor":{"prototype":{"x":1}}}', headers: JSON_TYPE },
    400,
  ],
  ['a name from the prototype', 'POST', '/tasks', { json: { name: 'toString' } }, 400],
  ['the prototype in a query', 'GET', '/tasks?__proto__[x]=1', {}, 400],
  ['bad JSON', 'POST', '/tasks', { text: '{"name":', headers: JSON_TYPE }, 400],
  ['no JSON', 'POST', '/tasks', { text: 'fleet.canary', headers: JSON_TYPE }, 400],
  ['JSON twice', 'POST', '/tasks', { text: `${enqueue}${enqueue}`, headers: JSON_TYPE }, 400],
  ['a list', 'POST', '/tasks', { json: [{ name: 'fleet.canary' }] }, 400],
  ['null', 'POST', '/tasks/bystander/stop', { text: 'null', headers: JSON_TYPE }, 400],
  ['bytes that are not UTF-8', 'POST', '/tasks', { text: Buffer.from([0x22, 0xff, 0xfe, 0x22]), headers: JSON_TYPE }, 400],
  ['a reason that is an object', 'POST', '/tasks/bystander/stop', { json: { reason: { $ne: null } } }, 400],
  ['a long reason', 'POST', '/tasks/bystander/stop', { json: { reason: 'x'.repeat(501) } }, 400],
  ['a dry run as text', 'POST', '/items/mine-1/stop', { json: { dry_run: 'false' } }, 400],
  ['an unknown field of a stop', 'POST', '/items/mine-1/stop', { json: { dryRun: true } }, 400],
  ['a body for a route without fields', 'POST', '/schedules/nightly/run', { json: { input: {} } }, 400],
  ['an infinite number', 'POST', '/tasks', { text: '{"name":"fleet.canary","delay":1e999}', headers: JSON_TYPE }, 400],
  [
    'deep nesting',
    'POST',
    '/tasks',
    { text: `{"name":"fleet.canary","input":${'['.repeat(20_000)}${']'.repeat(20_000)}}`, headers: JSON_TYPE },
    400,
  ],
  ['a form', 'POST', '/tasks', { text: 'name=fleet.canary', headers: { 'content-type': 'application/x-www-form-urlencoded' } }, 415],
  ['text', 'POST', '/tasks', { text: enqueue, headers: { 'content-type': 'text/plain' } }, 415],
  ['no type', 'POST', '/tasks', { text: enqueue }, 415],
  ['another charset', 'POST', '/tasks', { text: enqueue, headers: { 'content-type': 'application/json; charset=utf-7' } }, 415],
  [
    'UTF-16',
    'POST',
    '/tasks',
    { text: Buffer.from(enqueue, 'utf16le'), headers: { 'content-type': 'application/json; charset=utf-16' } },
    415,
  ],
  [
    'another charset in a second parameter',
    'POST',
    '/tasks',
    { text: enqueue, headers: { 'content-type': 'application/json; a=b; charset=latin1' } },
    415,
  ],
  [
    'a body compressed with brotli',
    'POST',
    '/tasks',
    { text: brotliCompressSync(enqueue), headers: { ...JSON_TYPE, 'content-encoding': 'br' } },
    415,
  ],
  ['an unknown encoding', 'POST', '/tasks', { text: enqueue, headers: { ...JSON_TYPE, 'content-encoding': 'identity, gzip' } }, 415],
  ['the same field twice', 'POST', '/tasks', { text: '{"name":"fleet.canary","name":"unknown"}', headers: JSON_TYPE }, 400],
  ['an empty chunked body', 'POST', '/tasks', { text: '', headers: JSON_TYPE, chunked: true }, 400],
  ['a chunked body that is not JSON', 'POST', '/tasks', { text: '{"name":', headers: JSON_TYPE, chunked: true }, 400],
  ['an oversized chunked body', 'POST', '/tasks', { text: 'x'.repeat(BODY_LIMIT + 1), headers: JSON_TYPE, chunked: true }, 413],
  ['a compressed body', 'POST', '/tasks', { text: gzipSync(enqueue), headers: { ...JSON_TYPE, 'content-encoding': 'gzip' } }, 415],
  ['an oversized body', 'POST', '/tasks', { text: 'x'.repeat(BODY_LIMIT + 1), headers: JSON_TYPE }, 413],
  [
    'an oversized Content-Length',
    'POST',
    '/tasks',
    { text: enqueue, headers: { ...JSON_TYPE, 'content-length': BODY_LIMIT * 1_000 } },
    413,
  ],
  ['an unknown path', 'GET', '/admin', {}, 404],
  ['a path in capitals', 'GET', '/TASKS', {}, 404],
  ['a trailing slash', 'GET', '/tasks/', {}, 404],
  ['no item', 'POST', '/items//stop', {}, 404],
  ['another method', 'DELETE', '/tasks/bystander', {}, 405],
  ['another method with a body', 'PATCH', '/tasks', { json: {} }, 405],
  [
    'a role in a header',
    'POST',
    '/tasks/bystander/stop',
    { as: 'viewer', headers: { 'x-role': 'admin', 'x-http-method-override': 'GET' } },
    403,
  ],
  ['a method in the query', 'GET', '/tasks/bystander/stop?_method=POST', {}, 405],
  ['a malformed event id', 'GET', '/tasks/bystander/events', { headers: { 'last-event-id': '1-1\\n' } }, 400],
  ['the end of a range as an event', 'GET', '/tasks/bystander/events?after=%2B', {}, 400],
  ['a model with a line break', 'PUT', '/usage/a%0ab/s', {}, 400],
  ['an excessive number of minutes', 'GET', '/stats?minutes=1000000', {}, 400],
  ['a cursor with a script', 'GET', '/tasks?after=1-%27%5d%5d%20redis.call()&limit=1', {}, 200],
];

for (const [what, method, path, options, status] of REQUESTS) {
  test(`${what}: ${status}, without changes`, async () => {
    const sent = await api.send(method, path, options);
    assert.equal(sent.status, status, sent.text);
    assert.ok(sent.text.length < 2_000, `${sent.text.length} characters`);
    if (status === 405) assert.match(String(sent.headers.allow), /GET|POST/);
    assert.equal(({} as Record<string, unknown>)['x'], undefined);
    assert.deepEqual(await everything(), untouched);
  });
}

test('an endless body is refused as soon as it exceeds the limit', async () => {
  const outgoing = request({ port: api.port, host: '127.0.0.1', method: 'POST', path: '/api/v1/tasks', headers: JSON_TYPE, agent: false });
  outgoing.on('error', () => undefined);
  outgoing.write('x'.repeat(BODY_LIMIT));
  outgoing.write('xx');
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  assert.equal(response.statusCode, 413);
  outgoing.destroy();
});

test('a body that does not arrive times out', async (t) => {
  // The limit would hit ordinary requests on a busy machine.
  const hasty = await serveApi({ producer, bodyTimeoutMs: 50 });
  t.after(() => hasty.close());
  const outgoing = request({
    port: hasty.port,
    host: '127.0.0.1',
    method: 'POST',
    path: '/api/v1/tasks',
    headers: { ...JSON_TYPE, 'content-length': 100 },
    agent: false,
  });
  outgoing.on('error', () => undefined);
  outgoing.write('{"name":');
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  const got = await text(response);
  checkAnswer('POST', '/api/v1/tasks', { status: response.statusCode ?? 0, headers: response.headers, text: got, body: JSON.parse(got) });
  assert.deepEqual([response.statusCode, response.headers.connection], [408, 'close']);
});

test('a body that ends early changes nothing', async () => {
  const socket = connect(api.port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write('POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"name"');
  socket.end();
  socket.resume();
  await once(socket, 'close');
  assert.deepEqual(await everything(), untouched);
});

test('streams over the limit get 429, and open streams continue', async () => {
  const path = '/api/v1/events';
  const open = async (as: string): Promise<IncomingMessage> => {
    const outgoing = request({ port: api.port, host: '127.0.0.1', path, headers: { 'x-as': as }, agent: false }).end();
    outgoing.on('error', () => undefined);
    return ((await once(outgoing, 'response')) as [IncomingMessage])[0].on('error', () => undefined);
  };
  const first = await Promise.all(Array.from({ length: 10 }, () => open('viewer')));
  const statuses = first.map(({ statusCode }) => statusCode);
  assert.deepEqual([statuses.filter((status) => status === 200).length, statuses.filter((status) => status === 429).length], [3, 7]);
  assert.ok(first.find(({ statusCode }) => statusCode === 429)?.headers['retry-after']);
  const others = await Promise.all(Array.from({ length: 5 }, () => open('operator')));
  assert.equal(others.filter(({ statusCode }) => statusCode === 200).length, 3);
  assert.equal((await send(api.port, 'GET', path, { as: 'admin' })).status, 429);
  for (const response of [...first, ...others]) response.destroy();
  // Closed streams free their slots.
  for (let status: number | undefined = 429; status === 429;) {
    const again = await open('viewer');
    status = again.statusCode;
    again.destroy();
  }
  assert.deepEqual(await everything(), untouched);
});
