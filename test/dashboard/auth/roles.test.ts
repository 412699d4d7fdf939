import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fleetCanary } from '../../../index.js';
import type { Producer } from '../../../producer/index.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { type SendOptions, TestDashboard, type Who } from '../test-dashboard.js';

const fleet = await TestFleet.start();
const prefix = fleet.newPrefix();
let producer: Producer;
let dashboard: TestDashboard;

before(async () => {
  producer = fleet.producer({ keyPrefix: prefix });
  dashboard = await TestDashboard.start(producer);
});
after(async () => {
  await dashboard.stop();
  await fleet.stop();
});

const CALLERS = [
  'nobody',
  'viewer',
  'submitter',
  'operator',
  'admin',
  'alice-viewer',
  'alice-submitter',
  'alice-operator',
] as const satisfies readonly (Who | 'nobody')[];
/** The statuses in the order of the callers. */
type Statuses = readonly [number, number, number, number, number, number, number, number];

/** A call for its own task, queued or cancelled. */
interface Action {
  readonly item?: string;
  readonly cancelled?: true;
  readonly call: (id: string) => readonly [method: string, path: string, body?: SendOptions['body']];
  readonly answers: Statuses;
}

const BOB = 'bob:1';
const ALICE = 'alice:1';
const READS_ALL: Statuses = [401, 200, 200, 200, 200, 200, 200, 200];
const READS_BOBS: Statuses = [401, 200, 200, 200, 200, 404, 404, 404];
const stop = (id: string) => ['POST', `/api/v1/tasks/${id}/stop`, { reason: 'enough' }] as const;
const oldStop = (id: string) => ['POST', `/api/tasks/stop/${id}`] as const;
const retry = (id: string) => ['POST', `/api/v1/tasks/${id}/retry`] as const;
const enqueue = (item?: string) => () =>
  ['POST', '/api/v1/tasks', { name: 'fleet.canary', input: { run_ms: 1 }, ...(item && { item }) }] as const;

const bulk = (action: string, body: Readonly<Record<string, unknown>>) => () => ['POST', `/api/v1/tasks/${action}`, body] as const;

const ACTIONS: Readonly<Record<string, Action>> = {
  'read who one is': { call: () => ['GET', '/api/v1/me'], answers: READS_ALL },
  'list tasks': { call: () => ['GET', '/api/v1/tasks'], answers: READS_ALL },
  'list tasks as open-webui does': { call: () => ['GET', '/api/tasks'], answers: READS_ALL },
  'list workers': { call: () => ['GET', '/api/v1/workers'], answers: READS_ALL },
  'list schedules': { call: () => ['GET', '/api/v1/schedules'], answers: READS_ALL },
  "read bob's task": { item: BOB, call: (id) => ['GET', `/api/v1/tasks/${id}`], answers: READS_BOBS },
  "read alice's task": { item: ALICE, call: (id) => ['GET', `/api/v1/tasks/${id}`], answers: READS_ALL },
  'read a task without an item': { call: (id) => ['GET', `/api/v1/tasks/${id}`], answers: READS_BOBS },
  'enqueue for alice': { call: enqueue(ALICE), answers: [401, 403, 202, 202, 202, 403, 202, 202] },
  'enqueue for bob': { call: enqueue(BOB), answers: [401, 403, 202, 202, 202, 403, 403, 403] },
  'enqueue without an item': { call: enqueue(), answers: [401, 403, 202, 202, 202, 403, 403, 403] },
  "stop alice's task": { item: ALICE, call: stop, answers: [401, 403, 403, 200, 200, 403, 200, 200] },
  "stop bob's task": { item: BOB, call: stop, answers: [401, 403, 403, 200, 200, 403, 404, 404] },
  'stop a task without an item': { call: stop, answers: [401, 403, 403, 200, 200, 403, 404, 404] },
  "stop alice's task as open-webui does": { item: ALICE, call: oldStop, answers: [401, 403, 403, 200, 200, 403, 200, 200] },
  "stop bob's task as open-webui does": { item: BOB, call: oldStop, answers: [401, 403, 403, 200, 200, 403, 404, 404] },
  "stop bob's item": {
    item: BOB,
    call: () => ['POST', `/api/v1/items/${BOB}/stop`, { dry_run: true }],
    answers: [401, 403, 403, 200, 200, 403, 200, 200],
  },
  "retry bob's task": { item: BOB, cancelled: true, call: retry, answers: [401, 403, 403, 200, 200, 403, 403, 404] },
  "retry alice's task": { item: ALICE, cancelled: true, call: retry, answers: [401, 403, 403, 200, 200, 403, 403, 200] },
  'stop all of a filter': { call: bulk('stop', { filter: { name: 'no.such' } }), answers: [401, 403, 403, 202, 202, 403, 202, 202] },
  'stop tasks by id': { item: BOB, call: (id) => bulk('stop', { ids: [id] })(), answers: [401, 403, 403, 202, 202, 403, 202, 202] },
  'retry all of a filter': { call: bulk('retry', { filter: { name: 'no.such' } }), answers: [401, 403, 403, 202, 202, 403, 403, 202] },
  'count a bulk': { call: bulk('stop', { all: true, dry_run: true }), answers: [401, 403, 403, 200, 200, 403, 200, 200] },
  'read a bulk that is not there': { call: () => ['GET', '/api/v1/bulk/bulk.x'], answers: [401, 403, 404, 404, 404, 403, 404, 404] },
  'stop a bulk that is not there': { call: () => ['POST', '/api/v1/bulk/bulk.x/stop'], answers: [401, 403, 404, 404, 404, 403, 404, 404] },
  'run a schedule': { call: () => ['POST', '/api/v1/schedules/nightly/run'], answers: [401, 403, 403, 404, 404, 403, 403, 404] },
  'remove a schedule': { call: () => ['DELETE', '/api/v1/schedules/nightly'], answers: [401, 403, 403, 404, 404, 403, 403, 404] },
  'list limits': { call: () => ['GET', '/api/v1/limits'], answers: [401, 200, 200, 200, 200, 403, 403, 403] },
  'set a limit': {
    call: () => ['PUT', '/api/v1/limits/nightly/alice:1', { limit: 3 }],
    answers: [401, 403, 403, 404, 404, 403, 403, 403],
  },
  'clear a limit': { call: () => ['DELETE', '/api/v1/limits/nightly'], answers: [401, 403, 403, 404, 404, 403, 403, 403] },
  'list queues': { call: () => ['GET', '/api/v1/queues'], answers: [401, 200, 200, 200, 200, 403, 403, 403] },
  'pause a queue': {
    call: () => ['POST', `/api/v1/queues/${fleetCanary.queue}/pause`],
    answers: [401, 403, 403, 200, 200, 403, 403, 403],
  },
  'resume a queue': {
    call: () => ['POST', `/api/v1/queues/${fleetCanary.queue}/resume`],
    answers: [401, 403, 403, 200, 200, 403, 403, 403],
  },
  'say that a model is used': { call: () => ['PUT', '/api/v1/usage/model/session'], answers: [401, 403, 204, 204, 204, 403, 204, 204] },
  'read the audit': { call: () => ['GET', '/api/v1/audit'], answers: [401, 403, 403, 403, 200, 403, 403, 403] },
  'read metrics': { call: () => ['GET', '/metrics'], answers: [401, 200, 200, 200, 200, 403, 403, 403] },
  'pause a queue on the board': {
    item: ALICE,
    call: () => ['PUT', `/board/api/queues/${fleetCanary.queue}/pause`],
    answers: [401, 403, 403, 200, 200, 403, 403, 403],
  },
};

