import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { isAuditCursor, readAudit } from '../../../dashboard/auth/audit.js';
import { Auditor } from '../../../dashboard/auth/auditor.js';
import { fleetCanary } from '../../../index.js';
import { LogLines } from '../../support/log-lines.js';
import { TestFleet } from '../../support/test-fleet.js';
import { TestDashboard } from '../test-dashboard.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const ADA = { name: 'ada', role: 'operator', items: null, via: 'token' } as const;

test('a write is recorded with who, what, which task, why and what came of it', async (t) => {
  const producer = fleet.producer();
  const dashboard = await TestDashboard.start(producer);
  t.after(() => dashboard.stop());
  await producer.enqueue(fleetCanary, { run_ms: 60_000 }, { id: 'one' });
  const send = (who: 'operator' | 'viewer', requestId: string): ReturnType<TestDashboard['send']> =>
    dashboard.send('POST', '/api/v1/tasks/one/stop', { token: dashboard.tokens[who], headers: { 'X-Request-Id': requestId }, body: { reason: 'too slow' } });
  assert.equal((await send('viewer', 'request-1')).status, 403);
  assert.equal((await send('operator', 'request-2')).status, 200);
  assert.equal((await dashboard.send('POST', '/api/v1/tasks/one/stop', { token: 'wrong', headers: { 'X-Request-Id': 'request-3' } })).status, 401);
  await dashboard.signIn('wrong');

  const { body } = await dashboard.send('GET', '/api/v1/audit', { token: dashboard.tokens.admin });
  const { records } = body as { records: Record<string, unknown>[] };
  const shown = records.map(({ name, role, via, action, target, reason, outcome, result }) => [name, role, via, action, target, reason, outcome, result]);
  assert.deepEqual(shown, [
    [null, null, null, 'sign-in', null, null, 'denied', 'UNAUTHENTICATED'],
    [null, null, null, 'POST /api/v1/tasks/one/stop', null, null, 'denied', 'UNAUTHENTICATED'],
    ['operator', 'operator', 'token', 'task.stop', 'one', 'too slow', 'allowed', 'cancelled'],
    ['viewer', 'viewer', 'token', 'POST /api/v1/tasks/one/stop', null, null, 'denied', 'FORBIDDEN'],
  ]);
  assert.deepEqual(records.slice(1).map(({ request_id }) => request_id), ['request-3', 'request-2', 'request-1']);
  for (const { at, address } of records) {
    assert.ok(Math.abs(Date.parse(at as string) - Date.now()) < 60_000);
    assert.equal(address, '127.0.0.1');
  }
  const [allowed] = dashboard.log.find(/^Write allowed$/);
  assert.deepEqual([allowed?.['request_id'], allowed?.['name'], allowed?.['target'], allowed?.['reason'], allowed?.['result']], ['request-2', 'operator', 'one', 'too slow', 'cancelled']);
  assert.equal(dashboard.log.find(/^Write denied$/).length, 3);
});

test('the pages of the audit follow each other, newest first, whatever was allowed and what denied', async () => {
  const store = fleet.store();
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
  assert.deepEqual(all.map(({ at }) => at), all.map(({ at }) => at).toSorted((a, b) => b - a));
  for (const limit of [1, 2, 3, 7, 50]) {
    const ids: string[] = [];
    for (let cursor: string | null = null, pages = 0; pages === 0 || cursor !== null; pages += 1) {
      const page = await readAudit(store, { after: cursor, limit });
      ids.push(...page.records.map(({ id }) => id));
      cursor = page.next;
    }
    assert.deepEqual(ids, all.map(({ id }) => id), `by ${limit}`);
  }
  for (const bad of ['', 'x', '1-1', '1-1x', '(1-1a', '+', '1-1a\n', '-1-1a']) assert.equal(isAuditCursor(bad), false, bad);
});

test('a flood of refusals pushes out nothing that was allowed, and what nobody asked for fills neither the log nor Redis', async () => {
  const store = fleet.store();
  const log = new LogLines();
  const auditor = new Auditor(() => store, log.loggers('dashboard'));
  const caller = { requestId: null, address: '127.0.0.1' };
  await auditor.record({ ...caller, principal: ADA }, { action: 'task.stop', target: 'one', outcome: { allowed: 'cancelled' } });
  await Promise.all(Array.from({ length: 5_000 }, () => auditor.record({ ...caller, principal: ADA }, { action: 'task.stop', outcome: { denied: 'FORBIDDEN' } })));
  assert.equal(await store.redis.xlen(store.keys.audit), 1);
  assert.ok((await store.redis.xlen(store.keys.auditDenied)) < 2_200);
  const lines = log.lines.length;
  await Promise.all(Array.from({ length: 1_000 }, () => auditor.record({ ...caller, principal: null }, { action: 'sign-in', outcome: { denied: 'UNAUTHENTICATED' } })));
  assert.ok(log.lines.length - lines <= 122, `${log.lines.length - lines} lines`);
});

test('a record that Redis does not take is in the log, and is no error of the request', async () => {
  const log = new LogLines();
  const auditor = new Auditor(() => { throw new Error('away'); }, log.loggers('dashboard'));
  await auditor.record({ requestId: 'r', address: '::1', principal: ADA }, { action: 'task.stop', target: 'one', reason: 'x'.repeat(2_000), outcome: { allowed: 'cancelled' } });
  assert.equal(log.find(/^Write allowed$/)[0]?.['target'], 'one');
  assert.equal(String(log.find(/^Write allowed$/)[0]?.['reason']).length, 501);
  assert.equal(log.find(/could not be added to the audit/).length, 1);
});
