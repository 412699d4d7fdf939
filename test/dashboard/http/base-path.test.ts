import assert from 'node:assert/strict';
import { after, test, type TestContext } from 'node:test';
import express from 'express';
import { entryOf, newToken } from '../../../dashboard/auth/tokens.js';
import { type DashboardConfig, createDashboard } from '../../../dashboard/index.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { serve } from '../serve-dashboard.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());
const producer = fleet.producer();
const token = newToken();
const auth = { apiTokens: [entryOf(token, { name: 'ada', role: 'admin', items: null })] };

interface Proxied {
  /** Sends a request as the proxy passes it on: without the path that it strips. */
  readonly ask: (path: string, init?: RequestInit) => Promise<Response>;
  readonly log: LogLines;
}

/** Serves an app with a dashboard, which a proxy reaches from loopback. */
async function behindProxy(
  t: TestContext,
  {
    mount = '/',
    trust = true,
    headers = {},
    ...config
  }: Partial<DashboardConfig> & { mount?: string; trust?: boolean; headers?: Record<string, string> },
): Promise<Proxied> {
  const log = new LogLines();
  const app = express().set('trust proxy', trust ? 'loopback' : false);
  app.use(mount, createDashboard({ producer, auth, loggers: log.loggers, ...config }).router);
  app.use((req, res) => void res.status(404).send(`the app, asked for ${req.baseUrl}${req.originalUrl}`));
  const served = await serve(app);
  t.after(() => served.close());
  const url = `http://127.0.0.1:${served.port}${mount === '/' ? '' : mount}`;
  return {
    log,
    ask: (path, init = {}) =>
      fetch(url + path, { redirect: 'manual', ...init, headers: { ...headers, ...(init.headers as Record<string, string>) } }),
  };
}

const HTML = { Accept: 'text/html' };
const PREFIX = { 'X-Forwarded-Prefix': '/fleet', 'X-Forwarded-Host': 'ops.example' };
const WAYS: Readonly<Record<string, { options: Parameters<typeof behindProxy>[1]; base: string }>> = {
  'a configured path': { options: { basePath: '/fleet/' }, base: '/fleet' },
  'the X-Forwarded-Prefix of a trusted proxy': { options: { headers: PREFIX }, base: '/fleet' },
  'a configured path, whatever the header says': {
    options: { basePath: '/fleet', headers: { 'X-Forwarded-Prefix': '/other' } },
    base: '/fleet',
  },
  'a proxy in front of an app that mounts it at a path': { options: { mount: '/ops', headers: PREFIX }, base: '/fleet/ops' },
};

for (const [name, { options, base }] of Object.entries(WAYS)) {
  test(`with ${name}, everything that a browser gets is below the path`, async (t) => {
    const { ask } = await behindProxy(t, options);
    const whole = await ask('/tasks?state=failed', { headers: HTML });
    assert.equal(whole.headers.get('location'), `${base}/sign-in?next=${encodeURIComponent(`${base}/tasks?state=failed`)}`);
    const form = await (await ask('/sign-in?next=/elsewhere')).text();
    assert.deepEqual(addressesIn(form), [`${base}/assets/page/favicon.svg`, `${base}/sign-in.css`, `${base}/sign-in`]);
    assert.ok(form.includes(`name="next" value="${base}/"`));
    for (const [next, location] of [
      [`${base}/tasks/7`, `${base}/tasks/7`],
      ['/tasks/7', `${base}/`],
      ['//evil.example/', `${base}/`],
      [`${base}/../admin`, `${base}/`],
    ] as const) {
      const reply = await ask('/sign-in', { method: 'POST', body: new URLSearchParams({ token, next }) });
      assert.deepEqual([reply.status, reply.headers.get('location')], [303, location]);
    }
    const signedIn = await ask('/sign-in', { method: 'POST', body: new URLSearchParams({ token }) });
    const cookies = signedIn.headers.getSetCookie();
    assert.deepEqual(
      cookies.map((one) => /^[^=]+/.exec(one)?.[0] + (/; Path=[^;]+/.exec(one)?.[0] ?? '')),
      [`taskfleet; Path=${base}`, `XSRF-TOKEN; Path=${base}`],
    );
    const cookie = cookies.map((one) => one.split(';')[0]).join('; ');

    const page = await (await ask('/tasks/7', { headers: { ...HTML, cookie } })).text();
    assert.deepEqual(new Set(addressesIn(page).map((address) => address.startsWith(`${base}/`))), new Set([true]));
    assert.ok(page.includes(`src="${base}/assets/page/task.js"`));
    assert.equal((await ask('/stats', { headers: { cookie } })).headers.get('location'), `${base}/`);
    const missing = await ask('/no/such/page', { headers: { ...HTML, cookie } });
    assert.deepEqual([missing.status, await missing.text()], [404, `the app, asked for ${options.mount ?? ''}/no/such/page`]);
    const problem = await ask('/assets/no/such', { headers: { ...HTML, cookie } });
    assert.equal(problem.status, 404);
    assert.deepEqual(
      addressesIn(await problem.text()).filter((address) => !address.startsWith(`${base}/`)),
      [],
    );
    const board = await (await ask('/board', { headers: { ...HTML, cookie } })).text();
    assert.ok(board.includes(`<base href="${base}/board/" />`));

    const bearer = { Authorization: `Bearer ${token}` };
    const { servers } = (await (await ask('/openapi.json', { headers: bearer })).json()) as { servers: unknown };
    assert.deepEqual(servers, [{ url: base }]);
    const added = await ask('/api/v1/tasks', {
      method: 'POST',
      headers: { ...bearer, 'Content-Type': 'application/json' },
      body: JSON.stringify({ name: 'fleet.canary', input: { run_ms: 1 } }),
    });
    const { id } = (await added.json()) as { id: string };
    assert.equal(added.headers.get('location'), `${base}/api/v1/tasks/${id}`);
    const out = await ask('/sign-out', { method: 'POST', headers: { cookie }, body: new URLSearchParams({ csrf_token: csrfIn(cookie) }) });
    assert.deepEqual([out.status, out.headers.get('location')], [303, `${base}/sign-in`]);
    assert.deepEqual(
      out.headers.getSetCookie().map((one) => /Path=([^;]+)/.exec(one)?.[1]),
      [base, base],
    );
  });
}

