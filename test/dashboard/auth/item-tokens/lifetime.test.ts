import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { entryOf } from '../../../../dashboard/auth/tokens.js';
import { type Auth, type Principal, createDashboard } from '../../../../dashboard/index.js';
import type { Producer } from '../../../../producer/index.js';
import { LogLines } from '../../../support/fleet/log-lines.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { EventClient } from '../../api/stream/event-client.js';
import { serve } from '../../serve-dashboard.js';
import { TestDashboard } from '../../test-dashboard.js';
import { issueToken } from './issue-token.js';

const fleet = await TestFleet.start();
const keyPrefix = fleet.newPrefix();
const keys = fleet.keys(keyPrefix);
const note = new ScriptedTask('note.write');
const definitions = [note.definition];
let producer: Producer;
let dashboard: TestDashboard;
let task: string;

before(async () => {
  producer = fleet.producer({ keyPrefix });
  dashboard = await TestDashboard.start(producer, {}, { definitions });
  task = (await producer.enqueue(note.definition, {}, { item: 'mine' })).id;
});
after(async () => {
  await dashboard.stop();
  await fleet.stop();
});

const statusOf = async (token: string, on = dashboard): Promise<number> => (await on.send('GET', '/api/v1/me', { token })).status;

/** Opens the streams of the list, of the task and of its log. */
async function open(token: string): Promise<EventClient[]> {
  const headers = { Authorization: `Bearer ${token}`, Accept: 'text/event-stream' };
  const paths = ['/events', `/tasks/${task}/events`, `/tasks/${task}/logs`];
  return Promise.all(paths.map((path) => EventClient.open(dashboard.port, path, { headers })));
}

/** Opens the streams of a token, and waits until each has begun. */
async function follow(token: string): Promise<EventClient[]> {
  const clients = await open(token);
  assert.deepEqual(
    clients.map(({ status }) => status),
    [200, 200, 200],
  );
  return clients;
}

/** Issues a token that expires soon after its streams have begun: on a busy machine, later. */
async function followExpiring(): Promise<{ expiring: Awaited<ReturnType<typeof issueToken>>; streams: EventClient[] }> {
  for (const seconds of [2, 10, 60]) {
    const expiring = await issueToken(dashboard, { expires_in: `${seconds}s` });
    // A stream whose token has expired is refused, or closed before its answer.
    const streams = await open(expiring.token).catch(() => []);
    if (streams.length > 0 && streams.every(({ status }) => status === 200)) return { expiring, streams };
    for (const client of streams) client.leave();
  }
  return assert.fail('no streams began within a minute');
}

test('expiry and revocation end the event streams of a token, and no others', async () => {
  const [revoked, kept] = [await issueToken(dashboard), await issueToken(dashboard)];
  const [ofRevoked, ofKept] = [await follow(revoked.token), await follow(kept.token)];
  const { expiring, streams: ofExpiring } = await followExpiring();
  const { status } = await dashboard.send('DELETE', `/api/v1/tokens/${revoked.id}`, { token: dashboard.tokens.operator });
  assert.equal(status, 204);
  await Promise.all([...ofExpiring, ...ofRevoked].map((client) => client.end()));
  assert.deepEqual([await statusOf(expiring.token), await statusOf(revoked.token), await statusOf(kept.token)], [401, 401, 200]);
  assert.ok(Date.now() >= Date.parse(expiring.expires_at) - 1_500);
  const [list] = ofKept;
  const { id } = await producer.enqueue(note.definition, {}, { item: 'mine' });
  await list?.until((heard) => JSON.stringify(heard).includes(id));
  for (const client of ofKept) client.leave();
});

test('expiry ends the event streams of a token even if Redis does not say so', async () => {
  const { expiring, streams } = await followExpiring();
  const { id } = expiring;
  assert.equal(await fleet.client.persist(keys.itemToken(id)), 1);
  await Promise.all(streams.map((client) => client.end()));
  assert.equal(await fleet.client.del(keys.itemToken(id)), 1, 'Redis still had the token');
});

test('a token is revoked by its issuer and by admins only', async () => {
  const { token, id } = await issueToken(dashboard);
  const revoke = async (who: 'viewer' | 'alice-operator' | 'operator' | 'admin', which = id): Promise<number> =>
    (await dashboard.send('DELETE', `/api/v1/tokens/${which}`, { token: dashboard.tokens[who] })).status;
  assert.deepEqual([await revoke('viewer'), await revoke('alice-operator')], [404, 404]);
  assert.equal(await statusOf(token), 200);
  assert.deepEqual([await revoke('admin'), await revoke('operator')], [204, 404]);
  for (const odd of ['x', '*', '..%2Fsessions', 'a'.repeat(32)]) assert.equal(await revoke('admin', odd), 404, odd);
});

