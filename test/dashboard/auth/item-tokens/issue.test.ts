import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Producer } from '../../../../producer/index.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { TestDashboard, type Who } from '../../test-dashboard.js';
import { issueToken } from './issue-token.js';

const fleet = await TestFleet.start();
const keyPrefix = fleet.newPrefix();
const note = new ScriptedTask('note.write');
let producer: Producer;
let dashboard: TestDashboard;

before(async () => {
  producer = fleet.producer({ keyPrefix });
  dashboard = await TestDashboard.start(producer, {}, { definitions: [note.definition] });
});
after(async () => {
  await dashboard.stop();
  await fleet.stop();
});

const MINUTE_MS = 60_000;

test('callers pass on at most their own role and items', async () => {
  const statusOf = async (who: Who, body: Readonly<Record<string, unknown>>): Promise<number> =>
    (await dashboard.send('POST', '/api/v1/tokens', { token: dashboard.tokens[who], body })).status;
  const answers = {
    viewer: [201, 403, 201],
    submitter: [201, 403, 201],
    operator: [201, 201, 201],
    admin: [201, 201, 201],
    'alice-viewer': [403, 403, 201],
    'alice-submitter': [403, 403, 201],
    'alice-operator': [403, 403, 201],
  } as const;
  for (const [who, expected] of Object.entries(answers)) {
    const got = [
      await statusOf(who as Who, { role: 'viewer', items: ['bob:1'] }),
      await statusOf(who as Who, { role: 'operator', items: ['bob:1'] }),
      await statusOf(who as Who, { role: 'viewer', items: ['alice:1', 'alice:2'] }),
    ];
    assert.deepEqual(got, expected, who);
  }
  assert.equal(await statusOf('alice-operator', { role: 'viewer', items: ['alice:1', 'bob:1'] }), 403);
  // The session of a person needs the role operator.
  for (const [who, expected] of [
    ['viewer', 403],
    ['operator', 201],
  ] as const) {
    const { cookie, csrf } = await dashboard.signIn(dashboard.tokens[who]);
    const headers = { Cookie: cookie, 'X-CSRF-Token': csrf };
    assert.equal((await dashboard.send('POST', '/api/v1/tokens', { headers, body: { role: 'viewer', items: ['a'] } })).status, expected);
  }
});

test('a bad request names its field', async () => {
  const fine = { role: 'operator', items: ['a'] };
  for (const [body, code, field] of [
    [{ ...fine, role: 'admin' }, 'BAD_REQUEST', 'role'],
    [{ ...fine, role: 'submitter' }, 'BAD_REQUEST', 'role'],
    [{ role: 'viewer' }, 'BAD_REQUEST', 'items'],
    [{ ...fine, items: [] }, 'BAD_REQUEST', 'items'],
    [{ ...fine, items: Array.from({ length: 21 }, (_, n) => `i${n}`) }, 'BAD_REQUEST', 'items'],
    [{ ...fine, items: ['*'] }, 'INVALID_ITEM', 'items.0'],
    [{ ...fine, items: ['a', 'chat:*'] }, 'INVALID_ITEM', 'items.1'],
    [{ ...fine, items: ['a\u0000'] }, 'INVALID_ITEM', 'items.0'],
    [{ ...fine, tasks: ['no.such.task'] }, 'UNKNOWN_TASK', 'tasks'],
    [{ ...fine, role: 'viewer', tasks: ['note.write'] }, 'INVALID_OPTION', 'tasks'],
    [{ ...fine, expires_in: '61m' }, 'INVALID_OPTION', 'expires_in'],
    [{ ...fine, expires_in: '0s' }, 'INVALID_OPTION', 'expires_in'],
    [{ ...fine, expires_in: 'soon' }, 'INVALID_OPTION', 'expires_in'],
    [{ ...fine, name: 'a/b' }, 'INVALID_OPTION', 'name'],
    [{ ...fine, name: '' }, 'INVALID_OPTION', 'name'],
    [{ ...fine, ttl: 3 }, 'BAD_REQUEST', 'ttl'],
  ] as const) {
    const { status, text, body: problem } = await dashboard.send('POST', '/api/v1/tokens', { token: dashboard.tokens.operator, body });
    const { code: got, errors = [] } = problem as { code: string; errors?: { field: string }[] };
    assert.deepEqual([status, got, errors[0]?.field], [400, code, field], `${JSON.stringify(body)}: ${text}`);
  }
  assert.deepEqual(await fleet.client.keys(fleet.keys(keyPrefix).itemToken('*')).then((found) => found.length > 0), true);
});