/** Returns the absolute and relative addresses that a page of ours loads or leads to. */
function addressesIn(html: string): string[] {
  return [...html.matchAll(/\b(?:href|src|action)="([^"]*)"/g)]
    .map(([, address = '']) => address)
    .filter((address) => !address.startsWith('#'));
}

function csrfIn(cookie: string): string {
  return /XSRF-TOKEN=([\w-]+)/.exec(cookie)?.[1] ?? '';
}

test('over TLS at a path, the session cookie is not sent to the rest of the host', async (t) => {
  const { ask } = await behindProxy(t, { headers: { ...PREFIX, 'X-Forwarded-Proto': 'https' } });
  const reply = await ask('/sign-in', { method: 'POST', body: new URLSearchParams({ token }) });
  const [session = '', csrf = ''] = reply.headers.getSetCookie();
  assert.match(session, /^__Secure-taskfleet=[\w-]{43}; .*Path=\/fleet; .*HttpOnly; Secure; SameSite=Strict$/);
  const me = await ask('/api/v1/me', { headers: { cookie: [session, csrf].map((one) => one.split(';')[0]).join('; ') } });
  assert.equal(me.status, 200);
});

test('a prefix from an untrusted peer has no effect, and one warning says what to set', async (t) => {
  const { ask, log } = await behindProxy(t, { trust: false, headers: { 'X-Forwarded-Prefix': '/fleet' } });
  for (let n = 0; n < 3; n += 1) assert.equal((await ask('/', { headers: HTML })).headers.get('location'), '/sign-in?next=%2F');
  const warnings = log.find(/Ignored X-Forwarded-Prefix of an untrusted peer; set API_TRUST_PROXY or API_BASE_PATH/);
  assert.equal(warnings.length, 1);
});

test('a prefix that is no plain path has no effect, even from a trusted proxy', async (t) => {
  const { ask, log } = await behindProxy(t, {});
  const hostile = [
    ...['//evil.example', '/a//evil', 'https://evil.example', 'fleet', '/a/../b', '/..', '/./a', '/a b', '/a\tb'],
    ...['/"><script>', "/a'b", '/a;Path=/', '/a,/b', '/a?b', '/a#b', '/%2e%2e', '/\\evil', '/a@b:c', `/${'a'.repeat(300)}`],
  ];
  for (const prefix of hostile) {
    const reply = await ask('/', { headers: { ...HTML, 'X-Forwarded-Prefix': prefix } });
    assert.equal(reply.headers.get('location'), '/sign-in?next=%2F', prefix);
  }
  assert.ok(log.find(/Ignored X-Forwarded-Prefix: expected a path/).length > 0);
  for (const prefix of ['', '/']) {
    const reply = await ask('/', { headers: { ...HTML, 'X-Forwarded-Prefix': prefix } });
    assert.equal(reply.headers.get('location'), '/sign-in?next=%2F');
  }
});

test('a request that the dashboard leaves to the app has the path that the app mounted it at', async (t) => {
  const { ask } = await behindProxy(t, { auth: false, basePath: '/fleet' });
  assert.equal(await (await ask('/elsewhere')).text(), 'the app, asked for /elsewhere');
});
