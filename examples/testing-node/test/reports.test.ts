import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { fakeProducer } from 'taskfleet/testing';
import { requestReport } from '../src/reports.js';

const producer = fakeProducer();
beforeEach(() => producer.reset());

test('enqueues a report for the user', async () => {
  const { status, body } = await requestReport(producer, 'ada');
  assert.equal(status, 202);
  const [task] = producer.enqueued;
  assert.deepEqual(body, { id: task?.id });
  assert.deepEqual([task?.name, task?.input, task?.item], ['report.write', { user: 'ada' }, 'user-ada']);
});

test('answers 422 to a bad user, and enqueues nothing', async () => {
  assert.equal((await requestReport(producer, '')).status, 422);
  assert.equal(producer.enqueued.length, 0);
});

test('answers 409 while a report of the user is being written', async () => {
  await requestReport(producer, 'ada');
  assert.equal((await requestReport(producer, 'ada')).status, 409);
  producer.finish(producer.enqueued[0]?.id ?? '', { pages: 2 });
  assert.equal((await requestReport(producer, 'ada')).status, 202);
});

test('answers 503 while Redis is away', async () => {
  producer.available = false;
  assert.equal((await requestReport(producer, 'ada')).status, 503);
  producer.available = true;
});
