import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { RESERVED_IDS } from '../../../shared/reserved-ids.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { TestBoard } from './test-board.js';

const fleet = await TestFleet.start();
let board: TestBoard;
before(async () => {
  board = await TestBoard.open(fleet);
});
after(async () => {
  await board.close();
  await fleet.stop();
});

const READS = ['', '/flow'];
const WRITES = [
  ['PUT', '/retry'],
  ['PUT', '/promote'],
  ['PUT', '/clean'],
  ['PATCH', '/delay'],
  ['PATCH', '/priority'],
] as const;
const BODY = { runAt: Date.now() + 60_000, delay: 1_000, priority: 1 };

test("an id that is one of the queue's own keys, or no id of a job, is 404 for every route of a job", async () => {
  await board.work();
  await board.run();
  await board.producer.schedules.upsert('nightly', board.task.definition, {}, { every: 3_600_000 });
  await fleet.client.set(`${board.keys.jobs('note')}text`, 'x');
  await fleet.client.sadd(`${board.keys.jobs('note')}set`, 'x');
  const odd = [
    'nobody',
    'a b',
    'a:b',
    '..',
    '%',
    'ü/42',
    '😀',
    '0',
    '-1',
    'x'.repeat(500),
    'repeat:nightly',
    'one:lock',
    'set:1',
    '\u0000',
  ];
  for (const id of [...RESERVED_IDS, ...odd]) {
    const path = `/queues/note/${encodeURIComponent(id)}`;
    for (const suffix of READS) {
      // This job has a separate route.
      if (id === 'metrics' && suffix === '') continue;
      const { status, text } = await board.ask('admin', 'GET', path + suffix);
      assert.equal(status, 404, `GET ${id}${suffix}: ${text}`);
    }
    for (const [method, suffix] of WRITES) {
      const { status, text } = await board.ask('admin', method, path + suffix, BODY);
      assert.equal(status, 404, `${method} ${id}${suffix}: ${text}`);
    }
    assert.ok((await board.ask('admin', 'GET', `${path}/logs`)).status < 500, `logs of ${id}`);
  }
});
