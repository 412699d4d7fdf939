import assert from 'node:assert/strict';
import type { OutgoingHttpHeaders } from 'node:http';
import { after, before, test } from 'node:test';
import { fleetCanary } from '../../../index.js';
import type { Producer } from '../../../producer/index.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { rawRequest, statusOf } from '../http/raw-request.js';
import { type Reply, TestDashboard } from '../test-dashboard.js';
import { AUDIENCE, ISSUER, type Issuer, startIssuer } from './jwt-issuer.js';

/** A request; by default the stop of a queued task. */
interface Attack {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly token?: string;
  readonly body?: string;
  /** A browser's cookies, from its sign-in as an operator. */
  readonly signedIn?: boolean;
  /** Raw bytes instead of the other fields. */
  readonly raw?: string;
  /** Sent to the dashboard with short timeouts. */
  readonly slow?: boolean;
}

const STOP = '/api/v1/tasks/bystander/stop';
const EVIL = 'https://evil.example';
const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' };
const fleet = await TestFleet.start();
const prefix = fleet.newPrefix();
let producer: Producer;
let issuer: Issuer;
let dashboard: TestDashboard;
/** Has short timeouts, which would hit ordinary requests on a busy machine. */
let hasty: TestDashboard;
let cookie: string;
let csrf: string;

before(async () => {
  issuer = await startIssuer();
  producer = fleet.producer({ keyPrefix: prefix });
  const jwt = { jwtIssuer: ISSUER, jwtAudience: AUDIENCE, jwtJwksUrl: issuer.url };
  dashboard = await TestDashboard.start(producer, jwt);
  hasty = await TestDashboard.start(producer, jwt, {}, { headersMs: 200, requestMs: 300, checkMs: 50 });
  await producer.enqueue(fleetCanary, { run_ms: 60_000 }, { id: 'bystander', item: 'bob:1' });
  ({ cookie, csrf } = await dashboard.signIn(dashboard.tokens.operator));
});
after(async () => {
  await Promise.all([dashboard.stop(), hasty.stop()]);
  await issuer.stop();
  await fleet.stop();
});

/** The fleet's state in Redis, except the dashboard's counters, sessions and audit, and metrics, which change at any time. */
async function everything(): Promise<Record<string, string>> {
  const keys = (await fleet.client.keys(`${prefix}:*`))
    .filter((key) => !key.startsWith(`${prefix}:dashboard:`) && !key.startsWith(`${prefix}:metrics:`))
    .toSorted();
  return Object.fromEntries(await Promise.all(keys.map(async (key) => [key, (await fleet.client.dumpBuffer(key))?.toString('hex') ?? ''])));
}

