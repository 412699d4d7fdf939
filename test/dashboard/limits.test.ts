import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { taskToJson } from '../../producer/index.js';
import type { Producer } from '../../producer/index.js';
import { defineTask } from '../../shared/task/definition.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';
import { lineUp, placeStep } from '../support/task/line.js';
import { type Reply, TestDashboard, type Who } from './test-dashboard.js';

const fleet = await TestFleet.start();
const chat = defineTask({ name: 'chat', input: z.object({}), retention: KEEP });
const ALICE = 'alice:1';
let producer: Producer;
let dashboard: TestDashboard;

before(async () => {
  producer = fleet.producer();
  dashboard = await TestDashboard.start(producer);
  await producer.ping();
  await producer.store.limiter.publish([placeStep('chat', 'k'), placeStep('chat', '', 100)]);
  const steps = [placeStep('chat', 'tenant:7')];
  await lineUp(producer, chat, { id: 'bobs', item: 'bob:1', steps });
  await lineUp(producer, chat, { id: 'hers', item: ALICE, steps });
  await lineUp(producer, chat, { id: 'next', item: ALICE, steps });
});
after(async () => {
  await dashboard.stop();
  await fleet.stop();
});

const send = (who: Who, method: string, path: string, body?: Readonly<Record<string, unknown>>): Promise<Reply> =>
  dashboard.send(method, path, { token: dashboard.tokens[who], ...(body && { body }) });

test('a task says what it waits for; callers with item patterns learn no id of a hidden task', async () => {
  const waitingFor = async (who: Who, id = 'hers'): Promise<Record<string, unknown>> => {
    const { body } = await send(who, 'GET', `/api/v1/tasks/${id}`);
    const { state, waiting_for: waiting } = body as { state: string; waiting_for: Record<string, unknown> };
    assert.equal(state, 'queued');
    return waiting;
  };
  const common = { kind: 'concurrency', name: 'chat', key: 'tenant:7', limit: 1, running: 1, position: 1, length: 2, next_at: null };
  assert.deepEqual(await waitingFor('viewer'), { ...common, behind: ['bobs'] });
  assert.deepEqual(await waitingFor('alice-viewer'), { ...common, behind: [] });
  for (const path of ['/api/v1/tasks?state=queued', `/api/v1/items/${ALICE}/tasks`]) {
    const { body, text } = await send('alice-operator', 'GET', path);
    const { tasks } = body as { tasks: { id: string; waiting_for: { behind: unknown } }[] };
    assert.deepEqual(
      tasks.map(({ id, waiting_for: waiting }) => [id, waiting.behind]),
      [
        ['next', null],
        ['hers', null],
      ],
    );
    assert.ok(!text.includes('bobs'));
  }
  await producer.limits.set('chat', 'tenant:7', 2);
  assert.deepEqual((await waitingFor('alice-viewer', 'next'))['behind'], ['hers']);
  const { text } = await send('alice-viewer', 'GET', '/api/v1/tasks/next');
  assert.ok(!text.includes('bobs'));
  assert.deepEqual(taskToJson((await producer.get('hers')) ?? assert.fail())['waiting_for'], null);
  await producer.limits.clear('chat', 'tenant:7');
});

test('operators set and clear limits, which the list shows and the audit records', async () => {
  const set = await send('operator', 'PUT', '/api/v1/limits/chat/a%2Fb', { limit: 3 });
  const row = { name: 'chat', key: 'a/b', kind: 'concurrency', limit: 3, per_ms: null, burst: null, source: 'set' };
  const idle = { running: 0, waiting: 0, waiting_since: null, next_at: null, problem: null };
  assert.deepEqual([set.status, set.body], [200, { ...row, ...idle }]);
  assert.equal((await send('operator', 'PUT', '/api/v1/limits/chat', { limit: 5 })).status, 200);
  const { limits, next } = (await send('viewer', 'GET', '/api/v1/limits')).body as { limits: Record<string, unknown>[]; next: null };
  assert.deepEqual(
    limits.map(({ key, limit, source, running, waiting }) => [key, limit, source, running, waiting]),
    [
      ['tenant:7', 1, 'definition', 2, 1],
      ['*', 1, 'definition', 0, 0],
      [null, 5, 'set', 0, 0],
      ['a/b', 3, 'set', 0, 0],
    ],
  );
  assert.equal(next, null);
  assert.ok(typeof limits[0]?.['waiting_since'] === 'string');
  assert.equal((await send('operator', 'DELETE', '/api/v1/limits/chat')).status, 204);
  const again = await send('operator', 'DELETE', '/api/v1/limits/chat');
  assert.deepEqual([again.status, (again.body as { code: string }).code], [404, 'LIMIT_NOT_FOUND']);
  const unknown = await send('operator', 'PUT', '/api/v1/limits/chta', { limit: 5 });
  assert.match((unknown.body as { detail: string }).detail, /published for "chta"\. Known: chat\.$/);
  for (const body of [{ limit: -1 }, { limit: 1_000_001 }, { limit: '3' }, {}])
    assert.equal((await send('operator', 'PUT', '/api/v1/limits/chat', body)).status, 400, JSON.stringify(body));
  const { records } = (await send('admin', 'GET', '/api/v1/audit')).body as {
    records: { action: string; target: string; outcome: string }[];
  };
  const actions = records
    .filter(({ action }) => action.startsWith('limit.'))
    .map(({ action, target, outcome }) => [action, target, outcome]);
  assert.ok(actions.some(([action, target, outcome]) => action === 'limit.set' && target === 'chat a/b 3' && outcome === 'allowed'));
  assert.ok(actions.some(([action, target, outcome]) => action === 'limit.clear' && target === 'chat' && outcome === 'denied'));
});
