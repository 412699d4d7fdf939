import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fleetCanary } from '../../../index.js';
import type { Producer } from '../../../producer/index.js';
import { createKeys } from '../../../shared/keys.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { freshApi } from './fresh-api.js';
import { PRINCIPALS, type Sent, type ServedApi, send } from './serve-api.js';

const fleet = await TestFleet.start();
let keyPrefix: string;
let producer: Producer;
let api: ServedApi;
freshApi(fleet, (fresh) => ({ keyPrefix, producer, api } = fresh));
after(() => fleet.stop());

type Caller = keyof typeof PRINCIPALS;
const idsOf = ({ body }: Sent): string[] => (body as { tasks: { id: string }[] }).tasks.map(({ id }) => id);
const add = (id: string, item?: string): Promise<unknown> => producer.enqueue(fleetCanary, {}, { id, item });
const stateOf = async (id: string): Promise<string | undefined> => (await producer.get(id))?.state;

test('hidden tasks look like tasks that do not exist', async () => {
  await add('hidden', 'other-1');
  await add('bare');
  for (const id of ['hidden', 'bare']) {
    for (const [as, method, path, json] of [
      ['guest', 'GET', `/tasks/${id}`, undefined],
      ['guest', 'GET', `/tasks/${id}/events`, undefined],
      ['owner', 'POST', `/tasks/${id}/stop`, {}],
      ['steward', 'POST', `/tasks/${id}/retry`, {}],
    ] as const) {
      const [there, not] = [await api.send(method, path, { as, json }), await api.send(method, path.replace(id, 'nobody'), { as, json })];
      const said = ({ text }: Sent): string => text.replace(/"request_id":"[^"]*"/, '').replaceAll(id, 'nobody');
      assert.deepEqual([there.status, said(there)], [404, said(not)]);
    }
    assert.equal(await stateOf(id), 'queued');
  }
});

test('lists omit hidden tasks, and paging ends', async () => {
  for (let n = 0; n < 12; n += 1) await add(`m${n}`, `mine-${n}`);
  await producer.enqueueMany(
    fleetCanary,
    Array.from({ length: 1_500 }, () => ({ input: {}, item: 'other' })),
  );
  await add('last', 'mine-x');
  for (const filter of ['', '&queue=fleet', '&state=queued']) {
    const seen: string[] = [];
    let pages = 0;
    for (let cursor: string | null = ''; cursor !== null; pages += 1) {
      const sent: Sent = await api.send('GET', `/tasks?limit=5${filter}${cursor && `&after=${encodeURIComponent(cursor)}`}`, {
        as: 'guest',
      });
      seen.push(...idsOf(sent));
      cursor = (sent.body as { next: string | null }).next;
      // A cursor names a task, so the caller must have seen that task.
      if (cursor !== null) assert.equal(cursor.replace(/^\d+-/, ''), seen.at(-1));
    }
    assert.equal(seen.length, 13);
    assert.ok(pages <= 4);
  }
  assert.deepEqual(idsOf(await api.send('GET', '/tasks?item=other', { as: 'guest' })), []);
  assert.deepEqual(idsOf(await api.send('GET', '/items/other/tasks', { as: 'guest' })), []);
  assert.deepEqual(idsOf(await api.send('GET', '/items/mine-x/tasks', { as: 'guest' })), ['last']);
});

test('hidden finished and foreign tasks are omitted too', async () => {
  const keys = createKeys(keyPrefix);
  await fleet.client.hset(keys.tasks, { 'foreign-mine': 'mine-f', 'foreign-other': 'other-f', 'foreign-bare': '' });
  for (const [id, item] of [
    ['a', 'mine-1'],
    ['b', 'other'],
    ['c', undefined],
  ] as const) {
    await add(id, item);
    await producer.stop(id);
  }
  assert.deepEqual(idsOf(await api.send('GET', '/tasks?state=cancelled', { as: 'guest' })), ['a']);
  assert.deepEqual(idsOf(await api.send('GET', '/tasks', { as: 'guest' })), ['foreign-mine']);
});

