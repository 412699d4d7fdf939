import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineHandler, defineTask } from '../../worker/index.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';
import { RecordedTelemetry } from '../support/telemetry/recorded-telemetry.js';

const pick = defineTask({ name: 'fruit.pick', input: z.object({ error: z.string().nullable() }), retention: KEEP });

describe('The metrics of OpenTelemetry', () => {
  let fleet: TestFleet;
  const recorded = new RecordedTelemetry();

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  it('count and time enqueues and attempts, with a bounded number of series', async () => {
    const telemetry = recorded.telemetry();
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix, telemetry });
    const handler = defineHandler(pick, ({ input }) => {
      if (input.error !== null) throw Object.assign(new Error('no fruit'), { name: input.error });
    });
    await fleet.worker(keyPrefix, [handler], { telemetry, concurrency: 7, workerQueues: ['fruit'] });
    const names = [...Array.from({ length: 120 }, (_, index) => `Error${index}`), 'bad name 1', 'bad name 2'];
    await producer.enqueueMany(pick, [{ input: { error: null }, item: 'basket-1' }, ...names.map((error) => ({ input: { error } }))]);
    const spans = await recorded.ended('process fruit.pick', names.length + 1);
    // The names that are no names.
    assert.equal(spans.filter(({ attributes }) => attributes['error.type'] === '_OTHER').length, 2);

    const queue = { 'messaging.system': 'bullmq', 'messaging.destination.name': 'fruit', 'taskfleet.task.name': 'fruit.pick' };
    assert.deepEqual(await recorded.series('messaging.client.sent.messages'), [
      { attributes: { ...queue, 'messaging.operation.name': 'send' }, value: names.length + 1 },
    ]);
    assert.deepEqual(await recorded.series('messaging.client.operation.duration'), [
      { attributes: { ...queue, 'messaging.operation.name': 'send', 'messaging.operation.type': 'send' }, value: 1 },
    ]);
    const attempted = { attributes: { ...queue, 'messaging.operation.name': 'process' }, value: names.length + 1 };
    assert.deepEqual(await recorded.series('messaging.client.consumed.messages'), [attempted]);
    assert.deepEqual(await recorded.series('taskfleet.task.wait.duration'), [attempted]);
    const processed = await recorded.series('messaging.process.duration');
    const sum = (all: typeof processed): number => all.reduce((total, { value }) => total + value, 0);
    assert.equal(sum(processed), names.length + 1);
    assert.ok(processed.length <= 102, `${processed.length} series`);
    assert.ok(sum(processed.filter(({ attributes }) => attributes['error.type'] === '_OTHER')) >= 22);
    assert.deepEqual(
      processed.filter(({ attributes }) => attributes['taskfleet.attempt.outcome'] === 'completed').map(({ value }) => value),
      [1],
    );
    const everything = JSON.stringify([...(await recorded.metrics()).values()]);
    assert.doesNotMatch(everything, /basket-1|messaging\.message\.id/);
    assert.deepEqual(await recorded.series('taskfleet.worker.slots'), [{ attributes: {}, value: 7 }]);
  });
});