for (const [name, { item, cancelled, call, answers }] of Object.entries(ACTIONS)) {
  test(`the permissions of each role to ${name}`, async () => {
    const got: number[] = [];
    for (const [at, who] of CALLERS.entries()) {
      const { id } = await producer.enqueue(fleetCanary, { run_ms: 60_000 }, { item });
      if (cancelled) await producer.stop(id);
      const was = await producer.get(id);
      const [method, path, body] = call(id);
      const { status } = await dashboard.send(method, path, {
        ...(who !== 'nobody' && { token: dashboard.tokens[who] }),
        body: body ?? (method === 'POST' ? {} : undefined),
      });
      got.push(status);
      const allowed = answers[at] === 200;
      const { state } = (await producer.get(id)) ?? {};
      if (call === stop || call === oldStop) assert.equal(state, allowed ? 'cancelled' : 'queued', who);
      else if (call === retry) assert.equal(state, allowed ? 'queued' : 'cancelled', who);
      else assert.equal(state, was?.state, who);
    }
    assert.deepEqual(got, answers);
  });
}

test('hidden tasks are missing from lists and look like tasks that do not exist', async () => {
  const [mine, other, none] = await Promise.all(
    [ALICE, BOB, undefined].map((item) => producer.enqueue(fleetCanary, { run_ms: 60_000 }, { item })),
  );
  const token = dashboard.tokens['alice-operator'];
  const page = (await dashboard.send('GET', '/api/v1/tasks?limit=1000', { token })).body as { tasks: { id: string; item: string }[] };
  assert.ok(page.tasks.some(({ id }) => id === mine?.id));
  assert.deepEqual([...new Set(page.tasks.map((task) => task.item))], [ALICE]);
  const { tasks } = (await dashboard.send('GET', '/api/tasks', { token })).body as { tasks: string[] };
  assert.ok(tasks.includes(mine?.id ?? '') && !tasks.includes(other?.id ?? '') && !tasks.includes(none?.id ?? ''));
  const read = async (id: string): Promise<string> => {
    const { status, text } = await dashboard.send('GET', `/api/v1/tasks/${id}`, { token });
    return `${status} ${text.replaceAll(id, 'ID').replace(/"request_id":"[^"]+"/, '')}`;
  };
  assert.equal(await read(other?.id ?? ''), await read('never-was'));
});
