import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { until } from '../../support/until.js';
import { TestBoard } from './test-board.js';

const fleet = await TestFleet.start();
let board: TestBoard;
before(async () => {
  board = await TestBoard.open(fleet);
  await board.work();
});
after(async () => {
  await board.close();
  await fleet.stop();
});

test("Bull Board's Logs tab shows what a handler logged, and why it failed", async () => {
  const id = await board.run();
  const call = await board.task.call();
  call.context.log.info({ rows: 3 }, 'read');
  call.throws(new TypeError('no such column'));
  await until(
    () => board.stateOf(id),
    (state) => state === 'failed',
  );
  const { status, body } = await board.ask('viewer', 'GET', `/queues/note/${id}/logs`);
  assert.equal(status, 200);
  const [first = '', second = '', ...rest] = body as string[];
  assert.match(first, /^\d{4}-\d\d-\d\dT\S+Z INFO \[1\] read \{"rows":3\}$/);
  assert.match(second, /^\S+Z ERROR \[1\] Task failed \{"of":1,"error":\{"name":"TypeError","message":"no such column","stack":/);
  assert.deepEqual(rest, []);
});
