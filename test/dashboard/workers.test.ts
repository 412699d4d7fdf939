import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Worker } from '../../dashboard/api/routes/fleet/workers.js';
import type { Producer } from '../../producer/index.js';
import type { FleetWorker } from '../../worker/worker.js';
import { samplesOf } from '../support/fleet/metrics-page.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { ScriptedTask } from '../support/task/scripted-task.js';
import { until } from '../support/until.js';
import { TestDashboard, type Who } from './test-dashboard.js';

const fleet = await TestFleet.start();
const task = new ScriptedTask('chat.answer', { queue: 'chat' });
let producer: Producer;
let dashboard: TestDashboard;
let worker: FleetWorker;

before(async () => {
  producer = fleet.producer();
  const { prefix } = producer.store.keys;
  const keyPrefix = prefix.replaceAll(/[{}]/g, '');
  dashboard = await TestDashboard.start(producer);
  worker = await fleet.worker(keyPrefix, [task.handler], { builtinTasks: ['!*'], heartbeatMs: 2_000, host: process });
});
after(async () => {
  await dashboard.stop();
  await fleet.stop();
});

const ask = async (who: Who, method: string, path: string, body?: Readonly<Record<string, unknown>>) => {
  const reply = await dashboard.send(method, path, { token: dashboard.tokens[who], ...(body && { body }) });
  return { status: reply.status, text: reply.text, body: reply.body as never };
};
const listed = async (who: Who = 'viewer'): Promise<Worker | undefined> =>
  ((await ask(who, 'GET', '/api/v1/workers')).body as { workers: Worker[] }).workers[0];
const codeOf = (body: unknown): string => (body as { code: string }).code;

test('a worker is drained and resumed over HTTP: the list, readiness, metrics and audit say so', async () => {
  for (const id of ['mine', 'hers']) await producer.enqueue(task.definition, {}, { id, item: id === 'mine' ? 'alice:1' : 'bob:1' });
  const calls = [await task.call(0), await task.call(1)];
  await until(
    () => listed(),
    (one) => one?.running.length === 2,
  );
  assert.deepEqual((await listed('alice-viewer'))?.running, ['mine'], 'callers with item patterns see their tasks only');
  const path = `/api/v1/workers/${worker.id}`;
  const { status, body } = await ask('operator', 'POST', `${path}/drain`, { reason: 'new kernel' });
  const { drained } = body as Worker;
  assert.deepEqual([status, drained?.by, drained?.reason], [200, 'operator', 'new kernel']);
  const one = await until(
    () => listed(),
    (now) => now?.fetching === false,
  );
  assert.deepEqual([one?.drained, one?.running.toSorted(), one?.version, one?.node], [drained, ['hers', 'mine'], '0.1.0', process.version]);
  await producer.enqueue(task.definition, {});
  const readiness = async (): Promise<{ name: string; ok: boolean; detail: string } | undefined> => {
    const { checks } = (await dashboard.send('GET', '/readyz')).body as { checks: { name: string; ok: boolean; detail: string }[] };
    return checks.find(({ name }) => name === 'takers');
  };
  const unserved = await until(readiness, (check) => check?.detail.includes('chat') === true);
  assert.deepEqual([unserved?.ok, unserved?.detail], [false, 'no worker takes queue chat (1 task), queue maintenance (1 task)']);
  const samples = samplesOf((await ask('viewer', 'GET', '/metrics')).text);
  assert.deepEqual([samples.get('taskfleet_workers_drained'), samples.get('taskfleet_queues_unserved')], [1, 2]);
  assert.equal(((await ask('operator', 'POST', `${path}/resume`, {})).body as Worker).drained, null);
  for (const call of calls) call.returns();
  (await task.call(2)).returns();
  await until(readiness, (check) => check?.ok === true);
  const { records } = (await ask('admin', 'GET', '/api/v1/audit')).body as { records: Record<string, unknown>[] };
  assert.deepEqual(
    records.slice(0, 2).map((entry) => [entry['action'], entry['target'], entry['name'], entry['reason'], entry['result']]),
    [
      ['worker.resume', worker.id, 'operator', null, 'resumed'],
      ['worker.drain', worker.id, 'operator', 'new kernel', 'drained'],
    ],
  );
});

test('a worker is read with the options of its definitions; BUILTIN_TASKS=off leaves the tasks that the fleet needs', async () => {
  const detail = (await ask('viewer', 'GET', `/api/v1/workers/${worker.id}`)).body as {
    all_definitions: { name: string; options: { queue: string } | null }[];
  };
  assert.deepEqual(
    detail.all_definitions.map(({ name, options }) => [name, options?.queue]),
    [
      ['chat.answer', 'chat'],
      ['fleet.retry-tasks', 'maintenance'],
      ['fleet.stop-tasks', 'maintenance'],
      ['registry.reconcile', 'maintenance'],
    ],
  );
  const { schedules } = (await ask('viewer', 'GET', '/api/v1/schedules')).body as { schedules: { id: string }[] };
  assert.deepEqual(
    schedules.map(({ id }) => id),
    ['registry.reconcile'],
  );
});

test('only operators without item patterns drain and resume, and only live workers', async () => {
  const path = `/api/v1/workers/${worker.id}`;
  for (const who of ['viewer', 'submitter', 'alice-operator'] as const)
    for (const act of ['drain', 'resume']) {
      const { status, body } = await ask(who, 'POST', `${path}/${act}`, {});
      assert.deepEqual([status, codeOf(body)], [403, 'FORBIDDEN'], `${who} ${act}`);
    }
  for (const [method, unknown] of [
    ['GET', '/api/v1/workers/nobody'],
    ['POST', '/api/v1/workers/nobody/drain'],
    ['POST', '/api/v1/workers/nobody/resume'],
  ] as const) {
    const { status, body } = await ask('operator', method, unknown, method === 'POST' ? {} : undefined);
    assert.deepEqual([status, codeOf(body)], [404, 'WORKER_NOT_FOUND']);
  }
  assert.equal((await ask('operator', 'POST', `${path}/drain`, { because: 'x' })).status, 400);
});
