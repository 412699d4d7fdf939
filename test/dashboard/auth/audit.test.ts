import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { isAuditCursor, readAudit } from '../../../dashboard/auth/audit-log.js';
import { Auditor } from '../../../dashboard/auth/audit.js';
import { entryOf, newToken } from '../../../dashboard/auth/tokens.js';
import { fleetCanary } from '../../../index.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { type SendOptions, TestDashboard } from '../test-dashboard.js';
import { AUDIENCE, ISSUER, startIssuer } from './jwt-issuer.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const store = fleet.store();
const ROOT = newToken();
const ADA = { name: 'ada', role: 'operator', items: null, via: 'token' } as const;

test('the audit is filtered by caller, action, outcome, target and time, in pages', async (t) => {
  const keyPrefix = fleet.newPrefix();
  const own = fleet.store({ keyPrefix });
  const auditor = new Auditor(own, new LogLines().loggers('dashboard'));
  const write = (name: string, action: string, target: string, outcome: { allowed: string } | { denied: string }): Promise<void> =>
    auditor.record(
      { principal: { ...ADA, name }, requestId: null, address: '127.0.0.1' },
      { action, target, item: `item-of-${target}`, outcome },
    );
  for (const number of [1, 2, 3]) await write('ada', 'task.stop', `task-${number}`, { allowed: 'cancelled' });
  // Records of the same millisecond have no order across the two streams.
  await setTimeout(5);
  await write('adam', 'task.retry', 'task-2', { denied: 'FORBIDDEN' });
  const middle = await own.redis.time();
  await setTimeout(5);
  await write('Olga', 'schedule.run', 'nightly', { allowed: 'enqueued' });
  const producer = fleet.producer({ keyPrefix });
  const dashboard = await TestDashboard.start(producer);
  t.after(() => dashboard.stop());
  const read = async (query: string): Promise<{ records: { action: string; target: string }[]; next: string | null }> => {
    const { status, body, text } = await dashboard.send('GET', `/api/v1/audit?${query}`, { token: dashboard.tokens.admin });
    assert.equal(status, 200, text);
    return body as { records: { action: string; target: string }[]; next: string | null };
  };
  const targets = async (query: string): Promise<string[]> => (await read(query)).records.map(({ target }) => target);
  assert.deepEqual(await targets('name=ada'), ['task-3', 'task-2', 'task-1']);
  assert.deepEqual(await targets('name=ADA*'), ['task-2', 'task-3', 'task-2', 'task-1']);
  assert.deepEqual(await targets('action=task.*&outcome=denied'), ['task-2']);
  assert.deepEqual(await targets('action=schedule.run'), ['nightly']);
  assert.deepEqual(await targets('target=task-2'), ['task-2', 'task-2']);
  assert.deepEqual(await targets('target=item-of-n*'), ['nightly']);
  const at = new Date(Number(middle[0]) * 1_000 + Math.ceil(Number(middle[1]) / 1_000)).toISOString();
  assert.deepEqual(await targets(`since=${at}`), ['nightly']);
  assert.deepEqual(await targets(`until=${at}`), ['task-2', 'task-3', 'task-2', 'task-1']);
  assert.equal((await targets('since=1h')).length, 5);
  assert.deepEqual(await targets('name=nobody'), []);
  const first = await read('name=ada&limit=2');
  assert.deepEqual(
    first.records.map(({ target }) => target),
    ['task-3', 'task-2'],
  );
  assert.deepEqual(await targets(`name=ada&limit=2&after=${first.next}`), ['task-1']);
  assert.equal((await dashboard.send('GET', '/api/v1/audit?since=yesterday', { token: dashboard.tokens.admin })).status, 400);
});

