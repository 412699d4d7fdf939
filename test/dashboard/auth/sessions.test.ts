import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { entryOf, newToken } from '../../../dashboard/auth/tokens.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { type Reply, TestDashboard } from '../test-dashboard.js';
import { AUDIENCE, ISSUER, startIssuer } from './jwt-issuer.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const me = (dashboard: TestDashboard, cookie: string, headers: Record<string, string> = {}): Promise<Reply> =>
  dashboard.send('GET', '/api/v1/me', { headers: { Cookie: cookie, ...headers } });
const cookiesOf = ({ headers }: Reply): string[] => headers['set-cookie'] ?? [];

test('a sign-in starts a session on every replica, and the sign-out ends it on all', async (t) => {
  const [one, keyPrefix] = [newToken(), fleet.newPrefix()];
  const apiTokens = [entryOf(one, { name: 'ada', role: 'operator', items: ['chat:*'] })];
  const replicas = await Promise.all([1, 2].map(() => TestDashboard.start(fleet.producer({ keyPrefix }), { apiTokens })));
  t.after(() => Promise.all(replicas.map((each) => each.stop())));
  const [first, second] = replicas as [TestDashboard, TestDashboard];

  const { reply, cookie, csrf } = await first.signIn(one);
  assert.deepEqual([reply.status, reply.headers.location], [303, '/']);
  const [session = '', token = ''] = cookiesOf(reply);
  assert.match(session, /^taskfleet=[\w-]{43}; Max-Age=43200; Path=\/; HttpOnly; SameSite=Strict$/);
  assert.match(token, /^XSRF-TOKEN=[\w-]{43}; Max-Age=43200; Path=\/; SameSite=Strict$/);
  assert.deepEqual((await me(second, cookie)).body, { name: 'ada', role: 'operator', items: ['chat:*'], via: 'session', csrf_token: csrf });

  const [key = '', ...others] = await fleet.client.keys(`${keyPrefix}:dashboard:sessions:*`);
  assert.deepEqual(others, []);
  const id = cookie.slice('taskfleet='.length, cookie.indexOf(';'));
  assert.ok(!key.includes(id) && !(await fleet.client.get(key))?.includes(id), 'Redis does not know the id');
  const ttl = await fleet.client.pttl(key);
  assert.ok(ttl > 43_000_000 && ttl <= 43_200_000, `${ttl} ms`);

  const out = await second.send('POST', '/sign-out', {
    headers: { Cookie: cookie, 'Content-Type': 'application/x-www-form-urlencoded' },
    body: `csrf_token=${csrf}`,
  });
  assert.deepEqual([out.status, out.headers.location], [303, '/sign-in']);
  for (const each of cookiesOf(out)) assert.match(each, /^[\w-]+=; .*Max-Age=0;/);
  for (const replica of replicas) assert.equal((await me(replica, cookie)).status, 401);
});

test("a session ends with its token and has the token's current rights", async (t) => {
  const [token, keyPrefix] = [newToken(), fleet.newPrefix()];
  const start = async (...apiTokens: string[]): Promise<TestDashboard> => {
    const dashboard = await TestDashboard.start(fleet.producer({ keyPrefix }), { apiTokens });
    t.after(() => dashboard.stop());
    return dashboard;
  };
  const before = await start(entryOf(token, { name: 'ada', role: 'admin', items: null }));
  const { cookie } = await before.signIn(token);
  const reduced = await start(entryOf(token, { name: 'ada', role: 'viewer', items: ['a'] }));
  const { role, items } = (await me(reduced, cookie)).body as Record<string, unknown>;
  assert.deepEqual([role, items], ['viewer', ['a']]);
  const renewed = await start(entryOf(newToken(), { name: 'ada', role: 'admin', items: null }));
  assert.equal((await me(renewed, cookie)).status, 401);
});

test("a sign-in starts a new session and ends the browser's previous one", async (t) => {
  const dashboard = await TestDashboard.start(fleet.producer());
  t.after(() => dashboard.stop());
  const planted = `taskfleet=${'A'.repeat(43)}`;
  const first = await dashboard.signIn(dashboard.tokens.viewer, { Cookie: planted });
  assert.ok(!first.cookie.includes('A'.repeat(43)));
  assert.equal((await me(dashboard, planted)).status, 401);
  const second = await dashboard.signIn(dashboard.tokens.admin, { Cookie: first.cookie });
  assert.notEqual(second.cookie, first.cookie);
  assert.equal((await me(dashboard, first.cookie)).status, 401);
  assert.equal(((await me(dashboard, second.cookie)).body as { role: string }).role, 'admin');
});

