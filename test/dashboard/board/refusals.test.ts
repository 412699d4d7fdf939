import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { WRITES } from '../../../dashboard/board/rules.js';
import { createKeys } from '../../../shared/keys.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import type { Reply, Who } from '../test-dashboard.js';
import { TestBoard } from './test-board.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());
const board = await TestBoard.open(fleet);
after(() => board.close());

/** The id of one task in each state. */
let waiting = '';
let running = '';
let cancelled = '';
let failed = '';
let completed = '';

before(async () => {
  const worker = await board.work();
  failed = await board.run(0);
  (await board.task.call(0)).throws(new Error('no'));
  await board.producer.waitUntilFinished(failed);
  completed = await board.run(1);
  (await board.task.call(1)).returns('yes');
  await board.producer.waitUntilFinished(completed);
  running = await board.run(2);
  cancelled = await board.add({ delay: 3_600_000 });
  await board.producer.stop(cancelled, { by: 'somebody' });
  await board.queue.pause();
  waiting = await board.add();
  await board.producer.schedules.upsert('nightly', board.task.definition, {}, { every: 3_600_000 });
  await fleet.client.sadd(board.keys.queues, 'maintenance');
  void worker;
});

function messageOf({ body }: Reply): string {
  return (body as { message?: unknown }).message as string;
}

/** Bodies with which a write would change something, by action. */
const BODIES: Readonly<Record<string, Record<string, unknown>>> = {
  add: { name: 'note.take', data: {} },
  'update-data': { jobData: { other: 'word' } },
  delay: { runAt: 1 },
  priority: { priority: 5 },
  concurrency: { concurrency: 3 },
  'rate-limit': { max: 1, duration: 1_000 },
};

function pathOf(route: string): string {
  return route
    .slice('/api'.length)
    .replace(':queueName', 'note')
    .replace(':jobId', waiting)
    .replace(':schedulerId', 'nightly')
    .replace(':queueStatus', 'failed');
}

test('every write of Bull Board has a rule', async () => {
  const { appRoutes } = (await import('@bull-board/api/dist/routes.js')) as unknown as {
    appRoutes: { api: { method: string | string[]; route: string | string[] }[] };
  };
  const routes = appRoutes.api.flatMap(({ method, route }) =>
    [method].flat().flatMap((one) => [route].flat().map((path) => `${one} ${path}`)),
  );
  const writes = routes.filter((one) => !one.startsWith('get '));
  assert.ok(writes.length > 20);
  assert.deepEqual(writes.toSorted(), [...WRITES.keys()].toSorted());
});

test('a caller whose role is too low for a write gets 403 and the reason, and nothing changes', async () => {
  const dump = await board.dump();
  for (const [key, { role, action }] of WRITES) {
    const [method = '', route = ''] = key.split(' ');
    const lower: Who[] = role === 'admin' ? ['viewer', 'submitter', 'operator'] : ['viewer', 'submitter'];
    for (const who of lower) {
      const reply = await board.ask(who, method.toUpperCase(), pathOf(route), BODIES[action.slice('board.'.length)] ?? {});
      assert.deepEqual([key, who, reply.status], [key, who, 403]);
      assert.equal(messageOf(reply), `Requires the role ${role}; ${who} has the role ${who}.`);
    }
  }
  assert.deepEqual(await board.dump(), dump);
});

