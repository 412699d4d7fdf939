import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { limitIn } from '../../../shared/task/wait/waiting.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { lineUp, placeStep } from '../../support/task/line.js';
import { TestBoard } from './test-board.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

test('tasks in line count and are listed as waiting, and cannot be promoted', async (t) => {
  const board = await TestBoard.open(fleet);
  t.after(() => board.close());
  const { producer, task } = board;
  for (const id of ['a', 'b', 'c']) await lineUp(producer, task.definition, { id, steps: [placeStep('note.take', 'chat-1')] });
  await board.add({ id: 'put-off', delay: 3_600_000 });
  interface Queues {
    readonly queues: readonly { name: string; counts: Record<string, number>; jobs: { id: string; name: string; delay: number }[] }[];
  }
  const jobs = async (status: string): Promise<Queues['queues'][number]> => {
    const { body } = await board.ask('operator', 'GET', `/queues?activeQueue=note&status=${status}&page=1&jobsPerPage=10`);
    return (body as Queues).queues.find(({ name }) => name === 'note') ?? assert.fail();
  };
  const waiting = await jobs('waiting');
  assert.deepEqual([waiting.counts['waiting'], waiting.counts['delayed']], [3, 1]);
  assert.deepEqual(Object.fromEntries(waiting.jobs.map(({ id, name }) => [id, name])), {
    a: 'note.take',
    b: '◌ in line · note.take',
    c: '◌ in line · note.take',
  });
  assert.deepEqual(
    (await jobs('delayed')).jobs.map(({ id }) => id),
    ['put-off'],
  );
  const refused = await board.ask('operator', 'PUT', '/queues/note/b/promote');
  assert.equal(refused.status, 403);
  assert.match(refused.text, /Task b waits for chat-1\. Raise the limit instead: .*\/limits/);
  assert.equal((await board.ask('operator', 'PUT', '/queues/note/promote')).status, 200);
  assert.deepEqual(
    [(await producer.get('put-off'))?.state, limitIn((await producer.get('b'))?.waitingFor ?? null)?.position],
    ['queued', 1],
  );
});
