import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fleetCanary } from '../../../index.js';
import type { Producer } from '../../../producer/index.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { type Reply, TestDashboard } from '../test-dashboard.js';

const fleet = await TestFleet.start();
const APP = 'https://app.example';
let producer: Producer;
let dashboard: TestDashboard;

before(async () => {
  producer = fleet.producer();
  dashboard = await TestDashboard.start(producer, { apiCorsOrigins: [APP, 'http://localhost:3000'], apiRateLimit: 50 });
});
after(async () => {
  await dashboard.stop();
  await fleet.stop();
});

const allowedIn = ({ headers }: Reply): unknown => headers['access-control-allow-origin'];

test('a preflight of an allowed origin needs no credentials and names what the client uses', async () => {
  for (const path of ['/api/v1/tasks', '/api/v1/tasks/7/events', '/api/v1/tokens', '/api/v1/no/such/path']) {
    const { status, headers, text } = await dashboard.send('OPTIONS', path, {
      headers: { Origin: APP, 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'authorization,idempotency-key' },
    });
    assert.deepEqual([status, text], [204, '']);
    assert.deepEqual(
      [headers['access-control-allow-origin'], headers['access-control-allow-credentials'], headers['access-control-max-age']],
      [APP, 'true', '600'],
    );
    const allowed = (headers['access-control-allow-headers'] ?? '').toLowerCase().split(', ');
    for (const name of [
      'authorization',
      'content-type',
      'idempotency-key',
      'last-event-id',
      'if-none-match',
      'x-csrf-token',
      'traceparent',
      'baggage',
    ])
      assert.ok(allowed.includes(name), name);
    assert.equal(headers['access-control-allow-methods'], 'GET, HEAD, POST, PUT, DELETE');
    assert.match(String(headers.vary), /\bOrigin\b/);
  }
});

test('answers, errors and event streams of the API are readable by an allowed origin', async () => {
  const { id } = await producer.enqueue(fleetCanary, { run_ms: 1 });
  await producer.stop(id);
  const headers = { Origin: APP };
  const token = dashboard.tokens.operator;
  const replies: readonly (readonly [number, Reply])[] = [
    [200, await dashboard.send('GET', '/api/v1/me', { headers, token })],
    [200, await dashboard.send('GET', `/api/v1/tasks/${id}/events`, { headers, token })],
    [202, await dashboard.send('POST', '/api/v1/tasks', { headers, token, body: { name: 'fleet.canary', input: { run_ms: 1 } } })],
    [400, await dashboard.send('GET', '/api/v1/tasks/%zz', { headers, token })],
    [401, await dashboard.send('GET', '/api/v1/me', { headers })],
    [401, await dashboard.send('GET', '/api/v1/me', { headers, token: 'wrong' })],
    [403, await dashboard.send('GET', '/api/v1/audit', { headers, token })],
    [404, await dashboard.send('GET', '/api/v1/nothing', { headers, token })],
    [405, await dashboard.send('PUT', '/api/v1/me', { headers, token })],
  ];
  for (const [status, reply] of replies) {
    assert.deepEqual([reply.status, allowedIn(reply), reply.headers['access-control-allow-credentials']], [status, APP, 'true']);
    for (const name of ['Location', 'Retry-After', 'ETag', 'X-Request-Id', 'Date'])
      assert.match(String(reply.headers['access-control-expose-headers']), new RegExp(`\\b${name}\\b`));
    assert.match(String(reply.headers.vary), /\bOrigin\b/);
  }
  let reply = replies[0]?.[1] as Reply;
  for (let n = 0; n < 60 && reply.status !== 429; n += 1) reply = await dashboard.send('GET', '/api/v1/me', { headers, token });
  assert.deepEqual([reply.status, allowedIn(reply)], [429, APP]);
});

