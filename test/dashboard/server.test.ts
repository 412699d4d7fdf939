import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, type Socket, connect } from 'node:net';
import { after, test } from 'node:test';
import { LOCAL } from '../../dashboard/auth/authenticate.js';
import { DashboardServer } from '../../dashboard/server.js';
import { isFleetError } from '../../shared/errors.js';
import { resolveSettings } from '../../shared/settings/settings.js';
import { deferred } from '../support/deferred.js';
import { LogLines } from '../support/fleet/log-lines.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { until } from '../support/until.js';
import { rawRequest, statusOf } from './http/raw-request.js';
import { TestDashboard } from './test-dashboard.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const OPEN = { apiTokens: [] } as const;
const serverWith = (settings: Parameters<typeof resolveSettings>[0], nextFreePort = false): DashboardServer =>
  new DashboardServer({ settings: resolveSettings(settings), producer: fleet.producer(), loggers: new LogLines().loggers, nextFreePort });
const refused = (pattern: RegExp) => (error: unknown) => isFleetError(error, 'INVALID_SETTINGS') && pattern.test(error.message);

test('without tokens the server admits local requests and logs a warning', async (t) => {
  const dashboard = await TestDashboard.start(fleet.producer(), OPEN);
  t.after(() => dashboard.stop());
  const { name, role, items, via } = LOCAL;
  assert.deepEqual((await dashboard.send('GET', '/api/v1/me')).body, { name, role, items, via, csrf_token: null });
  assert.equal(dashboard.log.find(/No API_TOKENS or JWTs configured: local users have full access/).length, 1);
  assert.equal((await dashboard.send('GET', '/sign-in')).status, 404);
});

test('without tokens the server refuses a public address', async () => {
  for (const apiHost of ['0.0.0.0', '::', '10.0.0.1', 'fleet.example', '127.0.0.1.example', 'localhost.example']) {
    const server = serverWith({ ...OPEN, apiHost, apiPort: 0 });
    await assert.rejects(server.start(), refused(/^API_HOST: expected a loopback address without tokens or JWTs.*Set API_TOKENS/), apiHost);
    await server.stop();
  }
});

test('without tokens the server refuses remote and forwarded requests', async (t) => {
  const dashboard = await TestDashboard.start(fleet.producer(), OPEN);
  t.after(() => dashboard.stop());
  const { port } = dashboard;
  const status = async (headers: Record<string, string>, method = 'POST'): Promise<number> =>
    (await dashboard.send(method, '/api/v1/tasks/nobody/stop', { headers })).status;
  for (const Host of ['127.0.0.1', `localhost:${port}`, `[::1]:${port}`, `127.0.0.1:${port}`])
    assert.equal(await status({ Host }), 404, Host);
  // DNS rebinding, a proxy, and cross-site pages.
  for (const Host of [
    'evil.example',
    `evil.example:${port}`,
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '127.0.0.1:1@evil.example',
    '0.0.0.0',
  ])
    assert.equal(await status({ Host }), 403, Host);
  assert.equal(statusOf(await rawRequest(port, 'GET /api/v1/me HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n')), 403);
  assert.equal(statusOf(await rawRequest(port, 'GET /api/v1/me HTTP/1.0\r\n\r\n')), 403);
  for (const name of ['Forwarded', 'X-Forwarded-For', 'X-Real-IP', 'Via']) assert.equal(await status({ [name]: '203.0.113.1' }), 403, name);
  for (const Origin of ['https://evil.example', 'null', 'http://127.0.0.1:1', `https://evil.example:${port}`])
    assert.equal(await status({ Origin }), 403, Origin);
  for (const site of ['cross-site', 'same-site']) assert.equal(await status({ 'Sec-Fetch-Site': site }), 403, site);
  assert.equal(await status({ Origin: `http://127.0.0.1:${port}`, 'Sec-Fetch-Site': 'same-origin' }), 404);
  assert.equal((await dashboard.send('GET', '/api/v1/tasks', { headers: { Host: 'evil.example' } })).status, 403, 'reads too');
});

test('with tokens the server may listen on a public address', async (t) => {
  const dashboard = await TestDashboard.start(fleet.producer(), { apiHost: '0.0.0.0' });
  t.after(() => dashboard.stop());
  assert.match(dashboard.url, /^http:\/\/0\.0\.0\.0:\d+$/);
  assert.equal(
    (await dashboard.send('GET', '/api/v1/me', { token: dashboard.tokens.viewer, headers: { Host: 'fleet.example' } })).status,
    200,
  );
});

test('bad tokens prevent the start, and the error lists each of them', async () => {
  const server = serverWith({ apiPort: 0, apiTokens: ['ada:boss:00', 'eve:viewer:zz'], jwtIssuer: 'i' });
  await assert.rejects(server.start(), refused(/entry ada[^]*entry eve[^]*API_JWT_AUDIENCE/));
});

test('a port in use is an error, or the next free port is used', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  t.after(() => other.close());
  const { port } = other.address() as AddressInfo;
  await assert.rejects(
    serverWith({ ...OPEN, apiPort: port }).start(),
    refused(new RegExp(`^API_PORT: expected a free port, but ${port} is in use by .+ \\(pid ${process.pid}\\)\\.$`)),
  );
  const next = serverWith({ ...OPEN, apiPort: port }, true);
  await next.start();
  t.after(() => next.stop());
  const taken = Number(new URL(next.url).port);
  assert.ok(taken > port && taken <= port + 20);
});

