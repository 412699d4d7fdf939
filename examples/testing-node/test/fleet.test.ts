import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type TestFleet, testFleet } from 'taskfleet/testing';
import { reportHandler } from '../src/handlers.js';
import { writeReport } from '../src/tasks.js';

let fleet: TestFleet;
let paper = 100;
const print = async (): Promise<void> => {
  if (paper === 0) throw new Error('Out of paper');
  paper -= 1;
};
before(async () => {
  fleet = await testFleet({ handlers: [reportHandler(print)] });
});
after(() => fleet.stop());

test('tries again a minute later', async () => {
  paper = 0;
  const task = await fleet.producer.enqueue(writeReport, { user: 'ada' }, { item: 'user-ada' });
  await fleet.idle();
  assert.equal((await fleet.producer.get(task))?.state, 'retrying');
  paper = 100;
  await fleet.advance('1m');
  assert.deepEqual(await fleet.producer.result(task), { pages: 2 });
});

test('writes a report every night', async () => {
  await fleet.producer.schedules.upsert('nightly', writeReport, { user: 'all' }, { cron: '0 3 * * *', timeZone: 'Europe/Berlin' });
  paper = 100;
  await fleet.advance('2d');
  assert.equal(paper, 96);
});