test('a write is recorded with caller, action, target, reason and outcome', async (t) => {
  const producer = fleet.producer();
  const dashboard = await TestDashboard.start(producer);
  t.after(() => dashboard.stop());
  await producer.enqueue(fleetCanary, { run_ms: 60_000 }, { id: 'one' });
  const send = (who: 'operator' | 'viewer', requestId: string): ReturnType<TestDashboard['send']> =>
    dashboard.send('POST', '/api/v1/tasks/one/stop', {
      token: dashboard.tokens[who],
      headers: { 'X-Request-Id': requestId },
      body: { reason: 'too slow' },
    });
  assert.equal((await send('viewer', 'request-1')).status, 403);
  assert.equal((await send('operator', 'request-2')).status, 200);
  assert.equal(
    (await dashboard.send('POST', '/api/v1/tasks/one/stop', { token: 'wrong', headers: { 'X-Request-Id': 'request-3' } })).status,
    401,
  );
  await dashboard.signIn('wrong');

  const { body } = await dashboard.send('GET', '/api/v1/audit', { token: dashboard.tokens.admin });
  const { records } = body as { records: Record<string, unknown>[] };
  const shown = records.map(({ name, role, via, action, target, reason, outcome, result }) => [
    name,
    role,
    via,
    action,
    target,
    reason,
    outcome,
    result,
  ]);
  assert.deepEqual(shown, [
    [null, null, null, 'sign-in', null, null, 'denied', 'UNAUTHENTICATED'],
    [null, null, null, 'POST /api/v1/tasks/one/stop', null, null, 'denied', 'UNAUTHENTICATED'],
    ['operator', 'operator', 'token', 'task.stop', 'one', 'too slow', 'allowed', 'cancelled'],
    ['viewer', 'viewer', 'token', 'POST /api/v1/tasks/one/stop', null, null, 'denied', 'FORBIDDEN'],
  ]);
  assert.deepEqual(
    records.slice(1).map(({ request_id }) => request_id),
    ['request-3', 'request-2', 'request-1'],
  );
  for (const { at, address } of records) {
    assert.ok(Math.abs(Date.parse(at as string) - Date.now()) < 60_000);
    assert.equal(address, '127.0.0.1');
  }
  const [allowed] = dashboard.log.find(/^Write allowed$/);
  assert.deepEqual(
    [allowed?.['request_id'], allowed?.['name'], allowed?.['target'], allowed?.['reason'], allowed?.['result']],
    ['request-2', 'operator', 'one', 'too slow', 'cancelled'],
  );
  assert.equal(dashboard.log.find(/^Write denied$/).length, 3);
});

test('audit pages are newest first, across allowed and denied writes', async () => {
  const { redis, keys } = store;
  const entries = Array.from({ length: 50 }, (_, at) => ({ ms: 1_000 + Math.floor(at / 3), denied: at % 3 === 1 || at % 7 === 0 }));
  const last = new Map<string, number>();
  for (const { ms, denied } of entries) {
    const key = denied ? keys.auditDenied : keys.audit;
    const seq = (last.get(`${key}${ms}`) ?? -1) + 1;
    last.set(`${key}${ms}`, seq);
    await redis.xadd(key, `${ms}-${seq}`, 'at', String(ms), 'action', 'test', 'result', 'x');
  }
  const all = (await readAudit(store, { limit: 1_000 })).records;
  assert.equal(all.length, 50);
  assert.equal(new Set(all.map(({ id }) => id)).size, 50);
  assert.deepEqual(
    all.map(({ at }) => at),
    all.map(({ at }) => at).toSorted((a, b) => b - a),
  );
  for (const limit of [1, 2, 3, 7, 50]) {
    const ids: string[] = [];
    for (let cursor: string | null = null, pages = 0; pages === 0 || cursor !== null; pages += 1) {
      const page = await readAudit(store, { after: cursor, limit });
      ids.push(...page.records.map(({ id }) => id));
      cursor = page.next;
    }
    assert.deepEqual(
      ids,
      all.map(({ id }) => id),
      `by ${limit}`,
    );
  }
  for (const bad of ['', 'x', '1-1', '1-1x', '(1-1a', '+', '1-1a\n', '-1-1a']) assert.equal(isAuditCursor(bad), false, bad);
});

test('a flood of refusals evicts no allowed entries, and anonymous refusals are capped in log and Redis', async () => {
  const own = fleet.store();
  const log = new LogLines();
  const auditor = new Auditor(own, log.loggers('dashboard'));
  const caller = { requestId: null, address: '127.0.0.1' };
  await auditor.record({ ...caller, principal: ADA }, { action: 'task.stop', target: 'one', outcome: { allowed: 'cancelled' } });
  await Promise.all(
    Array.from({ length: 5_000 }, () =>
      auditor.record({ ...caller, principal: ADA }, { action: 'task.stop', outcome: { denied: 'FORBIDDEN' } }),
    ),
  );
  assert.equal(await own.redis.xlen(own.keys.audit), 1);
  assert.ok((await own.redis.xlen(own.keys.auditDenied)) < 2_200);
  const lines = log.lines.length;
  await Promise.all(
    Array.from({ length: 1_000 }, () =>
      auditor.record({ ...caller, principal: null }, { action: 'sign-in', outcome: { denied: 'UNAUTHENTICATED' } }),
    ),
  );
  assert.ok(log.lines.length - lines <= 122, `${log.lines.length - lines} lines`);
});

