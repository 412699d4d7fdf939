import assert from 'node:assert/strict';
import { after, afterEach, beforeEach, test } from 'node:test';
import { isFleetError } from '../../../shared/errors.js';
import { TestFleet } from '../../support/test-fleet.js';
import { until } from '../../support/until.js';
import { TestBoard } from './test-board.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

let board: TestBoard;
beforeEach(async () => {
  board = await TestBoard.open(fleet);
});
afterEach(() => board.close());

const HOUR_MS = 3_600_000;

/** What an operator asks for, and the status of the answer. */
async function put(path: string): Promise<number> {
  return (await board.ask('operator', 'PUT', `/queues/note/${path}`)).status;
}

async function fail(index: number): Promise<string> {
  const id = await board.run(index);
  (await board.task.call(index)).throws(new Error('no'));
  await board.producer.waitUntilFinished(id);
  return id;
}

test('a waiting job that is removed has left the registry, and who waits for it hears', async () => {
  for (const options of [{}, { delay: HOUR_MS }, { priority: 3 }]) {
    const id = await board.add(options);
    const end = board.producer.result(id).then(
      () => 'a result',
      (error: unknown) => (isFleetError(error) ? error.code : String(error)),
    );
    assert.equal(await put(`${id}/clean`), 204);
    assert.equal(await end, 'TASK_CANCELLED');
    assert.equal(await board.stateOf(id), null);
    assert.equal(await board.queue.getJob(id), undefined);
  }
  assert.equal(await board.registered(), 0);
});

test('a running job that is removed is asked to stop', async () => {
  // Long enough to be looked at while it stops.
  await board.work({ stopGraceMs: 30_000 });
  const id = await board.run();
  const call = await board.task.call();
  assert.equal(await put(`${id}/clean`), 202);
  const cause = await call.aborted;
  assert.equal((cause as { by?: string }).by, 'operator');
  const shown = await board.ask('viewer', 'GET', `/queues/note/${id}`);
  assert.match(shown.text, /"name":"■ stopping · note.take"/);
  call.throws(cause);
  await until(
    () => board.stateOf(id),
    (state) => state === 'cancelled',
  );
  assert.equal(await put(`${id}/clean`), 204);
  assert.equal(await board.stateOf(id), null);
});

test('a clean of the running asks all of them to stop', async () => {
  await board.work();
  const ids = [await board.run(0), await board.run(1)];
  assert.equal(await put('clean/active'), 200);
  for (const index of [0, 1]) {
    const call = await board.task.call(index);
    call.throws(await call.aborted);
  }
  for (const id of ids)
    await until(
      () => board.stateOf(id),
      (state) => state === 'cancelled',
    );
  await until(
    () => board.registered(),
    (count) => count === 0,
  );
});

test('a clean of the delayed goes through the registry and leaves schedules their next task', async () => {
  await board.producer.schedules.upsert('nightly', board.task.definition, {}, { every: HOUR_MS });
  const delayed = await board.queue.getRanges(['delayed'], 0, -1);
  const ids = [await board.add({ delay: HOUR_MS }), await board.add({ delay: HOUR_MS })];
  const waiting = await board.add();
  assert.equal(await put('clean/delayed'), 200);
  assert.deepEqual(await board.queue.getRanges(['delayed'], 0, -1), delayed);
  assert.deepEqual(await Promise.all(ids.map((id) => board.stateOf(id))), [null, null]);
  assert.equal(await board.stateOf(waiting), 'queued');
  assert.equal(await board.registered(), 1);
  assert.equal(await put('empty'), 200);
  assert.equal(await board.registered(), 0);
  assert.deepEqual(await board.queue.getRanges(['delayed'], 0, -1), delayed);
});

test('the next task of a schedule that is removed by itself is the next no more, and the schedule goes on', async () => {
  await board.producer.schedules.upsert('nightly', board.task.definition, {}, { every: HOUR_MS });
  const [first = ''] = await board.queue.getRanges(['delayed'], 0, -1);
  assert.equal(await put(`${encodeURIComponent(first)}/clean`), 204);
  const delayed = await board.queue.getRanges(['delayed'], 0, -1);
  assert.equal(delayed.length, 1);
  assert.notEqual(delayed[0], first);
  const [view] = await board.producer.schedules.list();
  assert.equal(delayed[0], `repeat:nightly:${view?.nextAt?.getTime()}`);
});

test('a failed job that is retried is registered before it runs', async () => {
  const worker = await board.work();
  const id = await fail(0);
  await worker.stop();
  assert.equal(await put(`${id}/retry`), 204);
  assert.equal(await board.stateOf(id), 'queued');
  assert.equal(await board.registered(), 1);
  assert.deepEqual(
    (await board.producer.list({ item: 'chat-1' })).tasks.map((task) => task.id),
    [id],
  );
});

test('a retry of all that failed leaves what was stopped, however much there is of it', async () => {
  const worker = await board.work();
  const failed = [await fail(0), await fail(1)];
  await worker.stop();
  const stopped = (
    await board.producer.enqueueMany(
      board.task.definition,
      Array.from({ length: 120 }, () => ({ input: {} })),
    )
  ).map(({ id }) => id);
  await board.producer.stop(stopped);
  assert.equal(await board.registered(), 0);
  const { status, body } = await board.ask('operator', 'PUT', '/queues/note/retry/failed');
  assert.deepEqual([status, body], [200, { retried: 2, skipped: 120 }]);
  assert.deepEqual(await Promise.all(failed.map((id) => board.stateOf(id))), ['queued', 'queued']);
  assert.equal(await board.stateOf(stopped[0] as string), 'cancelled');
  assert.equal(await board.registered(), 2);
});