async function attacks(): Promise<Record<string, readonly [Attack, number]>> {
  const now = Math.floor(Date.now() / 1_000);
  const { operator: token, viewer } = dashboard.tokens;
  const good = await issuer.sign();
  const [head = '', claims = '', signature = ''] = good.split('.');
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  const jwt = async (...args: Parameters<Issuer['sign']>): Promise<Attack> => ({ token: await issuer.sign(...args) });
  const bearer = (authorization: string | string[]): Attack => ({ headers: { Authorization: authorization } });
  const signIn = (form: Record<string, string>, headers: OutgoingHttpHeaders = {}): Attack => ({
    method: 'POST',
    path: '/sign-in',
    headers: { ...FORM, ...headers },
    body: new URLSearchParams(form).toString(),
  });
  const start = `POST ${STOP} HTTP/1.1\r\nHost: 127.0.0.1\r\n`;
  return {
    'no authorization': [{}, 401],
    'an empty bearer': [bearer('Bearer '), 401],
    'a bearer without a token': [bearer('Bearer'), 401],
    'a token without its scheme': [bearer(token), 401],
    'another scheme': [bearer(`Basic ${Buffer.from(`operator:${token}`).toString('base64')}`), 401],
    'a wrong token': [{ token: 'tf_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' }, 401],
    'a truncated token': [{ token: token.slice(0, -1) }, 401],
    'a token in capitals': [{ token: token.toUpperCase() }, 401],
    'two tokens in one header': [bearer(`Bearer x, Bearer ${token}`), 401],
    'a token that is 8 kB long': [{ token: 'a'.repeat(8_192) }, 401],
    'a token with a NUL, encoded': [{ token: `${token}%00` }, 401],
    'a token in the query': [{ path: `${STOP}?access_token=${token}&token=${token}` }, 401],
    'a token in the body': [{ headers: FORM, body: `access_token=${token}` }, 401],
    'a role in a header': [
      {
        headers: {
          'X-Role': 'admin',
          Role: 'admin',
          'X-Forwarded-User': 'admin',
          'X-Remote-User': 'admin',
          'X-Taskfleet-Principal': '{"role":"admin"}',
        },
      },
      401,
    ],
    "a viewer's token and a role in a header": [
      { token: viewer, headers: { 'X-Role': 'admin', 'X-Forwarded-User': 'admin', 'X-Forwarded-For': '127.0.0.1' } },
      403,
    ],
    "a viewer's token": [{ token: viewer }, 403],
    'the token of a caller with other items': [{ token: dashboard.tokens['alice-operator'] }, 404],
    'a stop disguised as a read': [
      { token: viewer, method: 'GET', headers: { 'X-HTTP-Method-Override': 'POST', 'X-Method-Override': 'POST', 'X-HTTP-Method': 'POST' } },
      405,
    ],
    'the method in the query': [{ token: viewer, method: 'GET', path: `${STOP}?_method=POST` }, 405],

    'a JWT without a signature': [{ token: `${head}.${claims}.` }, 401],
    'alg none': [{ token: `${part({ alg: 'none' })}.${claims}.` }, 401],
    'alg None, with a signature': [{ token: `${part({ alg: 'None' })}.${claims}.${signature}` }, 401],
    'HS256 signed with the public key': [await jwt({}, { alg: 'HS256' }, bytes(issuer.publicPem)), 401],
    'HS256 signed with nothing': [await jwt({}, { alg: 'HS256' }, bytes(' ')), 401],
    'tampered claims': [
      { token: `${head}.${part({ iss: ISSUER, aud: AUDIENCE, sub: 'ada', role: 'admin', exp: now + 300 })}.${signature}` },
      401,
    ],
    "another issuer's key": [await jwt({}, {}, issuer.foreignKey), 401],
    'the wrong issuer': [await jwt({ iss: EVIL }), 401],
    'no issuer': [await jwt({ iss: undefined }), 401],
    'the wrong audience': [await jwt({ aud: 'another-service' }), 401],
    'a JWT that has expired': [await jwt({ exp: now - 60 }), 401],
    'a JWT that never expires': [await jwt({ exp: undefined }), 401],
    'a JWT that is not yet valid': [await jwt({ nbf: now + 600 }), 401],
    'a JWT without a subject': [await jwt({ sub: undefined }), 401],
    'a JWT whose name has line breaks': [await jwt({ sub: 'ada\r\nrole: admin' }), 401],
    'an unknown key id': [await jwt({}, { kid: 'two' }), 401],
    'a key id that is a path': [await jwt({}, { kid: '../../../../dev/null' }), 401],
    'a key id that is SQL': [await jwt({}, { kid: "one' OR '1'='1" }), 401],
    'a key in the header': [await jwt({}, { kid: 'mine', jwk: { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' } }, issuer.foreignKey), 401],
    'a URL of keys in the header': [await jwt({}, { kid: 'mine', jku: `${EVIL}/jwks.json`, x5u: EVIL }, issuer.foreignKey), 401],
    'an unknown critical header': [{ token: `${part({ alg: 'ES256', kid: 'one', crit: ['exp'], exp: 1 })}.${claims}.${signature}` }, 401],
    'a JWT of junk': [{ token: 'eyJ.eyJ.eyJ' }, 401],
    'a JWT with the role root': [await jwt({ role: 'root' }), 403],
    'a JWT with a list of roles': [await jwt({ role: ['viewer', 'admin'] }), 403],
    'a JWT with a role from its prototype': [await jwt({ role: undefined, ...JSON.parse('{"__proto__":{"role":"admin"}}') }), 403],
    'a JWT of a viewer': [await jwt({ role: 'viewer' }), 403],

    'an invented cookie': [{ headers: { Cookie: `taskfleet=${'A'.repeat(43)}` } }, 401],
    'a cookie that is a pattern': [{ headers: { Cookie: 'taskfleet=*' } }, 401],
    'a cookie that is the hash of another': [{ headers: { Cookie: `taskfleet=${'0'.repeat(64)}` } }, 401],
    'a cookie of the name for TLS, without TLS': [
      { headers: { Cookie: cookie.replace('taskfleet=', '__Host-taskfleet='), 'X-CSRF-Token': csrf } },
      401,
    ],
    'two cookies of one name': [{ headers: { Cookie: `taskfleet=${'A'.repeat(43)}; ${cookie}`, 'X-CSRF-Token': csrf } }, 401],
    'two cookies of one name, in reverse order': [
      { headers: { Cookie: `${cookie}; taskfleet=${'A'.repeat(43)}`, 'X-CSRF-Token': csrf } },
      401,
    ],
    'a write without a CSRF token': [{ signedIn: true }, 403],
    'a write with a wrong CSRF token': [{ signedIn: true, headers: { 'X-CSRF-Token': `${csrf.slice(0, -1)}_` } }, 403],
    'a write with the CSRF token as a cookie only': [{ headers: { Cookie: cookie, 'X-CSRF-Token': '' } }, 403],
    'a write with the CSRF token in the query': [{ signedIn: true, path: `${STOP}?csrf_token=${csrf}` }, 403],
    "another site's page, with the CSRF token": [{ signedIn: true, headers: { 'X-CSRF-Token': csrf, Origin: EVIL } }, 403],
    "another site's page, as its browser says": [
      { signedIn: true, headers: { 'X-CSRF-Token': csrf, 'Sec-Fetch-Site': 'cross-site' } },
      403,
    ],
    "a neighbour's page": [{ signedIn: true, headers: { 'X-CSRF-Token': csrf, 'Sec-Fetch-Site': 'same-site' } }, 403],
    'a page without an origin': [{ signedIn: true, headers: { 'X-CSRF-Token': csrf, Origin: 'null' } }, 403],
    'a page whose host starts with ours': [
      { signedIn: true, headers: { 'X-CSRF-Token': csrf, Origin: `http://127.0.0.1:${dashboard.port}.evil.example` } },
      403,
    ],
    'a sign-out by another site': [{ method: 'POST', path: '/sign-out', signedIn: true, headers: { Origin: EVIL } }, 403],
    'a sign-out without its token': [{ method: 'POST', path: '/sign-out', signedIn: true }, 403],

    'a sign-in with a wrong token': [signIn({ token: 'hunter2' }), 401],
    'a sign-in without a token': [signIn({}), 401],
    'a sign-in by another site': [signIn({ token }, { Origin: EVIL }), 403],
    'a sign-in with a list for a token': [{ method: 'POST', path: '/sign-in', headers: FORM, body: `token=a&token=${token}` }, 401],
    'a sign-in with JSON': [
      { method: 'POST', path: '/sign-in', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ token }) },
      401,
    ],
    'a sign-in with a form of 40 kB': [signIn({ token: 'a'.repeat(40_000) }), 413],
    'a sign-in with too many fields': [{ method: 'POST', path: '/sign-in', headers: FORM, body: 'a=1&'.repeat(1_000) }, 413],
    'a sign-in in an unknown charset': [signIn({ token }, { 'Content-Type': 'application/x-www-form-urlencoded; charset=x-evil' }), 400],
    'a compressed sign-in': [signIn({ token }, { 'Content-Encoding': 'gzip' }), 400],
    'a page for an unauthenticated browser': [{ method: 'GET', path: '//evil.example/', headers: { Accept: 'text/html' } }, 302],
    'another host': [{ headers: { Host: 'evil.example' } }, 401],
    'an odd method': [{ method: 'PROPFIND', path: '/', signedIn: true }, 403],

    'headers of 20 kB': [{ headers: { 'X-Long': 'a'.repeat(20_000) } }, 431],
    'a header with a line break': [{ raw: `${start}Authorization: Bearer x\n y\r\nConnection: close\r\n\r\n` }, 400],
    'no host': [{ raw: `POST ${STOP} HTTP/1.1\r\nConnection: close\r\n\r\n` }, 400],
    'two lengths': [{ raw: `${start}Content-Length: 0\r\nContent-Length: 5\r\n\r\n` }, 400],
    'a length and chunks': [{ raw: `${start}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n` }, 400],
    'headers that never end': [{ raw: `${start}X-Slow: `, slow: true }, 408],
    'a form that never comes': [
      {
        raw: [
          'POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\n',
          'Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 99\r\n\r\ntoken=',
        ].join(''),
        slow: true,
      },
      408,
    ],
    'no HTTP at all': [{ raw: '\x16\x03\x01\x02\x00\x01\r\n\r\n' }, 400],
  };
}

async function answerTo({
  method = 'POST',
  path = STOP,
  headers = {},
  token,
  body,
  signedIn = false,
  raw,
  slow = false,
}: Attack): Promise<{ readonly status: number; readonly reply: Reply | null }> {
  if (raw !== undefined) return { status: statusOf(await rawRequest((slow ? hasty : dashboard).port, raw)), reply: null };
  const reply = await dashboard.send(method, path, {
    headers: { ...(signedIn && { Cookie: cookie }), ...headers },
    ...(token !== undefined && { token }),
    body,
  });
  return { status: reply.status, reply };
}

test('hostile requests get the expected status and change nothing', async (t) => {
  const state = await everything();
  const table = Object.entries(await attacks());
  assert.ok(table.length >= 60, `${table.length} requests`);
  const got = await Promise.all(table.map(async ([name, [attack, expected]]) => ({ name, expected, ...(await answerTo(attack)) })));
  for (const { name, status, reply } of got)
    t.diagnostic(`${status} ${(reply?.body as { code?: string } | undefined)?.code ?? '-'} · ${name}`);
  assert.deepEqual(
    got.map(({ name, status }) => [name, status]),
    got.map(({ name, expected }) => [name, expected]),
  );

  assert.deepEqual(await everything(), state);
  assert.equal((await producer.get('bystander'))?.state, 'queued');
  const sessions = await fleet.client.keys(`${prefix}:dashboard:sessions:*`);
  assert.equal(sessions.length, 1, 'no session was created or ended');
  for (const { name, reply } of got) {
    assert.equal(reply?.headers['set-cookie'], undefined, name);
    assert.doesNotMatch(`${reply?.text} ${reply?.headers.location}`, /tf_[\w-]{43}|hunter2|\.ts:\d|node_modules/, name);
  }
  const log = JSON.stringify(dashboard.log.lines);
  for (const secret of [...Object.values(dashboard.tokens), cookie.split('=')[1]?.split(';')[0] ?? '', 'hunter2'])
    assert.ok(!log.includes(secret));
  assert.deepEqual(
    dashboard.log.lines.filter(({ level }) => level >= 50),
    [],
  );
});

test('the same requests with valid credentials succeed', async () => {
  const { operator: token } = dashboard.tokens;
  await producer.enqueue(fleetCanary, { run_ms: 60_000 }, { id: 'one', item: 'bob:1' });
  await producer.enqueue(fleetCanary, { run_ms: 60_000 }, { id: 'two', item: 'bob:1' });
  await producer.enqueue(fleetCanary, { run_ms: 60_000 }, { id: 'three', item: 'bob:1' });
  const own = { Cookie: cookie, 'X-CSRF-Token': csrf, Origin: `http://127.0.0.1:${dashboard.port}`, 'Sec-Fetch-Site': 'same-origin' };
  const stop = (id: string, options: Parameters<TestDashboard['send']>[2]): Promise<Reply> =>
    dashboard.send('POST', `/api/v1/tasks/${id}/stop`, options);
  assert.equal((await stop('one', { token })).status, 200);
  assert.equal((await stop('two', { token: await issuer.sign() })).status, 200);
  assert.equal((await stop('three', { headers: own })).status, 200);
  for (const id of ['one', 'two', 'three']) assert.equal((await producer.get(id))?.state, 'cancelled');
});
