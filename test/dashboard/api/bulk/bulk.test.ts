import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Bulk } from '../../../../dashboard/api/schemas/bulk.js';
import { fleetCanary } from '../../../../index.js';
import type { Producer } from '../../../../producer/index.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { until } from '../../../support/until.js';
import { freshApi } from '../fresh-api.js';
import type { PRINCIPALS, Sent, ServedApi } from '../serve-api.js';

const fleet = await TestFleet.start();
let keyPrefix: string;
let producer: Producer;
let api: ServedApi;
freshApi(fleet, (fresh) => ({ keyPrefix, producer, api } = fresh));
after(() => fleet.stop());

type Caller = keyof typeof PRINCIPALS;
interface AuditEntry {
  readonly name: string;
  readonly action: string;
  readonly target: string;
  readonly result: string;
}
interface Receipts {
  readonly receipts: { readonly id: string; readonly outcome: string; readonly by?: string }[];
  readonly next: string | null;
}

const add = (id: string, options: object = {}) => producer.enqueue(fleetCanary, {}, { id, ...options });
const post = (action: 'stop' | 'retry', json: object, as: Caller = 'operator', headers = {}) =>
  api.send('POST', `/tasks/${action}`, { as, json, headers });
const bulkOf = ({ body }: Sent): Bulk => body as Bulk;
const codeOf = ({ body }: Sent): string => (body as { code: string }).code;
const statesOf = (...ids: string[]) => Promise.all(ids.map(async (id) => (await producer.get(id))?.state));

async function ended(id: string, as: Caller = 'operator'): Promise<Bulk> {
  return until(
    async () => bulkOf(await api.send('GET', `/bulk/${id}`, { as })),
    ({ state }) => state === 'completed',
  );
}

async function audit(): Promise<string[][]> {
  const { records } = (await api.send('GET', '/audit?limit=100')).body as { records: AuditEntry[] };
  return records.map(({ name, action, target, result }) => [name, action, target, result]).toReversed();
}

test('a stop by filter is one task, with receipts, and audited as one act', async () => {
  for (let n = 0; n < 6; n += 1) await add(`a${n}`, { tags: [n < 4 ? 'tenant:7' : 'tenant:8'] });
  const preview = await post('stop', { filter: { tag: 'tenant:7' }, dry_run: true });
  const { matched, complete, first } = preview.body as { matched: number; complete: boolean; first: { id: string }[] };
  assert.deepEqual([preview.status, matched, complete, first.map(({ id }) => id).toSorted()], [200, 4, true, ['a0', 'a1', 'a2', 'a3']]);
  const started = await post('stop', { filter: { tag: ['tenant:7'], state: ['queued', 'running'] }, reason: 'left' });
  const { id, action, state, by, reason, filter, done } = bulkOf(started);
  assert.deepEqual([started.status, started.headers.location], [202, `/api/v1/bulk/${id}`]);
  assert.deepEqual([action, state, by, reason, done], ['stop', 'queued', 'operator', 'left', 0]);
  assert.deepEqual([filter?.['tag'], filter?.['state'], typeof filter?.['enqueued_before']], [['tenant:7'], 'queued,running', 'string']);
  await fleet.worker(keyPrefix, [], { concurrency: 1, builtinTasks: ['!*'] });
  const end = await ended(id);
  assert.deepEqual([end.total, end.matched, end.done, end.outcomes['cancelled']], [4, 4, 4, 4]);
  assert.ok(end.started_at !== null && end.finished_at !== null && end.error === null);
  assert.deepEqual(await statesOf('a0', 'a1', 'a2', 'a3'), ['cancelled', 'cancelled', 'cancelled', 'cancelled']);
  const page = (await api.send('GET', `/bulk/${id}/receipts?limit=3`)).body as Receipts;
  const rest = (await api.send('GET', `/bulk/${id}/receipts?limit=3&after=${page.next}`)).body as Receipts;
  assert.deepEqual([page.receipts.length, page.next, rest.receipts.length, rest.next], [3, '3', 1, null]);
  assert.deepEqual(new Set([...page.receipts, ...rest.receipts].map((one) => one.id)), new Set(['a0', 'a1', 'a2', 'a3']));
  assert.ok(page.receipts.every(({ outcome, by: who }) => outcome === 'cancelled' && who === 'operator'));
  const target = 'state=queued,running tag=tenant:7';
  assert.deepEqual(await audit(), [
    ['operator', 'tasks.stop (dry run)', 'tag=tenant:7', '4 tasks'],
    ['operator', 'tasks.stop', target, id],
    ['operator', 'tasks.stop (end)', target, `${id} completed: 4 tasks: 4 cancelled`],
  ]);
});