test('other origins, and everything outside the API, get no header that lets a page read the answer', async () => {
  const token = dashboard.tokens.admin;
  for (const origin of [
    'https://evil.example',
    'https://app.example.evil.example',
    'http://app.example',
    'https://app.example:8443',
    'null',
  ]) {
    const reply = await dashboard.send('GET', '/api/v1/me', { headers: { Origin: origin }, token });
    assert.deepEqual([reply.status, allowedIn(reply), String(reply.headers.vary)], [200, undefined, 'Origin'], origin);
    const preflight = await dashboard.send('OPTIONS', '/api/v1/tasks', {
      headers: { Origin: origin, 'Access-Control-Request-Method': 'POST' },
    });
    assert.deepEqual([preflight.status, allowedIn(preflight)], [401, undefined]);
  }
  for (const path of [
    '/',
    '/sign-in',
    '/tasks',
    '/board/api/queues',
    '/api/tasks',
    '/api/v1',
    '/API/v1/me',
    '/openapi.json',
    '/metrics',
    '/livez',
  ]) {
    for (const method of ['GET', 'OPTIONS']) {
      const reply = await dashboard.send(method, path, { headers: { Origin: APP, 'Access-Control-Request-Method': 'GET' }, token });
      // Below the API's path, if only as a 404.
      assert.equal(allowedIn(reply), path === '/api/v1' ? APP : undefined, path);
    }
  }
  const replies = await Promise.all(['/api/v1/me', '/api/v1/tasks'].map((path) => dashboard.send('GET', path, { token })));
  assert.deepEqual(replies.map(allowedIn), [undefined, undefined]);
});

test('a session cookie writes from an allowed origin with the CSRF token only, and from other sites not at all', async () => {
  const { cookie, csrf } = await dashboard.signIn(dashboard.tokens['alice-operator']);
  const stop = async (headers: Readonly<Record<string, string>>, path = '/api/v1/tasks/nobody/stop'): Promise<number> =>
    (await dashboard.send('POST', path, { headers: { Cookie: cookie, ...headers }, body: {} })).status;
  const crossSite = { Origin: APP, 'Sec-Fetch-Site': 'same-site' };
  assert.equal(await stop({ ...crossSite, 'X-CSRF-Token': csrf }), 404);
  assert.equal(await stop(crossSite), 403);
  assert.equal(await stop({ ...crossSite, 'X-CSRF-Token': 'wrong' }), 403);
  assert.equal(await stop({ Origin: 'https://evil.example', 'Sec-Fetch-Site': 'cross-site', 'X-CSRF-Token': csrf }), 403);
  // Outside /api/v1 the origin counts for nothing.
  assert.equal(await stop({ ...crossSite, 'X-CSRF-Token': csrf }, '/api/tasks/stop/nobody'), 403);
  const foreignSignIn = await dashboard.signIn(dashboard.tokens.viewer, crossSite);
  assert.equal(foreignSignIn.reply.status, 403);
});

test('without origins there are no CORS headers at all', async (t) => {
  const plain = await TestDashboard.start(producer);
  t.after(() => plain.stop());
  const reply = await plain.send('GET', '/api/v1/me', { headers: { Origin: APP }, token: plain.tokens.viewer });
  assert.deepEqual([reply.status, allowedIn(reply), reply.headers.vary], [200, undefined, undefined]);
});

test('settings name what is wrong with an origin', () => {
  const problems: Readonly<Record<string, RegExp>> = {
    '*': /API_CORS_ORIGINS: expected exact origins, got "\*": list each one/,
    'https://*.example': /expected exact origins/,
    null: /got "null", which pages of any site can have/,
    'https://app.example/': /expected an origin as browsers send it, without path or trailing slash: https:\/\/app\.example, got/,
    'https://app.example/path': /without path or trailing slash: https:\/\/app\.example, got/,
    'https://App.Example': /as browsers send it.*: https:\/\/app\.example, got/,
    'https://app.example:443': /as browsers send it.*: https:\/\/app\.example, got/,
    'https://user@app.example': /as browsers send it/,
    'app.example': /expected an origin such as https:\/\/app\.example/,
    'ftp://app.example': /expected an origin such as/,
  };
  for (const [origin, message] of Object.entries(problems))
    assert.throws(() => resolveSettings({ apiCorsOrigins: ['https://fine.example', origin] }), { code: 'INVALID_SETTINGS', message });
  assert.throws(() => resolveSettings({ apiBasePath: 'fleet' }), {
    code: 'INVALID_SETTINGS',
    message: /API_BASE_PATH: expected a path such as \/fleet/,
  });
  assert.deepEqual(resolveSettings({ apiBasePath: '/fleet/' }).apiBasePath, '/fleet');
});