test('a session from a JWT lasts no longer than the JWT', async (t) => {
  const issuer = await startIssuer();
  t.after(() => issuer.stop());
  const keyPrefix = fleet.newPrefix();
  const dashboard = await TestDashboard.start(fleet.producer({ keyPrefix }), {
    jwtIssuer: ISSUER,
    jwtAudience: AUDIENCE,
    jwtJwksUrl: issuer.url,
  });
  t.after(() => dashboard.stop());
  const { cookie } = await dashboard.signIn(await issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 60, role: 'viewer' }));
  const { name, via } = (await me(dashboard, cookie)).body as Record<string, unknown>;
  assert.deepEqual([name, via], ['ada', 'session']);
  const [key = ''] = await fleet.client.keys(`${keyPrefix}:dashboard:sessions:*`);
  assert.ok((await fleet.client.pttl(key)) <= 60_000);
  const withoutJwt = await TestDashboard.start(fleet.producer({ keyPrefix }));
  t.after(() => withoutJwt.stop());
  assert.equal((await me(withoutJwt, cookie)).status, 401);
});

test('over TLS behind a trusted proxy, the cookie has the __Host- prefix', async (t) => {
  const dashboard = await TestDashboard.start(fleet.producer(), { apiTrustProxy: ['loopback'] });
  t.after(() => dashboard.stop());
  const tls = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'fleet.example', Origin: 'https://fleet.example' };
  const { reply, cookie, csrf } = await dashboard.signIn(dashboard.tokens.operator, tls);
  assert.match(cookiesOf(reply)[0] ?? '', /^__Host-taskfleet=[\w-]{43}; Max-Age=\d+; Path=\/; HttpOnly; Secure; SameSite=Strict$/);
  assert.match(reply.headers['strict-transport-security'] ?? '', /^max-age=\d+$/);
  assert.equal((await me(dashboard, cookie, tls)).status, 200);
  assert.equal((await me(dashboard, cookie.replace('__Host-', ''), tls)).status, 401, 'a plain cookie counts for nothing there');
  const stop = (origin: string): Promise<Reply> =>
    dashboard.send('POST', '/api/v1/tasks/nobody/stop', { headers: { ...tls, Cookie: cookie, 'X-CSRF-Token': csrf, Origin: origin } });
  assert.equal((await stop('https://fleet.example')).status, 404);
  assert.equal((await stop('https://evil.example')).status, 403);
  const untrusting = await TestDashboard.start(fleet.producer());
  t.after(() => untrusting.stop());
  const plain = await untrusting.signIn(untrusting.tokens.operator, { 'X-Forwarded-Proto': 'https' });
  assert.match(plain.cookie, /^taskfleet=/);
  assert.equal(plain.reply.headers['strict-transport-security'], undefined);
});

test('a browser without a session is redirected to the sign-in and then to the requested page', async (t) => {
  const dashboard = await TestDashboard.start(fleet.producer());
  t.after(() => dashboard.stop());
  const html = { Accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };
  const sent = await dashboard.send('GET', '/?item=chat%201', { headers: html });
  assert.deepEqual([sent.status, sent.headers.location], [302, '/sign-in?next=%2F%3Fitem%3Dchat%25201']);
  const form = await dashboard.send('GET', sent.headers.location ?? '', { headers: html });
  assert.match(form.text, /<input type="hidden" name="next" value="\/\?item=chat%201">/);
  assert.doesNotMatch(form.text, /<script|style=| on\w+=/);
  const post = (fields: Record<string, string>): Promise<Reply> =>
    dashboard.send('POST', '/sign-in', {
      headers: { ...html, 'Content-Type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(fields).toString(),
    });
  const wrong = await post({ token: 'hunter2', next: '/?item=chat%201' });
  assert.equal(wrong.status, 401);
  assert.match(wrong.text, /role="alert">Invalid or expired token/);
  assert.match(wrong.text, /name="next" value="\/\?item=chat%201"/);
  assert.doesNotMatch(wrong.text, /hunter2/);
  assert.equal((await post({ token: dashboard.tokens.viewer, next: '/?item=chat%201' })).headers.location, '/?item=chat%201');
  assert.equal((await post({ token: dashboard.tokens.viewer, next: '//evil.example/"><script>' })).headers.location, '/');
  const page = await dashboard.send('GET', `/sign-in?next=${encodeURIComponent('/"><script>alert(1)</script>')}`);
  assert.doesNotMatch(page.text, /<script>/);
  for (const path of ['/api/v1/tasks', '/board/api/queues'])
    assert.equal((await dashboard.send('GET', path, { headers: html })).status, 401, path);
  const style = await dashboard.send('GET', '/sign-in.css');
  assert.deepEqual([style.status, style.headers['content-type']], [200, 'text/css; charset=utf-8']);
});