test('a token ends with the rights of its issuer', async (t) => {
  const { token } = await issueToken(dashboard);
  const issuer = dashboard.tokens.operator;
  const expected = [
    [{ name: 'operator', role: 'operator', items: null }, 200],
    [{ name: 'renamed', role: 'admin', items: ['mi*'] }, 200],
    [{ name: 'operator', role: 'viewer', items: null }, 401],
    [{ name: 'operator', role: 'operator', items: ['other'] }, 401],
  ] as const;
  for (const [entry, status] of expected) {
    const other = await TestDashboard.start(producer, { apiTokens: [entryOf(issuer, entry)] });
    t.after(() => other.stop());
    assert.equal(await statusOf(token, other), status, JSON.stringify(entry));
  }
  const without = await TestDashboard.start(producer, {
    apiTokens: [entryOf(dashboard.tokens.viewer, { name: 'v', role: 'viewer', items: null })],
  });
  t.after(() => without.stop());
  assert.equal(await statusOf(token, without), 401);
  // The token of a service needs no entry.
  assert.equal(await statusOf((await producer.itemTokens.issue({ role: 'viewer', items: ['mine'] })).token, without), 200);
});

test('a malformed token or record is refused', async () => {
  const { token, id } = await issueToken(dashboard);
  for (const bad of ['tfi_', 'tfi_short', `${token}x`, token.toUpperCase(), `tfi_${'A'.repeat(43)}`, `${token}, Bearer ${token}`])
    assert.equal(await statusOf(bad), 401, bad);
  const record = JSON.parse((await fleet.client.get(keys.itemToken(id))) ?? '') as Record<string, unknown>;
  for (const change of [
    { role: 'admin' },
    { items: ['*'] },
    { items: [] },
    { items: 'mine' },
    { tasks: null },
    { name: 7 },
    { expiresAt: 'soon' },
  ]) {
    await fleet.client.set(keys.itemToken(id), JSON.stringify({ ...record, ...change }));
    assert.equal(await statusOf(token), 401, JSON.stringify(change));
  }
  for (const text of ['null', '[]', '{', '""']) {
    await fleet.client.set(keys.itemToken(id), text);
    assert.equal(await statusOf(token), 401, text);
  }
});

test('each token has its own rate limit and few event streams', async (t) => {
  const limited = await TestDashboard.start(fleet.producer({ keyPrefix: fleet.newPrefix() }), { apiRateLimit: 40 }, { definitions });
  t.after(() => limited.stop());
  const [one, other] = [await issueToken(limited), await issueToken(limited)];
  const clients = await Promise.all(
    Array.from({ length: 34 }, () => EventClient.open(limited.port, '/events', { headers: { Authorization: `Bearer ${one.token}` } })),
  );
  assert.equal(clients.filter(({ status }) => status === 429).length, 2);
  for (const client of clients) client.leave();
  const statuses: number[] = [];
  for (let n = 0; n < 10; n += 1) statuses.push(await statusOf(one.token, limited));
  assert.deepEqual(new Set(statuses), new Set([200, 429]));
  assert.equal(await statusOf(other.token, limited), 200);
});

test('a mounted dashboard accepts item tokens before it asks the app', async (t) => {
  // The bad tokens of the other tests count here too.
  const fresh = fleet.producer({ keyPrefix: fleet.newPrefix() });
  const { token } = await fresh.itemTokens.issue({ role: 'viewer', items: ['mine'] });
  const user: Principal = { name: 'user', role: 'admin', items: null, via: 'session' };
  const all: Readonly<Record<string, { auth: Auth; without: number }>> = {
    function: { auth: () => user, without: 200 },
    refusing: { auth: () => null, without: 401 },
    none: { auth: false, without: 200 },
  };
  for (const [name, { auth, without }] of Object.entries(all)) {
    const { router } = createDashboard({ producer: fresh, auth, loggers: new LogLines().loggers });
    const served = await serve((req, res) => router(req, res, () => res.writeHead(404).end()));
    t.after(() => served.close());
    const ask = (path: string, bearer?: string): Promise<Response> =>
      fetch(`http://127.0.0.1:${served.port}${path}`, { headers: bearer === undefined ? {} : { Authorization: `Bearer ${bearer}` } });
    assert.equal(((await (await ask('/api/v1/me', token)).json()) as { via: string }).via, 'item-token', name);
    assert.equal((await ask('/api/v1/overview', token)).status, 403, name);
    assert.equal((await ask('/board', token)).status, 403, name);
    // An unknown token does not fall back to the rights of the app's user.
    assert.equal((await ask('/api/v1/me', `tfi_${'A'.repeat(43)}`)).status, 401, name);
    assert.equal((await ask('/api/v1/me')).status, without, name);
  }
});