test('a write that no role may make is refused to an admin, with the reason, and changes nothing', async () => {
  const cases: readonly (readonly [method: string, path: string, body: Record<string, unknown>, status: number, message: RegExp])[] = [
    ['PUT', '/queues/maintenance/pause', {}, 403, /fleet's own queue/],
    ['PUT', `/queues/note/${cancelled}/retry`, {}, 409, /was stopped by somebody.*task page/],
    ['PUT', `/queues/note/${completed}/retry`, {}, 409, /cannot be retried/],
    ['PUT', `/queues/note/${running}/retry`, {}, 409, /cannot be retried/],
    ['PUT', '/queues/note/retry/completed', {}, 409, /Only failed tasks/],
    ['PUT', `/queues/note/${waiting}/promote`, {}, 403, /is not delayed/],
    ['PUT', '/queues/note/no-such-task/clean', {}, 404, /Task "no-such-task" not found/],
    ['PUT', '/queues/none/pause', {}, 404, /No queue "none"/],
    ['PUT', '/queues/none/concurrency', { concurrency: 1 }, 404, /queue not found/],
    ['POST', '/queues/note/no-such-write', {}, 404, /nothing at/],
    // What the dashboard's own pages do better: one sentence and a link.
    ['POST', '/queues/note/add', { name: 'note.take', data: {} }, 403, /over the API.*: \/docs$/],
    ['PATCH', `/queues/note/${waiting}/update-data`, { jobData: { other: 'word' } }, 403, /keeps its input.*: \/tasks\/[\w-]+$/],
    ['PUT', `/queues/note/${waiting}/remove-unprocessed-children`, {}, 403, /Stop the task.*: \/tasks\/[\w-]+$/],
    ['PUT', '/queues/note/obliterate', { force: true }, 403, /on the Tasks page.*: \/$/],
    ['PUT', '/queues/note/empty', {}, 403, /on the Tasks page.*: \/$/],
    ...['active', 'delayed', 'wait', 'waiting', 'prioritized', 'everything'].map(
      (state) => ['PUT', `/queues/note/clean/${state}`, {}, 403, /on the Tasks page.*: \/$/] as const,
    ),
    ['PUT', '/queues/note/job-schedulers/nightly/run', {}, 403, /Schedules page: \/schedules$/],
    ['PUT', '/queues/note/job-schedulers/nightly/remove', {}, 403, /taskfleet schedule remove.*: \/docs$/],
    ['PATCH', '/queues/note/job-schedulers/nightly', { every: 1_000 }, 403, /producer.schedules.upsert: \/schedules$/],
  ];
  const dump = await board.dump();
  for (const [method, path, body, status, message] of cases) {
    const reply = await board.ask('admin', method, path, body);
    assert.deepEqual([method, path, reply.status], [method, path, status]);
    assert.match(messageOf(reply), message);
    const { code, request_id: requestId, error } = reply.body as { code: string; request_id: string; error: { key: string } };
    assert.ok(code && requestId && error.key.startsWith('ERRORS.'));
  }
  assert.deepEqual(await board.dump(), dump);
});

test('the headline of a refused retry names the state', async () => {
  const { body } = await board.ask('operator', 'PUT', `/queues/note/${cancelled}/retry`);
  assert.deepEqual((body as { error: unknown }).error, { key: 'ERRORS.JOB_NOT_RETRIABLE', options: { state: 'cancelled' } });
});

test('the next task of a schedule is not promoted or delayed', async () => {
  const [next = ''] = await board.queue.getRanges(['delayed'], 0, -1);
  assert.match(next, /^repeat:nightly:/);
  const dump = await board.dump();
  const path = `/queues/note/${encodeURIComponent(next)}`;
  for (const [method, suffix, body] of [
    ['PUT', 'promote', {}],
    ['PATCH', 'delay', { runAt: 1 }],
  ] as const) {
    const reply = await board.ask('admin', method, `${path}/${suffix}`, body);
    assert.equal(reply.status, 403);
    assert.match(messageOf(reply), /Run the schedule now: \/schedules$/);
  }
  assert.equal((await board.ask('admin', 'PUT', '/queues/note/promote')).status, 200);
  assert.deepEqual(await board.dump(), dump);
});

test('bad bodies are refused before anything is done', async () => {
  const { dashboard } = board;
  const send = (body: string, type = 'application/json') =>
    dashboard.send('PUT', '/board/api/queues/note/concurrency', { token: dashboard.tokens.admin, body, headers: { 'Content-Type': type } });
  const dump = await board.dump();
  assert.equal((await send('{')).status, 400);
  assert.equal((await send('{"__proto__":{"concurrency":1}}')).status, 400);
  assert.equal((await send('{"concurrency":1}', 'text/plain')).status, 415);
  assert.equal((await send(JSON.stringify({ concurrency: 'x'.repeat(2_000_000) }))).status, 413);
  assert.equal((await send('{"concurrency":-1}')).status, 400);
  assert.deepEqual(await board.dump(), dump);
});

test('every write is recorded, with its caller and its outcome', async () => {
  const id = await board.add();
  await board.ask('operator', 'PUT', `/queues/note/${id}/clean`);
  await board.ask('viewer', 'PUT', `/queues/note/${id}/clean`);
  const fieldsOf = async (key: string) => {
    const [entry] = await fleet.client.xrevrange(key, '+', '-', 'COUNT', 1);
    const pairs = entry?.[1] ?? [];
    const fields = Object.fromEntries(pairs.flatMap((name, index) => (index % 2 === 0 ? [[name, pairs[index + 1]]] : [])));
    return [fields['name'], fields['action'], fields['target'], fields['outcome'], fields['result']];
  };
  const { audit, auditDenied } = createKeys(board.keyPrefix);
  assert.deepEqual(await fieldsOf(audit), ['operator', 'board.remove', `note ${id}`, 'allowed', 'removed']);
  assert.deepEqual(await fieldsOf(auditDenied), ['viewer', 'board.remove', `note ${id}`, 'denied', 'FORBIDDEN']);
});