test('stopping a hidden item finds nothing, also as a dry run', async () => {
  await add('hidden', 'other-1');
  for (const json of [{}, { dry_run: true }]) {
    const sent = await api.send('POST', '/items/other-1/stop', { as: 'owner', json });
    assert.deepEqual([sent.status, (sent.body as { receipts: unknown[] }).receipts], [200, []]);
  }
  assert.equal(await stateOf('hidden'), 'queued');
});

const MAY: readonly (readonly [method: string, path: string, json: object | undefined, allowed: readonly Caller[]])[] = [
  ['GET', '/tasks', undefined, ['viewer', 'submitter', 'owner', 'guest', 'operator', 'steward', 'admin']],
  ['POST', '/tasks', { name: 'fleet.canary', item: 'mine-new' }, ['submitter', 'owner', 'operator', 'steward', 'admin']],
  ['POST', '/tasks', { name: 'fleet.canary' }, ['submitter', 'operator', 'admin']],
  ['POST', '/tasks', { name: 'fleet.canary', item: 'other' }, ['submitter', 'operator', 'admin']],
  ['POST', '/tasks', { name: 'fleet.canary', item: 'mine-new', on_busy: 'stop-previous' }, ['owner', 'operator', 'steward', 'admin']],
  ['POST', '/tasks/its/stop', {}, ['owner', 'operator', 'steward', 'admin']],
  ['POST', '/items/mine-1/stop', {}, ['owner', 'operator', 'steward', 'admin']],
  ['POST', '/tasks/its/retry', {}, ['operator', 'steward', 'admin']],
  ['GET', '/schedules', undefined, ['viewer', 'submitter', 'owner', 'guest', 'operator', 'steward', 'admin']],
  ['POST', '/schedules/nightly/run', {}, ['operator', 'admin']],
  ['DELETE', '/schedules/nightly', undefined, ['operator', 'admin']],
  ['PUT', '/usage/m/s', undefined, ['submitter', 'owner', 'operator', 'steward', 'admin']],
  ['GET', '/stats', undefined, ['viewer', 'submitter', 'operator', 'admin']],
  ['GET', '/overview', undefined, ['viewer', 'submitter', 'operator', 'admin']],
  ['GET', '/history', undefined, ['viewer', 'submitter', 'operator', 'admin']],
  ['GET', '/status', undefined, ['viewer', 'submitter', 'owner', 'guest', 'operator', 'steward', 'admin']],
  ['GET', '/audit', undefined, ['admin']],
];
for (const [method, path, json, allowed] of MAY) {
  test(`${method} ${path} ${json ? JSON.stringify(json) : ''} is for ${allowed.join(', ')}`, async () => {
    for (const as of Object.keys(PRINCIPALS) as Caller[]) {
      await producer.schedules.upsert('nightly', fleetCanary, {}, { every: 3_600_000 });
      await add('its', 'mine-1');
      if (path.endsWith('/retry')) await producer.stop('its');
      const { status } = await api.send(method, path, { as, json });
      const isAllowed = allowed.includes(as);
      if (isAllowed) assert.ok(status < 300, `${as}: ${status}`);
      // A steward may run schedules but sees none.
      else assert.ok(status === 403 || (as === 'steward' && status === 404), `${as}: ${status}`);
      const task = await producer.get('its');
      if (!isAllowed && path.includes('stop')) assert.equal(task?.state, 'queued');
      if (task?.state === 'cancelled') await producer.retry('its');
    }
  });
}

test('an enqueue under the id of a hidden task is refused without disclosing it', async () => {
  await add('taken', 'other-1');
  const sent = await api.send('POST', '/tasks', { as: 'owner', json: { name: 'fleet.canary', id: 'taken', item: 'mine-1' } });
  assert.equal(sent.status, 403);
  assert.doesNotMatch(sent.text, /other-1/);
});

