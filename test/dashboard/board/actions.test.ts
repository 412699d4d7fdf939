import assert from 'node:assert/strict';
import { after, afterEach, beforeEach, test } from 'node:test';
import { isFleetError } from '../../../shared/errors.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
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

/** Sends a write as an operator; returns the status of the answer. */
async function put(path: string): Promise<number> {
  return (await board.ask('operator', 'PUT', `/queues/note/${path}`)).status;
}

async function fail(index: number): Promise<string> {
  const id = await board.run(index);
  (await board.task.call(index)).throws(new Error('no'));
  await board.producer.waitUntilFinished(id);
  return id;
}

test('removing a queued job removes it from the registry and ends its wait', async () => {
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

test('removing a running job stops it', async () => {
  // Long enough to read the task while it stops.
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

test('a schedule continues after its next task is removed', async () => {
  await board.producer.schedules.upsert('nightly', board.task.definition, {}, { every: HOUR_MS });
  const [first = ''] = await board.queue.getRanges(['delayed'], 0, -1);
  assert.equal(await put(`${encodeURIComponent(first)}/clean`), 204);
  const delayed = await board.queue.getRanges(['delayed'], 0, -1);
  assert.equal(delayed.length, 1);
  assert.notEqual(delayed[0], first);
  const [view] = await board.producer.schedules.list();
  assert.equal(delayed[0], `repeat:nightly:${view?.nextAt?.getTime()}`);
});

test('a retried job is registered before it runs', async () => {
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

test('retrying all failed tasks skips the stopped ones', async () => {
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
  assert.deepEqual([status, body], [200, { retried: 2, skipped: 0 }]);
  assert.deepEqual(await Promise.all(failed.map((id) => board.stateOf(id))), ['queued', 'queued']);
  assert.equal(await board.stateOf(stopped[0] as string), 'cancelled');
  assert.equal(await board.registered(), 2);
});

test('cleaning failed jobs removes only those', async () => {
  const worker = await board.work();
  const failed = await fail(0);
  await worker.stop();
  const waiting = await board.add();
  // Bull Board leaves tasks that ended within the last five seconds.
  await fleet.client.zadd(`${board.keys.jobs('note')}failed`, Date.now() - 10_000, failed);
  assert.equal(await put('clean/failed'), 200);
  assert.deepEqual([await board.stateOf(failed), await board.stateOf(waiting)], [null, 'queued']);
});

test('one delayed job is promoted, then all of them', async () => {
  const [one, two] = [await board.add({ delay: HOUR_MS }), await board.add({ delay: HOUR_MS })];
  assert.equal(await put(`${one}/promote`), 204);
  assert.deepEqual([await board.stateOf(one), await board.stateOf(two)], ['queued', 'scheduled']);
  assert.equal(await put('promote'), 200);
  assert.equal(await board.stateOf(two), 'queued');
});

test('an admin changes the delay of a delayed task and the priority of a queued one', async () => {
  const id = await board.add({ delay: HOUR_MS });
  assert.equal((await board.ask('admin', 'PATCH', `/queues/note/${id}/delay`, { runAt: Date.now() + 2 * HOUR_MS })).status, 200);
  assert.ok(((await board.queue.getJob(id))?.delay ?? 0) > HOUR_MS);
  const waiting = await board.add();
  assert.equal((await board.ask('admin', 'PATCH', `/queues/note/${waiting}/priority`, { priority: 7 })).status, 200);
  assert.equal((await board.queue.getJob(waiting))?.priority, 7);
});

test("all queues are paused and resumed, except the fleet's own", async () => {
  await board.add();
  await fleet.client.sadd(board.keys.queues, 'maintenance');
  assert.equal((await board.ask('operator', 'PUT', '/queues/pause')).status, 200);
  assert.equal(await board.queue.isPaused(), true);
  assert.equal(await fleet.client.hget(`${board.keys.jobs('maintenance')}meta`, 'paused'), null);
  assert.equal((await board.ask('operator', 'PUT', '/queues/resume')).status, 200);
  assert.equal(await board.queue.isPaused(), false);
});

test('a resume on the board ends the recorded pause of the fleet', async () => {
  await board.add();
  await board.producer.queues.pause('note', { by: 'alice' });
  assert.equal((await board.ask('operator', 'PUT', '/queues/note/resume')).status, 200);
  assert.equal(await fleet.client.exists(board.keys.pausedQueues), 0);
});

test('an id that two queues have means the task on the named queue, or the call is refused', async () => {
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
