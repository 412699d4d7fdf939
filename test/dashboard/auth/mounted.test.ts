import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { after, test, type TestContext } from 'node:test';
import express, { type Express } from 'express';
import { entryOf, newToken } from '../../../dashboard/auth/tokens.js';
import { type Auth, type Principal, createDashboard } from '../../../dashboard/index.js';
import { isFleetError } from '../../../shared/errors.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { serve } from '../serve-dashboard.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

/** Serves an app with a dashboard at `/fleet`. */
async function mount(
  t: TestContext,
  auth: Auth,
  app: Express = express(),
): Promise<(method: string, path: string, headers?: OutgoingHttpHeaders, body?: string) => Promise<Reply>> {
  app.use('/fleet', createDashboard({ producer: fleet.producer(), auth, loggers: new LogLines().loggers }).router);
  const served = await serve(app);
  t.after(() => served.close());
  return async (method, path, headers = {}, body = '') => {
    const outgoing = request({
      host: '127.0.0.1',
      port: served.port,
      method,
      path: `/fleet${path}`,
      agent: false,
      headers: { ...headers, 'Content-Length': Buffer.byteLength(body) },
    }).end(body);
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    return { status: response.statusCode ?? 0, headers: response.headers, text: await text(response) };
  };
}

const STOP = '/api/v1/tasks/nobody/stop';
const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' };

test('with settings, the sign-in works below the mount path, even if the app has parsed the bodies', async (t) => {
  const token = newToken();
  const auth = { apiTokens: [entryOf(token, { name: 'ada', role: 'operator', items: null })] };
  for (const app of [express(), express().use(express.json(), express.urlencoded({ extended: true }))]) {
    const send = await mount(t, auth, app);
    const sent = await send('GET', '/', { Accept: 'text/html' });
    assert.deepEqual([sent.status, sent.headers.location], [302, '/fleet/sign-in?next=%2Ffleet%2F']);
    assert.match(
      (await send('GET', '/sign-in')).text,
      /action="\/fleet\/sign-in"[^]*href="\/fleet\/|href="\/fleet\/sign-in\.css"[^]*action="\/fleet\/sign-in"/,
    );
    const reply = await send('POST', '/sign-in', FORM, new URLSearchParams({ token, next: '/fleet/?state=running' }).toString());
    assert.deepEqual([reply.status, reply.headers.location], [303, '/fleet/?state=running']);
    const cookies = reply.headers['set-cookie'] ?? [];
    for (const each of cookies) assert.match(each, /; Path=\/fleet;/);
    const Cookie = cookies.map((each) => each.split(';')[0]).join('; ');
    assert.equal((await send('GET', '/api/v1/me', { Cookie })).status, 200);
    assert.equal((await send('POST', STOP, { Cookie, 'Content-Type': 'application/json' }, '{}')).status, 403);
    const { csrf_token } = JSON.parse((await send('GET', '/api/v1/me', { Cookie })).text) as { csrf_token: string };
    assert.equal((await send('POST', STOP, { Cookie, 'X-CSRF-Token': csrf_token, 'Content-Type': 'application/json' }, '{}')).status, 404);
    assert.equal(
      (await send('POST', '/sign-in', FORM, new URLSearchParams({ token, next: '/elsewhere' }).toString())).headers.location,
      '/fleet/',
    );
  }
});

test("with a function, the app's users are authenticated, and cross-site writes refused", async (t) => {
  const users: Readonly<Record<string, Principal | null>> = {
    ada: { name: 'ada', role: 'operator', items: null, via: 'session' },
    vera: { name: 'vera', role: 'viewer', items: null, via: 'session' },
    robot: { name: 'robot', role: 'operator', items: null, via: 'token' },
    odd: { name: 'odd', role: 'root' as 'admin', items: null, via: 'session' },
  };
  const send = await mount(t, (req) => Promise.resolve(users[String(req.headers['x-user'])] ?? null));
  const stop = async (user: string, headers: OutgoingHttpHeaders = {}): Promise<number> =>
    (await send('POST', STOP, { 'X-User': user, ...headers })).status;
  assert.deepEqual(
    [await stop('ada'), await stop('vera'), await stop('robot'), await stop('nobody'), await stop('odd')],
    [404, 403, 404, 401, 500],
  );
  const elsewhere = { Origin: 'https://evil.example' };
  assert.deepEqual([await stop('ada', elsewhere), await stop('robot', elsewhere)], [403, 404]);
  assert.equal((await send('GET', '/sign-in')).status, 401, "the sign-in is the app's");
});

test('with false, every caller is an admin, but cross-site writes are refused', async (t) => {
  const send = await mount(t, false);
  assert.equal((await send('POST', STOP)).status, 404);
  assert.equal((await send('POST', STOP, { Host: 'fleet.example' })).status, 404);
  assert.equal((await send('POST', STOP, { Origin: 'https://evil.example' })).status, 403);
  assert.equal((await send('POST', STOP, { 'Sec-Fetch-Site': 'cross-site' })).status, 403);
});

test('auth is required', () => {
  const producer = fleet.producer();
  for (const auth of [undefined, null, true, {}, { apiTokens: [] }, 'everyone'] as unknown[]) {
    assert.throws(
      () => createDashboard({ producer, auth: auth as Auth }),
      (error) => isFleetError(error, 'INVALID_SETTINGS'),
      String(auth),
    );
  }
});