test('a delayed job is promoted, and all of them', async () => {
  const [one, two] = [await board.add({ delay: HOUR_MS }), await board.add({ delay: HOUR_MS })];
  assert.equal(await put(`${one}/promote`), 204);
  assert.deepEqual([await board.stateOf(one), await board.stateOf(two)], ['queued', 'scheduled']);
  assert.equal(await put('promote'), 200);
  assert.equal(await board.stateOf(two), 'queued');
});

test('an added job is a task like any other, and so is the duplicate of one that was stopped', async () => {
  await fleet.client.sadd(board.keys.queues, 'note');
  const { status, body } = await board.ask('operator', 'POST', '/queues/note/add', {
    name: '■ cancelled · note.take',
    data: { a: 1 },
    options: { item: 'chat-2', attempts: 99, priority: 2 },
  });
  assert.equal(status, 200);
  const { job, status: state } = body as { job: { id: string; name: string; data: unknown }; status: string };
  assert.deepEqual([job.name, job.data, state], ['note.take', { a: 1 }, 'prioritized']);
  const task = await board.producer.get(job.id);
  assert.deepEqual([task?.item, task?.attempts], ['chat-2', 1]);
  assert.equal(await board.registered(), 1);
});

test('the input of a task that waits can be changed by an admin', async () => {
  const id = await board.add();
  const { status } = await board.ask('admin', 'PATCH', `/queues/note/${id}/update-data`, { jobData: { other: 'word' } });
  assert.equal(status, 200);
  assert.deepEqual((await board.queue.getJob(id))?.data, { other: 'word' });
});

test('a worker that comes to a task first keeps the input that it has, and a task that is gone leaves nothing', async () => {
  await board.work();
  const id = await board.run();
  const { redis, queues } = fleet.store({ keyPrefix: board.keyPrefix });
  const edit = (one: string): Promise<number> => {
    const [active = '', job = ''] = queues.scriptKeys('note', 'active', one);
    return redis.editInput(active, job, one, '{}');
  };
  assert.equal(await edit(id), 0);
  assert.deepEqual((await board.queue.getJob(id))?.data, { secret: 'word' });
  assert.equal(await edit('gone'), 0);
  assert.equal(await fleet.client.exists(`${board.keys.jobs('note')}gone`), 0);
});

test('a delayed task is moved to another time, and one that waits to another place, by an admin', async () => {
  const id = await board.add({ delay: HOUR_MS });
  assert.equal((await board.ask('admin', 'PATCH', `/queues/note/${id}/delay`, { runAt: Date.now() + 2 * HOUR_MS })).status, 200);
  assert.ok(((await board.queue.getJob(id))?.delay ?? 0) > HOUR_MS);
  const waiting = await board.add();
  assert.equal((await board.ask('admin', 'PATCH', `/queues/note/${waiting}/priority`, { priority: 7 })).status, 200);
  assert.equal((await board.queue.getJob(waiting))?.priority, 7);
});

test('a schedule is run now, and removed, through the fleet', async () => {
  await board.producer.schedules.upsert('nightly', board.task.definition, {}, { every: HOUR_MS });
  const { status, body } = await board.ask('operator', 'PUT', '/queues/note/job-schedulers/nightly/run');
  assert.equal(status, 200);
  assert.equal(await board.stateOf((body as { job: { id: string } }).job.id), 'queued');
  assert.equal(await board.registered(), 1);
  assert.equal(await put('job-schedulers/nightly/remove'), 204);
  assert.deepEqual(await board.producer.schedules.list(), []);
  assert.equal(await fleet.client.hlen(board.keys.schedules), 0);
});

test('an empty queue is obliterated, what waits in it having been stopped', async () => {
  const ids = [await board.add(), await board.add({ delay: HOUR_MS })];
  assert.equal(await put('obliterate'), 403);
  await board.queue.pause();
  await board.producer.schedules.upsert('nightly', board.task.definition, {}, { every: HOUR_MS });
  const refused = await board.ask('admin', 'PUT', '/queues/note/obliterate');
  assert.match((refused.body as { message: string }).message, /has schedules: remove them first/);
  await board.producer.schedules.remove('nightly');
  assert.equal((await board.ask('admin', 'PUT', '/queues/note/obliterate', { force: false })).status, 200);
  assert.deepEqual(await Promise.all(ids.map((id) => board.stateOf(id))), [null, null]);
  assert.equal(await board.registered(), 0);
  assert.deepEqual(await fleet.client.keys(`${board.keys.jobs('note')}*`), []);
});

test('queues are paused and resumed, all but that of the fleet', async () => {
  await board.add();
  await fleet.client.sadd(board.keys.queues, 'maintenance');
  assert.equal((await board.ask('operator', 'PUT', '/queues/pause')).status, 200);
  assert.equal(await board.queue.isPaused(), true);
  assert.equal(await fleet.client.hget(`${board.keys.jobs('maintenance')}meta`, 'paused'), null);
  assert.equal((await board.ask('operator', 'PUT', '/queues/resume')).status, 200);
  assert.equal(await board.queue.isPaused(), false);
});

test('an id that two queues have means the task on the queue that was named, or nothing is done', async () => {
  const other = fleet.store({ keyPrefix: board.keyPrefix }).queues.get('other');
  await fleet.client.sadd(board.keys.queues, 'note', 'other');
  const { id: one } = await board.queue.add('note.take', {});
  const { id: two } = await other.add('note.take', {});
  assert.equal(one, two);
  const { status, body } = await board.ask('operator', 'PUT', `/queues/other/${two}/clean`);
  assert.equal(status, 403);
  assert.match((body as { message: string }).message, /Another queue/);
  assert.equal(await put(`${one}/clean`), 204);
  assert.equal(await other.getJobState(two as string), 'waiting');
});