test('the running tasks of a worker omit hidden ones', async () => {
  const keys = createKeys(keyPrefix);
  await add('seen', 'mine-1');
  await add('hidden', 'other-1');
  await fleet.client.zadd(keys.workers, Date.now(), 'w1', Date.now(), 'silent');
  await fleet.client.hset(keys.worker('w1'), {
    host: 'h',
    pid: 7,
    queues: '["fleet"]',
    slots: 10,
    running: '["seen","hidden"]',
    zombies: 0,
    draining: 0,
    subscribed: 1,
    started_at: 1,
    beat_at: 2,
    stops: 0,
    stop_p50_ms: '',
  });
  const running = async (as: Caller): Promise<unknown> =>
    ((await api.send('GET', '/workers', { as })).body as { workers: { running: string[] }[] }).workers.map((worker) => worker.running);
  assert.deepEqual(await running('guest'), [['seen'], []]);
  assert.deepEqual(await running('viewer'), [['seen', 'hidden'], []]);
});

test("open-webui's four routes have the same permissions", async () => {
  await add('seen', 'mine-1');
  await add('hidden', 'other-1');
  const ask = (method: string, path: string, as: Caller): Promise<Sent> => send(api.port, method, path, { as });
  assert.deepEqual((await ask('GET', '/api/tasks', 'guest')).body, { tasks: ['seen'] });
  assert.deepEqual((await ask('GET', '/api/tasks/chat/other-1', 'guest')).body, { task_ids: [] });
  assert.deepEqual(await ask('POST', '/api/tasks/stop/hidden', 'owner').then(({ status, body }) => [status, body]), [
    404,
    { detail: 'Task with ID hidden not found.' },
  ]);
  // As open-webui answers for another user's chat, whether or not it exists.
  for (const item of ['other-1', 'other-never']) {
    assert.deepEqual(await ask('POST', `/api/tasks/chat/${item}/stop`, 'owner').then(({ status, body }) => [status, body]), [
      404,
      { detail: `Item ${item} not found.` },
    ]);
  }
  assert.deepEqual((await ask('POST', '/api/tasks/chat/mine-none/stop', 'owner')).body, {
    status: true,
    message: 'No tasks found for item mine-none.',
  });
  for (const as of ['viewer', 'guest', 'submitter'] as const) {
    assert.equal((await ask('POST', '/api/tasks/stop/seen', as)).status, 403);
    assert.equal((await ask('POST', '/api/tasks/chat/mine-1/stop', as)).status, 403);
  }
  assert.deepEqual([await stateOf('seen'), await stateOf('hidden')], ['queued', 'queued']);
  assert.deepEqual((await ask('POST', '/api/tasks/stop/seen', 'owner')).body, { status: true, message: 'Task seen stopped.' });
  assert.equal((await producer.get('seen'))?.stop?.by, 'owner');
});

test('every write is recorded, allowed or denied', async () => {
  await add('its', 'mine-1');
  await api.send('POST', '/tasks', { as: 'owner', json: { name: 'fleet.canary', id: 'new', item: 'mine-2' } });
  await api.send('POST', '/tasks/its/stop', { as: 'owner', json: { reason: 'enough' } });
  await api.send('POST', '/tasks/nobody/stop', { as: 'owner' });
  await api.send('POST', '/tasks/its/stop', { as: 'viewer' });
  const { body } = await api.send('GET', '/audit?limit=10');
  const { records } = body as { records: Record<string, unknown>[] };
  const told = records.map(({ name, action, target, reason, outcome, result }) => [name, action, target, reason, outcome, result]);
  assert.deepEqual(told.toReversed(), [
    ['owner', 'task.enqueue', 'new', null, 'allowed', 'new'],
    ['owner', 'task.stop', 'its', 'enough', 'allowed', 'cancelled'],
    ['owner', 'task.stop', 'nobody', null, 'denied', 'TASK_NOT_FOUND'],
    ['viewer', 'POST /api/v1/tasks/its/stop', null, null, 'denied', 'FORBIDDEN'],
  ]);
  const second = await api.send('GET', `/audit?limit=1&after=${String(records[0]?.['id'])}`);
  assert.equal((second.body as { records: { result: string }[] }).records[0]?.result, 'TASK_NOT_FOUND');
  assert.equal((await api.send('GET', '/audit?after=x')).status, 400);
});
