import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { Queue, Worker } from 'bullmq';
import { BullMQOtel } from 'bullmq-otel';
import { z } from 'zod';
import { defineHandler, defineTask } from '../../worker/index.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';
import { RecordedTelemetry, isChildOf, linksTo } from '../support/telemetry/recorded-telemetry.js';

const echo = defineTask({ name: 'echo.text', input: z.object({ text: z.string() }), retention: KEEP });

describe('Traces with bullmq-otel on one side', () => {
  let fleet: TestFleet;
  const recorded = new RecordedTelemetry();

  before(async () => {
    recorded.register();
    fleet = await TestFleet.onOneServer();
  });
  afterEach(() => recorded.reset());
  after(async () => {
    await fleet.stop();
    recorded.unregister();
  });

  const optionsOf = (prefix: string) => ({
    connection: { port: fleet.redis.port, maxRetriesPerRequest: null },
    prefix: fleet.keys(prefix).bull(echo.queue),
    telemetry: new BullMQOtel({ tracerName: 'bare' }),
  });

  it("connect a bare BullMQ queue to the fleet's worker", async () => {
    const prefix = fleet.newPrefix();
    const queue = new Queue(echo.queue, optionsOf(prefix));
    await queue.add(echo.name, { text: 'hi' });
    await queue.add(echo.name, { text: 'alone' }, { telemetry: { omitContext: true } });
    await fleet.worker(prefix, [defineHandler(echo, () => undefined)], { telemetry: recorded.telemetry() });
    const [first, second] = await recorded.ended('process echo.text', 2);
    const [add] = recorded.named('add echo.echo.text');
    await queue.close();
    assert.ok(add && first && linksTo(first, add));
    assert.deepEqual(second?.links, []);
    // BullMQ's own telemetry of the fleet's worker is off: no second set of spans.
    assert.deepEqual(recorded.named('process echo'), []);
  });

  it("connect the fleet's producer to a bare BullMQ worker", async () => {
    const prefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix: prefix, telemetry: recorded.telemetry() });
    const worker = new Worker(echo.queue, () => Promise.resolve(), optionsOf(prefix));
    worker.on('error', () => undefined);
    await producer.enqueue(echo, { text: 'hi' });
    const [process] = await recorded.ended('process echo');
    const [send] = recorded.named('send echo');
    await worker.close();
    assert.ok(process && send && isChildOf(process, send));
  });
});