test('a token cannot issue or revoke tokens', async () => {
  const { token, id } = await issueToken(dashboard);
  for (const [method, path, body] of [
    ['POST', '/tokens', { role: 'viewer', items: ['mine'] }],
    ['DELETE', `/tokens/${id}`, undefined],
  ] as const)
    assert.equal((await dashboard.send(method, `/api/v1${path}`, { token, body })).status, 403);
  assert.equal((await dashboard.send('GET', '/api/v1/me', { token })).status, 200);
});

test('tokens expire after 15 minutes, or after the time that was asked for, by the clock of Redis', async () => {
  for (const [expiresIn, ms] of [
    [undefined, 15 * MINUTE_MS],
    ['90s', 90_000],
    ['1h', 60 * MINUTE_MS],
  ] as const) {
    const { id, expires_at: expiresAt } = await issueToken(dashboard, { ...(expiresIn && { expires_in: expiresIn }) });
    const left = await fleet.client.pttl(fleet.keys(keyPrefix).itemToken(id));
    assert.ok(left > ms - 30_000 && left <= ms, `${expiresIn}: ${left}`);
    assert.ok(Math.abs(Date.parse(expiresAt) - producer.store.clock.now() - left) < 5_000);
  }
});

test('Redis, the log and the audit have the hash or the id of a token, never the token', async () => {
  const { token, id } = await issueToken(dashboard, { name: 'user-7' });
  const added = await dashboard.send('POST', '/api/v1/tasks', { token, body: { name: 'note.write', item: 'mine' } });
  assert.equal(added.status, 202);
  const everything = await Promise.all(
    (await fleet.client.keys(`${keyPrefix}:dashboard:*`)).map(async (key) => {
      const type = await fleet.client.type(key);
      const value = type === 'string' ? await fleet.client.get(key) : type === 'stream' ? await fleet.client.xrange(key, '-', '+') : null;
      return `${key} ${JSON.stringify(value)}`;
    }),
  );
  const seen = everything.join('\n') + JSON.stringify(dashboard.log.lines) + JSON.stringify(added.headers);
  assert.ok(seen.includes(id) && !seen.includes(token) && !seen.includes(token.slice('tfi_'.length)));
  const { body } = await dashboard.send('GET', '/api/v1/audit?limit=10', { token: dashboard.tokens.admin });
  const [enqueue, issue] = (body as { records: Record<string, unknown>[] }).records;
  const part = ({ name, issuer, via, action, target, item, outcome, result }: Record<string, unknown> = {}): unknown[] => [
    ...[name, issuer, via, action, target, item, outcome, result],
  ];
  const { id: task } = added.body as { id: string };
  assert.deepEqual(part(enqueue), ['operator/user-7', `item-token:${id}`, 'item-token', 'task.enqueue', 'mine', 'mine', 'allowed', task]);
  assert.deepEqual(part(issue), ['operator', 'tokens', 'token', 'token.issue', 'mine', 'mine', 'allowed', id]);
});

test('a service issues and revokes tokens with its producer', async () => {
  const { token, id, expiresAt } = await producer.itemTokens.issue({
    role: 'operator',
    items: ['mine'],
    tasks: ['note.write'],
    expiresIn: '1m',
  });
  assert.ok(Math.abs(expiresAt.getTime() - producer.store.clock.now() - MINUTE_MS) < 5_000);
  const me = await dashboard.send('GET', '/api/v1/me', { token });
  assert.deepEqual(me.body, { name: 'service', role: 'operator', items: ['mine'], via: 'item-token', csrf_token: null });
  assert.equal((await dashboard.send('POST', '/api/v1/tasks', { token, body: { name: 'note.write', item: 'mine' } })).status, 202);
  assert.deepEqual([await producer.itemTokens.revoke(id), await producer.itemTokens.revoke(id)], [true, false]);
  assert.equal(await producer.itemTokens.revoke('*'), false);
  assert.equal((await dashboard.send('GET', '/api/v1/me', { token })).status, 401);
  for (const [options, code] of [
    [undefined, 'INVALID_OPTION'],
    [{ role: 'admin', items: ['a'] }, 'INVALID_OPTION'],
    [{ role: 'viewer', items: 'a' }, 'INVALID_ITEM'],
    [{ role: 'viewer', items: ['chat-*'] }, 'INVALID_ITEM'],
    [{ role: 'viewer', items: ['a'], expiresIn: 60 }, 'INVALID_OPTION'],
  ] as const)
    await assert.rejects(producer.itemTokens.issue(options as never), { code });
});
