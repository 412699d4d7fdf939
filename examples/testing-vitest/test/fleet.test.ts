import { type TestFleet, fakeProducer, testFleet } from 'taskfleet/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { reportHandler } from '../src/handlers.js';
import { requestReport } from '../src/reports.js';
import { writeReport } from '../src/tasks.js';

let fleet: TestFleet;
beforeAll(async () => {
  fleet = await testFleet({ handlers: [reportHandler(async () => {})] });
});
afterAll(() => fleet.stop());

test('a route, first with a fake producer, then with a real fleet', async () => {
  const producer = fakeProducer();
  expect(await requestReport(producer, 'ada')).toMatchObject({ status: 202 });
  expect(producer.enqueued).toMatchObject([{ name: 'report.write', input: { user: 'ada' }, item: 'user-ada' }]);

  const { body } = await requestReport(fleet.producer, 'ada');
  await fleet.idle();
  const { id } = body as { id: string };
  expect(await fleet.producer.get(id)).toMatchObject({ state: 'completed', result: { pages: 2 } });
});

test('a report at a time', async () => {
  await fleet.producer.enqueue(writeReport, { user: 'ada' }, { item: 'user-ada', delay: 3_600_000 });
  await fleet.advance('59m');
  expect((await fleet.producer.list()).tasks).toHaveLength(1);
  await fleet.advance('1m');
  expect((await fleet.producer.list()).tasks).toHaveLength(0);
});
