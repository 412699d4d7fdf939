import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { z } from 'zod';
import { RetryAfter, defineHandler, defineTask } from '../../worker/index.js';
import { LogLines } from '../support/fleet/log-lines.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';
import { RecordedTelemetry, isChildOf, linksTo } from '../support/telemetry/recorded-telemetry.js';

const greet = defineTask({ name: 'chat.greet', input: z.object({ name: z.string() }), output: z.string(), retention: KEEP });
const greeter = defineHandler(greet, ({ input }) => {
  trace.getActiveSpan()?.addEvent('greeting');
  return `Hello ${input.name}`;
});

describe('The spans of a task', () => {
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

  const start = async (
    handlers: Parameters<TestFleet['worker']>[1],
    options: Parameters<RecordedTelemetry['telemetry']>[0] = {},
    config: Parameters<TestFleet['worker']>[2] = {},
  ) => {
    const telemetry = recorded.telemetry(options);
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix, telemetry });
    await fleet.worker(keyPrefix, handlers, { telemetry, producer, ...config });
    return { keyPrefix, producer };
  };

  it('link an attempt to its enqueue, and add the wait to the trace of the enqueue', async () => {
    const { producer } = await start([greeter]);
    const task = await recorded.within('request', () => producer.enqueue(greet, { name: 'Ada' }, { item: 'chat-1' }));
    assert.equal(await producer.result(task), 'Hello Ada');

    const [request] = recorded.named('request');
    const [send] = await recorded.ended('send chat');
    const [process] = await recorded.ended('process chat.greet');
    const [wait] = await recorded.ended('wait chat');
    assert.ok(request && send && process && wait);
    assert.ok(isChildOf(send, request));
    assert.ok(isChildOf(wait, send) && linksTo(wait, process));
    assert.equal(process.parentSpanContext, undefined);
    assert.ok(linksTo(process, send));
    assert.deepEqual(
      process.events.map(({ name }) => name),
      ['greeting'],
    );
    const common = { 'messaging.system': 'bullmq', 'messaging.destination.name': 'chat', 'messaging.message.id': task.id };
    const ofTask = { 'taskfleet.task.name': 'chat.greet', 'taskfleet.task.item': 'chat-1' };
    assert.equal(send.kind, SpanKind.PRODUCER);
    assert.deepEqual(send.attributes, { ...common, ...ofTask, 'messaging.operation.name': 'send', 'messaging.operation.type': 'send' });
    const {
      'messaging.client.id': client,
      'taskfleet.wait.duration': waited,
      ...rest
    } = process.attributes as typeof process.attributes & { readonly 'taskfleet.wait.duration': number };
    assert.match(String(client), /-[\da-f]{8}$/);
    assert.ok(waited >= 0 && waited < 60);
    assert.equal(process.kind, SpanKind.CONSUMER);
    assert.deepEqual(rest, {
      ...common,
      ...ofTask,
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'taskfleet.attempt.number': 1,
      'taskfleet.attempt.max': 1,
      'taskfleet.attempt.outcome': 'completed',
    });
  });

  it('are one trace with propagation parent', async () => {
    const { producer } = await start([greeter], { propagation: 'parent' });
    await producer.result(await producer.enqueue(greet, { name: 'Ada' }));
    const [send] = await recorded.ended('send chat');
    const [process] = await recorded.ended('process chat.greet');
    assert.ok(send && process && isChildOf(process, send));
    assert.deepEqual(process.links, []);
  });

  it('show each attempt of a retried task with its error, in log lines too', async () => {
    const flaky = defineTask({ name: 'chat.flaky', input: z.object({}), retention: KEEP, retry: { attempts: 4, backoff: { delayMs: 0 } } });
    const log = new LogLines();
    const handler = defineHandler(flaky, ({ attempt, log: lines }) => {
      lines.info({ attempt }, 'Trying');
      if (attempt === 1) throw new RangeError('too far');
      if (attempt === 2) throw new RetryAfter(1, 'busy');
    });
    const { producer } = await start([handler], {}, { loggers: log.loggers });
    const { id } = await producer.enqueue(flaky, {});
    await producer.waitUntilFinished(id);
    const spans = await recorded.ended('process chat.flaky', 3);
    const [send] = recorded.named('send chat');
    assert.deepEqual(
      spans.map(({ attributes, status }) => [
        attributes['taskfleet.attempt.number'],
        attributes['taskfleet.attempt.outcome'],
        attributes['error.type'],
        status.code,
      ]),
      [
        [1, 'failed', 'RangeError', SpanStatusCode.ERROR],
        [2, 'failed', 'RetryAfter', SpanStatusCode.ERROR],
        [3, 'completed', undefined, SpanStatusCode.UNSET],
      ],
    );
    assert.deepEqual(
      spans[0]?.events.map(({ name, attributes }) => [name, attributes?.['exception.message']]),
      [['exception', 'too far']],
    );
    assert.ok(send && spans.every((span) => linksTo(span, send)));
    const idsOf = (line: Readonly<Record<string, unknown>> | undefined) => [line?.['trace_id'], line?.['span_id'], line?.['trace_flags']];
    const expected = spans.map((span) => [span.spanContext().traceId, span.spanContext().spanId, '01']);
    assert.deepEqual(log.find(/^Trying$/).map(idsOf), expected);
    assert.deepEqual(idsOf(log.find(/^Attempt failed/)[0]), expected[0]);
    const kept = await producer.logPage(id);
    assert.deepEqual(
      kept.lines.filter(({ message }) => message === 'Trying').map(({ fields }) => fields),
      [{}, {}, {}],
    );
  });

  it('nest children and the spans of instrumentations in the attempt', async () => {
    const parent = defineTask({ name: 'chat.parent', input: z.object({}), retention: KEEP });
    const handler = defineHandler(parent, async ({ enqueue }) => {
      await recorded.within('fetch', () => Promise.resolve());
      await enqueue(greet, { name: 'Bob' });
    });
    const { producer } = await start([handler, greeter]);
    await producer.waitUntilFinished(await producer.enqueue(parent, {}));
    const [process] = await recorded.ended('process chat.parent');
    const [child] = await recorded.ended('process chat.greet');
    const [fetch] = recorded.named('fetch');
    const send = recorded.named('send chat').find(({ attributes }) => attributes['taskfleet.task.name'] === 'chat.greet');
    assert.ok(process && child && fetch && send);
    assert.ok(isChildOf(fetch, process));
    assert.ok(isChildOf(send, process));
    assert.ok(linksTo(child, send));
  });

  it('cover a bulk enqueue by one span, and say what an enqueue found', async () => {
    const { producer } = await start([greeter]);
    const tasks = await producer.enqueueMany(
      greet,
      ['Ada', 'Bob', 'Cy'].map((name) => ({ input: { name } })),
    );
    const [send] = await recorded.ended('send chat');
    assert.equal(send?.attributes['messaging.batch.message_count'], 3);
    const attempts = await recorded.ended('process chat.greet', 3);
    assert.ok(attempts.every((span) => linksTo(span, send)));
    const again = await producer.enqueue(greet, { name: 'Ada' }, { id: tasks[0]?.id });
    assert.equal(again.duplicate, true);
    const [, second] = await recorded.ended('send chat', 2);
    assert.equal(second?.attributes['taskfleet.task.duplicate'], true);
    await assert.rejects(producer.enqueue(greet, { name: 3 } as never), { code: 'INVALID_INPUT' });
    const [, , refused] = await recorded.ended('send chat', 3);
    assert.equal(refused?.attributes['error.type'], 'INVALID_INPUT');
    assert.equal(refused?.status.code, SpanStatusCode.ERROR);
  });

  it('begin with the attempt for a scheduled task', async () => {
    const { producer } = await start([greeter]);
    await producer.schedules.upsert('often', greet, { name: 'Eve' }, { every: 1_000 });
    const [process] = await recorded.ended('process chat.greet');
    assert.deepEqual([process?.parentSpanContext, process?.links], [undefined, []]);
    assert.deepEqual(recorded.named('wait chat'), []);
    await producer.schedules.remove('often');
    const { id } = await producer.schedules.upsert('rare', greet, { name: 'Eve' }, { every: 3_600_000 });
    recorded.reset();
    await producer.schedules.runNow(id);
    const [send] = await recorded.ended('send chat');
    const [asked] = await recorded.ended('process chat.greet');
    assert.ok(send && asked && linksTo(asked, send));
  });

  it('leave no trace in Redis without telemetry', async () => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const { id, queue } = await recorded.within('request', () => producer.enqueue(greet, { name: 'Ada' }));
    const job = fleet.keys(keyPrefix).jobs(queue) + id;
    assert.doesNotMatch((await fleet.client.hget(job, 'opts')) ?? '', /"tm"|telemetry/);
    await producer.stop(id);
    assert.doesNotMatch((await fleet.client.hget(job, 'stop')) ?? '', /"tm"/);
    assert.deepEqual(
      recorded.spans.map(({ name }) => name),
      ['request'],
    );
  });

  it('refuse telemetry of another kind', () => {
    assert.throws(() => fleet.producer({ telemetry: {} as never }), {
      code: 'INVALID_SETTINGS',
      message: /expected telemetry from openTelemetry/,
    });
    assert.throws(() => recorded.telemetry({ propagation: 'both' as never }), { code: 'INVALID_SETTINGS' });
  });
});
