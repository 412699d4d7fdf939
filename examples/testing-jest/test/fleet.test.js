import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { fakeProducer, testFleet } from 'taskfleet/testing';
import { reportHandler } from '../src/handlers.js';
import { writeReport } from '../src/tasks.js';

const template = 'package.json';
let fleet;
beforeAll(async () => {
  fleet = await testFleet({ handlers: [reportHandler] });
});
afterAll(() => fleet.stop());

test('runs a delayed report when its time has come', async () => {
  const task = await fleet.producer.enqueue(writeReport, { template }, { delay: 3_600_000 });
  await fleet.advance('1h');
  expect(await fleet.producer.result(task)).toEqual({ pages: 2 });
});

test('waits for a result of a fake producer', async () => {
  const fake = fakeProducer();
  const task = await fake.enqueue(writeReport, { template });
  const result = fake.result(task);
  fake.finish(task, { pages: 7 });
  expect(await result).toEqual({ pages: 7 });
});