test('a retry by filter, by ids, and of nothing', async () => {
  for (let n = 0; n < 4; n += 1) await add(`b${n}`, { delay: 3_600_000 });
  await producer.stop(['b0', 'b1', 'b2']);
  await fleet.worker(keyPrefix, [], { builtinTasks: ['!*'] });
  const all = await ended(bulkOf(await post('retry', { filter: { state: 'cancelled', q: 'b0' } })).id);
  assert.deepEqual(all.outcomes, { retried: 1, not_retryable: 0, not_found: 0 });
  const some = bulkOf(await post('retry', { ids: ['b1', 'b3', 'nobody'] }));
  assert.equal(some.filter, null);
  assert.deepEqual((await ended(some.id)).outcomes, { retried: 1, not_retryable: 1, not_found: 1 });
  const { receipts } = (await api.send('GET', `/bulk/${some.id}/receipts`)).body as Receipts;
  assert.deepEqual(
    receipts.find(({ id }) => id === 'b3'),
    { id: 'b3', outcome: 'not_retryable', state: 'scheduled' },
  );
  const none = await ended(bulkOf(await post('retry', { filter: { name: 'no.such' } })).id);
  assert.deepEqual([none.total, none.matched, none.done], [0, 0, 0]);
  assert.deepEqual(await statesOf('b1', 'b2', 'b3'), ['queued', 'cancelled', 'scheduled']);
});

test('callers act on tasks of their items only, and follow their own bulks only', async () => {
  for (const [id, item] of [
    ['m1', 'mine-1'],
    ['m2', 'mine-2'],
    ['o1', 'other-1'],
    ['n1', undefined],
  ] as const)
    await add(id, { item });
  const preview = (await post('stop', { all: true, dry_run: true }, 'owner')).body as { matched: number; first: { id: string }[] };
  assert.deepEqual([preview.matched, preview.first.map(({ id }) => id).toSorted()], [2, ['m1', 'm2']]);
  const byFilter = bulkOf(await post('stop', { filter: { q: 'm1' } }, 'owner'));
  const byIds = bulkOf(await post('stop', { ids: ['m2', 'o1', 'n1'] }, 'owner'));
  const theirs = bulkOf(await post('stop', { filter: { name: 'no.such' } }, 'operator'));
  await fleet.worker(keyPrefix, [], { builtinTasks: ['!*'], concurrency: 1 });
  assert.equal((await ended(byFilter.id, 'owner')).done, 1);
  const { outcomes } = await ended(byIds.id, 'owner');
  assert.deepEqual([outcomes['cancelled'], outcomes['not_found']], [1, 2], 'hidden tasks look like tasks that do not exist');
  assert.deepEqual(await statesOf('m1', 'm2', 'o1', 'n1'), ['cancelled', 'cancelled', 'queued', 'queued']);
  for (const [as, statuses] of [
    ['owner', [200, 404]],
    ['operator', [200, 200]],
    ['admin', [200, 200]],
    ['submitter', [404, 404]],
    ['steward', [404, 404]],
    ['viewer', [403, 403]],
  ] as const) {
    for (const [index, id] of [byFilter.id, theirs.id].entries())
      for (const path of [`/bulk/${id}`, `/bulk/${id}/receipts`])
        assert.equal((await api.send('GET', path, { as })).status, statuses[index], `${as} ${path}`);
  }
  assert.equal((await api.send('POST', `/bulk/${theirs.id}/stop`, { as: 'owner', json: {} })).status, 404);
  assert.equal((await api.send('GET', `/tasks/${byFilter.id}`, { as: 'owner' })).status, 404, 'a bulk has no item');
});

