import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { ScriptedTask } from '../support/task/scripted-task.js';
import { RecordedTelemetry, isChildOf, linksTo } from '../support/telemetry/recorded-telemetry.js';

const eventsOf = (span: ReadableSpan | undefined): string[] | undefined => span?.events.map(({ name }) => name);

describe('The spans of a stop', () => {
  let fleet: TestFleet;
  const recorded = new RecordedTelemetry();

  before(async () => {
    recorded.register();
    fleet = await TestFleet.start();
  });
  afterEach(() => recorded.reset());
  after(async () => {
    await fleet.stop();
    recorded.unregister();
  });

  for (const propagation of ['link', 'parent'] as const)
    it(`go from the request to the worker, with propagation ${propagation}`, async () => {
      const telemetry = recorded.telemetry({ propagation });
      const keyPrefix = fleet.newPrefix();
      const producer = fleet.producer({ keyPrefix, telemetry });
      const slow = new ScriptedTask('chat.slow');
      await fleet.worker(keyPrefix, [slow.handler], { telemetry });
      const { id } = await producer.enqueue(slow.definition, {});
      const call = await slow.call();
      void call.aborted.then((cause) => call.throws(cause));
      await recorded.within('request', () => producer.stop(id, { reason: 'enough', by: 'ada', waitMs: 60_000 }));

      const [request] = await recorded.ended('request');
      const [asked] = await recorded.ended('stop');
      const [settled] = await recorded.ended('stop chat.slow');
      const [process] = await recorded.ended('process chat.slow');
      assert.ok(request && asked && settled && process);
      assert.ok(isChildOf(asked, request));
      const said = {
        'messaging.message.id': id,
        'taskfleet.stop.reason': 'enough',
        'taskfleet.stop.by': 'ada',
        'taskfleet.stop.via': 'signal',
      };
      for (const span of [asked, settled])
        assert.deepEqual(Object.fromEntries(Object.keys(said).map((name) => [name, span.attributes[name]])), said);
      assert.equal(asked.attributes['taskfleet.stop.outcome'], 'cancelled');
      assert.deepEqual(eventsOf(settled), ['taskfleet.stop.recorded', 'taskfleet.stop.aborted', 'taskfleet.stop.settled']);
      assert.deepEqual(eventsOf(process), ['taskfleet.aborted']);
      assert.equal(process.attributes['taskfleet.attempt.outcome'], 'cancelled');
      assert.equal(process.attributes['error.type'], undefined);
      const [inside, linked] = propagation === 'link' ? [process, asked] : [asked, process];
      assert.ok(isChildOf(settled, inside));
      assert.ok(linksTo(settled, linked));
    });

  it('say what the request settled itself', async () => {
    const telemetry = recorded.telemetry();
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix, telemetry });
    const { definition } = new ScriptedTask('chat.queued');
    const one = await producer.enqueue(definition, {}, { item: 'chat-1' });
    await producer.enqueue(definition, {}, { item: 'chat-2' });
    await producer.enqueue(definition, {}, { item: 'chat-2' });
    await producer.stop(one);
    await producer.stopItem('chat-2');
    const [single, item] = await recorded.ended('stop', 2);
    assert.equal(single?.attributes['taskfleet.stop.via'], 'queue');
    assert.equal(item?.attributes['taskfleet.task.item'], 'chat-2');
    assert.equal(item?.attributes['messaging.batch.message_count'], 2);
    assert.equal(item?.attributes['taskfleet.stop.cancelled'], 2);
    assert.deepEqual(recorded.named('stop chat.queued'), []);
    const latencies = await recorded.series('taskfleet.stop.latency');
    assert.equal(latencies.find(({ attributes }) => attributes['taskfleet.task.name'] === 'chat.queued')?.value, 3);
  });

  it('reach the tasks that an enqueue supersedes', async () => {
    const telemetry = recorded.telemetry();
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix, telemetry });
    const answer = new ScriptedTask('chat.answer');
    await fleet.worker(keyPrefix, [answer.handler], { telemetry });
    await producer.enqueue(answer.definition, {}, { item: 'chat-1' });
    const call = await answer.call();
    void call.aborted.then((cause) => call.throws(cause));
    await producer.enqueue(answer.definition, {}, { item: 'chat-1', whenBusy: 'stop-previous' });
    const [, second] = await recorded.ended('send chat', 2);
    const [settled] = await recorded.ended('stop chat.answer');
    assert.ok(second && settled && linksTo(settled, second));
    assert.equal(second.attributes['taskfleet.task.superseded'], 1);
    (await answer.call(1)).returns();
  });
});
