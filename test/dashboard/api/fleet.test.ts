import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fleetCanary } from '../../../index.js';
import type { Producer } from '../../../producer/index.js';
import { createKeys } from '../../../shared/keys.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';
import { type Sent, type ServedApi, serveApi } from './serve-api.js';

const task = new ScriptedTask('report.write');
const fleet = await TestFleet.start();
const keyPrefix = fleet.newPrefix();
const keys = createKeys(keyPrefix);
let producer: Producer;
let api: ServedApi;
before(async () => {
  producer = fleet.producer({ keyPrefix });
  api = await serveApi({ producer, definitions: [task.definition] });
  await fleet.worker(keyPrefix, [task.handler], { heartbeatMs: 2_000 });
});
after(async () => {
  await api.close();
  await fleet.stop();
});
const codeOf = ({ body }: Sent): string => (body as { code: string }).code;

test('workers are listed by their heartbeats, with their running tasks', async () => {
  const { id } = await producer.enqueue(task.definition, null);
  const call = await task.call();
  const read = async (): Promise<Record<string, unknown>[]> =>
    ((await api.send('GET', '/workers')).body as { workers: Record<string, unknown>[] }).workers;
  const [worker] = await until(read, ([one]) => (one?.['running'] as string[] | undefined)?.includes(id) ?? false);
  assert.equal(worker?.['alive'], true);
  assert.equal(typeof worker?.['slots'], 'number');
  assert.ok((worker?.['queues'] as string[] | undefined)?.includes('report'));
  call.returns();
});

test('a stale or hand-written heartbeat is not an error', async () => {
  await fleet.client.zadd(keys.workers, Date.now(), 'silent', Date.now(), 'odd');
  await fleet.client.hset(keys.worker('odd'), { host: 'h', running: '{not json', queues: '7' });
  const { workers } = (await api.send('GET', '/workers')).body as {
    workers: { id: string; alive: boolean; running: string[]; queues: string[] }[];
  };
  const one = (id: string): unknown =>
    workers.filter((worker) => worker.id === id).map(({ alive, running, queues }) => [alive, running, queues]);
  assert.deepEqual([one('silent'), one('odd')], [[[false, [], []]], [[true, [], []]]]);
});

test('a schedule says how its last task stands, or ended, as long as the task is kept', async () => {
  await producer.schedules.upsert('report', task.definition, {}, { every: 3_600_000 });
  const last = async (): Promise<{ state: string; error: string | null } | null> => {
    const { schedules } = (await api.send('GET', '/schedules')).body as {
      schedules: { id: string; last: { state: string; error: string | null } | null }[];
    };
    return schedules.find(({ id }) => id === 'report')?.last ?? null;
  };
  assert.equal(await last(), null);
  const { length } = task.calls;
  await api.send('POST', '/schedules/report/run');
  const call = await task.call(length);
  assert.equal((await until(last, (one) => one?.state === 'running'))?.error, null);
  call.throws(new Error('no paper'));
  const ended = await until(last, (one) => one !== null && one.state !== 'running');
  assert.match(ended?.error ?? '', /no paper/);
  await producer.schedules.remove('report');
});

test('schedules are listed, run and removed', async () => {
  await producer.schedules.upsert('nightly', fleetCanary, { run_ms: 1 }, { cron: '0 3 * * *', timeZone: 'Europe/Berlin', item: 'reports' });
  const { schedules } = (await api.send('GET', '/schedules')).body as { schedules: { id: string; built_in: boolean }[] };
  assert.ok(schedules.some(({ id, built_in: builtIn }) => id === 'nightly' && !builtIn));
  assert.ok(schedules.some(({ id, built_in: builtIn }) => id === 'registry.reconcile' && builtIn));
  const run = await api.send('POST', '/schedules/nightly/run');
  const { id, item } = run.body as { id: string; item: string };
  assert.deepEqual([run.status, run.headers.location, item], [202, `/api/v1/tasks/${encodeURIComponent(id)}`, 'reports']);
  assert.equal((await api.send('POST', '/schedules/registry.reconcile/run')).status, 202);
  assert.deepEqual(
    [(await api.send('DELETE', '/schedules/nightly')).status, (await api.send('DELETE', '/schedules/nightly')).status],
    [204, 404],
  );
  const own = await api.send('DELETE', '/schedules/registry.reconcile');
  assert.deepEqual([own.status, codeOf(own)], [400, 'INVALID_ID']);
  assert.equal(codeOf(await api.send('POST', '/schedules/nightly/run')), 'SCHEDULE_NOT_FOUND');
});

test('definitions are listed with their input schemas', async () => {
  const { definitions } = (await api.send('GET', '/definitions')).body as {
    definitions: { name: string; input: { properties?: object } }[];
  };
  assert.deepEqual(
    definitions.map(({ name }) => name),
    ['billing.init-plans', 'chat.completion', 'document.index', 'fleet.canary', 'models.refresh', 'report.write'],
  );
  assert.deepEqual(Object.keys(definitions.find(({ name }) => name === 'fleet.canary')?.input.properties ?? {}), ['run_ms', 'mode']);
});

test('a model is in use once a session reports it', async () => {
  assert.equal((await api.send('PUT', '/usage/org%2Fllama%203/session-1')).status, 204);
  assert.deepEqual((await api.send('GET', '/usage')).body, { models: ['org/llama 3'] });
  await fleet.client.hset(keys.usagePool, 'broken', 'no JSON');
  const sent = await api.send('PUT', '/usage/broken/session-1');
  assert.deepEqual([sent.status, codeOf(sent)], [409, 'MALFORMED_DATA']);
  assert.equal(await fleet.client.hget(keys.usagePool, 'broken'), 'no JSON');
});

test('statistics count finished tasks by minute', async () => {
  const { minutes } = (await api.send('GET', '/stats?minutes=3')).body as { minutes: { at: string }[] };
  assert.equal(minutes.length, 3);
  assert.equal(((await api.send('GET', '/stats')).body as { minutes: unknown[] }).minutes.length, 60);
});

test('every caller may read its principal', async () => {
  assert.deepEqual((await api.send('GET', '/me', { as: 'guest' })).body, {
    name: 'guest',
    role: 'viewer',
    items: ['mine*'],
    via: 'token',
    csrf_token: null,
  });
});