test('repeated starts and stops have no further effect', async () => {
  const server = serverWith({ ...OPEN, apiPort: 0 });
  await Promise.all([server.start(), server.start()]);
  const { url } = server;
  await Promise.all([server.stop(), server.stop()]);
  await assert.rejects(fetch(`${url}/livez`));
  await assert.rejects(server.start(), (error) => isFleetError(error, 'CLOSED'));
});

test('a request in progress during the stop is answered, and its connection closed', async () => {
  const producer = fleet.producer();
  const [asked, answer] = [deferred(), deferred()];
  const ping = producer.ping.bind(producer);
  // Long enough for the test to fail if the stop waited for it.
  const dashboard = await TestDashboard.start(producer, { ...OPEN, shutdownTimeoutMs: 3_600_000 });
  producer.ping = async () => {
    asked.resolve();
    await answer.promise;
    await ping();
  };
  const idle = connect(dashboard.port, '127.0.0.1');
  await once(idle, 'connect');
  const idleClosed = once(idle, 'close');
  const reply = rawRequest(dashboard.port, 'GET /api/tasks HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n');
  await asked.promise;
  const stopped = dashboard.stop();
  answer.resolve();
  assert.equal(statusOf(await reply), 200);
  idle.end();
  await Promise.all([stopped, idleClosed]);
});

test('a request that never ends is cut off after SHUTDOWN_TIMEOUT_MS', async () => {
  const dashboard = await TestDashboard.start(fleet.producer(), { shutdownTimeoutMs: 50 });
  const answer = rawRequest(
    dashboard.port,
    'POST /sign-in HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 50\r\n\r\ntoken=',
  );
  await dashboard.send('GET', '/livez');
  await dashboard.stop();
  assert.equal(statusOf(await answer), 0);
});

test('a well-formed X-Request-Id is kept, a malformed one replaced', async (t) => {
  const dashboard = await TestDashboard.start(fleet.producer(), OPEN);
  t.after(() => dashboard.stop());
  const idFor = async (id: string): Promise<unknown> =>
    (await dashboard.send('GET', '/nowhere', { headers: { 'X-Request-Id': id } })).headers['x-request-id'];
  assert.equal(await idFor('0af7651916cd43dd8448eb211c80319c'), '0af7651916cd43dd8448eb211c80319c');
  for (const odd of ['short', 'a'.repeat(65), 'has spaces in it', '{"a":"b","c":1}', '<script>alert(1)</script>'])
    assert.match((await idFor(odd)) as string, /^[0-9a-f-]{36}$/);
  const { body, headers } = await dashboard.send('GET', '/nowhere');
  assert.equal((body as { request_id: string }).request_id, headers['x-request-id']);
});

test('the content security policy forbids other origins, frames and inline scripts', async (t) => {
  const dashboard = await TestDashboard.start(fleet.producer());
  t.after(() => dashboard.stop());
  const { headers } = await dashboard.send('GET', '/sign-in');
  assert.equal(
    headers['content-security-policy'],
    "default-src 'self';img-src 'self' data:;base-uri 'none';object-src 'none';form-action 'self';frame-ancestors 'none'",
  );
  assert.deepEqual(
    [headers['x-frame-options'], headers['x-content-type-options'], headers['referrer-policy'], headers['x-powered-by']],
    ['DENY', 'nosniff', 'same-origin', undefined],
  );
  assert.equal(headers['strict-transport-security'], undefined);
});

test('connections over the limit of an address are closed; other connections are answered', async (t) => {
  const dashboard = await TestDashboard.start(fleet.producer(), { apiConnectionLimit: 3, apiHost: '0.0.0.0' });
  t.after(() => dashboard.stop());
  const open = async (localAddress: string): Promise<Socket> => {
    const socket = connect({ port: dashboard.port, host: '127.0.0.1', localAddress });
    socket.on('error', () => undefined);
    t.after(() => socket.destroy());
    await once(socket, 'connect');
    return socket;
  };
  const held = await Promise.all([1, 2, 3].map(() => open('127.0.0.1')));
  // The three requests are answered only once all have arrived; the next connection is over the limit.
  for (let n = 0; n < 20; n += 1) {
    const oneTooMany = await open('127.0.0.1');
    await once(oneTooMany.resume(), 'close');
  }
  const other = await open('127.0.0.2');
  other.write('GET /livez HTTP/1.1\r\nHost: a\r\n\r\n');
  const [answer] = (await once(other, 'data')) as [Buffer];
  assert.match(answer.toString(), /^HTTP\/1\.1 200 /);
  assert.equal(dashboard.log.find(/^Too many connections from one address/).length, 1);
  held[0]?.destroy();
  await until(
    async () => (await fetch(`http://127.0.0.1:${dashboard.port}/livez`).catch(() => null))?.status,
    (status) => status === 200,
  );
});

test('a trusted proxy has no connection limit', async (t) => {
  const dashboard = await TestDashboard.start(fleet.producer(), { apiConnectionLimit: 1, apiTrustProxy: ['loopback'] });
  t.after(() => dashboard.stop());
  for (let n = 0; n < 5; n += 1) {
    const socket = connect(dashboard.port, '127.0.0.1');
    t.after(() => socket.destroy());
    await once(socket, 'connect');
  }
  assert.equal((await dashboard.send('GET', '/livez')).status, 200);
});