test('a record that Redis rejects is in the log and does not fail the request', async () => {
  const log = new LogLines();
  const away = {
    ...store,
    redis: Object.assign(Object.create(store.redis) as typeof store.redis, { xadd: () => Promise.reject(new Error('away')) }),
  };
  const auditor = new Auditor(away, log.loggers('dashboard'));
  await auditor.record(
    { requestId: 'r', address: '::1', principal: ADA },
    { action: 'task.stop', target: 'one', reason: 'x'.repeat(2_000), outcome: { allowed: 'cancelled' } },
  );
  assert.equal(log.find(/^Write allowed$/)[0]?.['target'], 'one');
  assert.equal(String(log.find(/^Write allowed$/)[0]?.['reason']).length, 501);
  assert.equal(log.find(/^Could not add a write to the audit stream/).length, 1);
});

test('a write refused before its route is recorded too, for every reason', async (t) => {
  const issuer = await startIssuer();
  t.after(() => issuer.stop());
  const dashboard = await TestDashboard.start(fleet.producer(), {
    jwtIssuer: ISSUER,
    jwtAudience: AUDIENCE,
    jwtJwksUrl: issuer.url,
    apiBodyLimit: 1_024,
  });
  t.after(() => dashboard.stop());
  const { operator: token } = dashboard.tokens;
  const json = { 'Content-Type': 'application/json' };
  const jwt = await issuer.sign({ role: 'root' });
  const { cookie } = await dashboard.signIn(token);
  const cases: readonly (readonly [status: number, method: string, path: string, options: SendOptions])[] = [
    [400, 'POST', '/api/v1/tasks', { token, headers: json, body: '{' }],
    [400, 'POST', '/api/v1/tasks', { token, body: { name: 7 } }],
    [400, 'POST', '/api/v1/tasks/a%00b/stop', { token, body: {} }],
    [413, 'POST', '/api/v1/tasks', { token, headers: json, body: `"${'x'.repeat(2_000)}"` }],
    [415, 'POST', '/api/v1/tasks', { token, headers: { 'Content-Type': 'text/plain' }, body: 'x' }],
    [405, 'PATCH', '/api/v1/tasks', { token }],
    [404, 'POST', '/api/v1/nothing', { token }],
    [404, 'PUT', '/nowhere', { token }],
    [403, 'POST', '/api/v1/tasks', { token: jwt, body: { name: 'fleet.canary' } }],
    [
      403,
      'POST',
      '/sign-in',
      { headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: new URLSearchParams({ token: jwt }).toString() },
    ],
    [403, 'POST', '/sign-out', { headers: { Cookie: cookie } }],
    [413, 'POST', '/sign-in', { headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: `token=${'x'.repeat(40_000)}` }],
    [400, 'POST', '/api/tasks/stop/a%00b', { token }],
    [415, 'PUT', '/board/api/queues/fleet/pause', { token, headers: { 'Content-Type': 'text/plain' }, body: 'x' }],
  ];
  for (const [status, method, path, options] of cases)
    assert.equal((await dashboard.send(method, path, options)).status, status, `${method} ${path}`);
  // Refused reads are not recorded.
  assert.equal((await dashboard.send('GET', '/api/v1/me', { token: jwt })).status, 403);
  assert.equal((await dashboard.send('GET', '/api/v1/tasks?limit=x', { token })).status, 400);
  const { body } = await dashboard.send('GET', '/api/v1/audit', { token: dashboard.tokens.admin });
  const told = (body as { records: Record<string, unknown>[] }).records.map(({ name, role, action, result }) => [
    name,
    role,
    action,
    result,
  ]);
  const operator = ['operator', 'operator'];
  assert.deepEqual(told.toReversed(), [
    [...operator, 'sign-in', 'signed in'],
    [...operator, 'POST /api/v1/tasks', 'BAD_REQUEST'],
    [...operator, 'POST /api/v1/tasks', 'BAD_REQUEST'],
    [...operator, 'POST /api/v1/tasks/a%00b/stop', 'INVALID_ID'],
    [...operator, 'POST /api/v1/tasks', 'BODY_TOO_LARGE'],
    [...operator, 'POST /api/v1/tasks', 'UNSUPPORTED_MEDIA_TYPE'],
    [...operator, 'PATCH /api/v1/tasks', 'METHOD_NOT_ALLOWED'],
    [...operator, 'POST /api/v1/nothing', 'NOT_FOUND'],
    [...operator, 'PUT /nowhere', 'NOT_FOUND'],
    ['ada', null, 'POST /api/v1/tasks', 'FORBIDDEN'],
    ['ada', null, 'sign-in', 'FORBIDDEN'],
    [...operator, 'sign-out', 'FORBIDDEN'],
    [null, null, 'sign-in', 'BODY_TOO_LARGE'],
    [...operator, 'POST /api/tasks/stop/a%00b', 'INVALID_ID'],
    [...operator, 'PUT /board/api/queues/fleet/pause', 'UNSUPPORTED_MEDIA_TYPE'],
  ]);
});