test('bad bodies are refused, and nothing is enqueued', async () => {
  await add('kept');
  for (const [json, status, code] of [
    [{}, 400, 'INVALID_OPTION'],
    [{ filter: {} }, 400, 'INVALID_OPTION'],
    [{ filter: { state: 'live' } }, 400, 'INVALID_OPTION'],
    [{ filter: { state: 'failed' } }, 400, 'INVALID_OPTION'],
    [{ filter: { state: 'nonsense' } }, 400, 'BAD_REQUEST'],
    [{ filter: { older_than: 'long' } }, 400, 'INVALID_OPTION'],
    [{ filter: { enqueued_after: 'yesterday' } }, 400, 'INVALID_OPTION'],
    [{ filter: { nmae: 'x' } }, 400, 'BAD_REQUEST'],
    [{ filter: { name: 'x' }, ids: ['a'] }, 400, 'BAD_REQUEST'],
    [{ ids: [] }, 400, 'BAD_REQUEST'],
    [{ ids: ['a'], dry_run: true }, 400, 'INVALID_OPTION'],
    [{ filter: { name: 'x' }, reason: 'x'.repeat(501) }, 400, 'BAD_REQUEST'],
    [{ filter: 'x' }, 400, 'BAD_REQUEST'],
  ] as const) {
    const refused = await post('stop', json);
    assert.deepEqual([refused.status, codeOf(refused)], [status, code], JSON.stringify(json));
  }
  assert.deepEqual(
    (await producer.list()).tasks.map(({ id }) => id),
    ['kept'],
  );
  for (const name of ['fleet.stop-tasks', 'fleet.retry-tasks']) {
    const refused = await api.send('POST', '/tasks', { json: { name, input: {} } });
    assert.deepEqual([refused.status, codeOf(refused)], [400, 'UNKNOWN_TASK'], 'a bulk cannot be enqueued as any task');
  }
  assert.equal((await post('stop', { all: true })).status, 202);
});

test('the same Idempotency-Key starts one bulk, and a bulk can be stopped before it begins', async () => {
  const json = { filter: { tag: 'x' } };
  const headers = { 'idempotency-key': '"once"' };
  const [first, again] = [await post('stop', json, 'operator', headers), await post('stop', json, 'operator', headers)];
  assert.deepEqual([first.status, again.status, bulkOf(again).id], [202, 202, bulkOf(first).id]);
  assert.equal(codeOf(await post('stop', { filter: { tag: 'y' } }, 'operator', headers)), 'IDEMPOTENCY_CONFLICT');
  assert.notEqual(bulkOf(await post('stop', json)).id, bulkOf(first).id);
  const { id } = bulkOf(first);
  const stopped = await api.send('POST', `/bulk/${id}/stop`, { as: 'operator', json: { reason: 'wrong filter' } });
  assert.deepEqual([stopped.status, (stopped.body as { outcome: string }).outcome], [200, 'cancelled']);
  assert.deepEqual(
    [bulkOf(await api.send('GET', `/bulk/${id}`)).state, codeOf(await api.send('GET', '/bulk/key-1'))],
    ['cancelled', 'TASK_NOT_FOUND'],
  );
});

test('a task with the id of a route is still read, and unreadable bulks are not', async () => {
  for (const id of ['stop', 'retry']) {
    await add(id);
    assert.deepEqual(((await api.send('GET', `/tasks/${id}`)).body as { id: string }).id, id);
    assert.equal((await api.send('POST', `/tasks/${id}/stop`, { json: {} })).status, 200);
    const wrong = await api.send('DELETE', `/tasks/${id}`);
    assert.deepEqual([wrong.status, wrong.headers['allow']], [405, 'POST, GET, HEAD, OPTIONS']);
  }
  await add('bulk.mine');
  const { id } = bulkOf(await post('stop', { filter: { tag: 'x' } }));
  const keys = fleet.keys(keyPrefix);
  await fleet.client.hset(keys.bulk(id), { done: '-1', outcomes: '[]', total: 'many', page: '7' });
  assert.deepEqual([bulkOf(await api.send('GET', `/bulk/${id}`)).done, bulkOf(await api.send('GET', `/bulk/${id}`)).total], [0, null]);
  await fleet.client.rpush(
    keys.bulk(`${id}:receipts`),
    'x',
    '{"id":"a","outcome":"nonsense"}',
    '{"id":"a","outcome":"cancelled","via":"magic","latency_ms":"slow"}',
  );
  const { receipts } = (await api.send('GET', `/bulk/${id}/receipts`)).body as Receipts;
  assert.deepEqual(
    receipts.map(({ id: task, outcome }) => [task, outcome]),
    [['a', 'cancelled']],
  );
  await fleet.client.hset(`${keys.jobs('maintenance')}${id}`, 'data', '{"filter":7}');
  assert.deepEqual(
    await Promise.all([id, 'bulk.mine', 'nobody'].map(async (one) => codeOf(await api.send('GET', `/bulk/${one}`)))),
    Array.from({ length: 3 }, () => 'TASK_NOT_FOUND'),
  );
});