test('an admin with item patterns sees full pages of its own writes and those about its items', async (t) => {
  const [producer, token] = [fleet.producer(), newToken()];
  const apiTokens = [
    entryOf(token, { name: 'alice', role: 'admin', items: ['alice:*'] }),
    entryOf(ROOT, { name: 'root', role: 'admin', items: null }),
  ];
  const dashboard = await TestDashboard.start(producer, { apiTokens });
  t.after(() => dashboard.stop());
  for (const [id, item] of [
    ['a', 'alice:1'],
    ['b', 'bob:1'],
    ['c', undefined],
  ] as const)
    await producer.enqueue(fleetCanary, { run_ms: 60_000 }, { id, item });
  const post = (by: string, path: string): Promise<unknown> => dashboard.send('POST', path, { token: by, body: {} });
  for (const id of ['a', 'b', 'c']) await post(ROOT, `/api/v1/tasks/${id}/stop`);
  for (const item of ['alice:1', 'bob:1']) await post(ROOT, `/api/v1/items/${encodeURIComponent(item)}/stop`);
  await post(ROOT, '/api/v1/tasks/a/stop');
  await post(ROOT, '/api/tasks/stop/a');
  await post(ROOT, '/api/tasks/stop/b');
  await post(token, '/api/v1/tasks/b/stop');
  const read = async (by: string, path = ''): Promise<{ records: Record<string, unknown>[]; next: string | null }> =>
    (await dashboard.send('GET', `/api/v1/audit?${path}`, { token: by })).body as {
      records: Record<string, unknown>[];
      next: string | null;
    };
  const told = ({ name, target, item, result }: Record<string, unknown>): unknown[] => [name, target, item, result];
  const mine = [
    ['root', 'a', 'alice:1', 'cancelled'],
    ['root', 'alice:1', 'alice:1', '0 tasks'],
    ['root', 'a', 'alice:1', 'cancelled'],
    ['root', 'a', 'alice:1', 'cancelled'],
    ['alice', 'b', null, 'TASK_NOT_FOUND'],
  ];
  assert.deepEqual((await read(token)).records.map(told).toReversed(), mine);
  assert.equal((await read(ROOT)).records.length, 9);
  const pages: unknown[][] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: Awaited<ReturnType<typeof read>> = await read(token, `limit=2${cursor && `&after=${cursor}`}`);
    pages.push(page.records.map(told));
    cursor = page.next;
  }
  assert.deepEqual(
    pages.map((page) => page.length),
    [2, 2, 1],
  );
  assert.deepEqual(pages.flat().toReversed(), mine);
});

test('a write is refused in time while Redis hangs', async () => {
  const log = new LogLines();
  const hanging = {
    ...store,
    redis: Object.assign(Object.create(store.redis) as typeof store.redis, { xadd: () => new Promise(() => undefined) }),
  };
  const auditor = new Auditor(hanging, log.loggers('dashboard'));
  await auditor.record(
    { requestId: 'r', address: '::1', principal: ADA },
    { action: 'task.stop', outcome: { denied: 'REDIS_UNAVAILABLE' } },
  );
  assert.equal(log.find(/^Could not add a write to the audit stream/).length, 1);
});
