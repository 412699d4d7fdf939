import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { inspect } from 'node:util';
import { z } from 'zod';
import type { Producer, TaskEvent } from '../../../producer/index.js';
import { defineHandler, defineTask } from '../../../worker/index.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { type HandlerCall, ScriptedTask } from '../../support/task/scripted-task.js';

describe("A handler's context", () => {
  let fleet: TestFleet;
  let prefix: string;
  let producer: Producer;
  let log: LogLines;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function runOne(task: ScriptedTask, options: Parameters<Producer['enqueue']>[2] = {}): Promise<{ id: string; call: HandlerCall }> {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    log = new LogLines('info');
    await fleet.worker(prefix, [task.handler], { loggers: log.loggers });
    const { id } = await producer.enqueue(task.definition, {}, options);
    return { id, call: await task.call() };
  }

  async function eventsOf(id: string): Promise<TaskEvent[]> {
    const events: TaskEvent[] = [];
    for await (const event of producer.events(id)) events.push(event);
    return events;
  }

  it('has the input with defaults, the id, the item and the attempt', async () => {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    const definition = defineTask({
      name: 'context.input',
      input: z.object({ text: z.string(), times: z.number().default(3) }).transform((input) => ({ ...input, seen: true })),
      retention: KEEP,
    });
    const handler = defineHandler(definition, ({ id, name, item, attempt, input }) => ({ id, name, item, attempt, input }));
    await fleet.worker(prefix, [handler]);
    const { id } = await producer.enqueue(definition, { text: 'a' }, { item: 'doc-1' });
    assert.deepEqual(await producer.result(id), {
      id,
      name: 'context.input',
      item: 'doc-1',
      attempt: 1,
      input: { text: 'a', times: 3, seen: true },
    });
    const other = await producer.enqueue(definition, { text: 'b', times: 1 });
    assert.equal(((await producer.result(other)) as { item: unknown }).item, null);
  });

  it('merges a thousand progress reports into a few; the last wins', async () => {
    const task = new ScriptedTask('context.progress');
    const { id, call } = await runOne(task);
    for (let done = 1; done <= 1_000; done += 1) call.context.progress({ done, total: 1_000 });
    call.returns();
    await producer.result(id);
    const reports = (await eventsOf(id)).filter(({ type }) => type === 'progress');
    assert.ok(reports.length >= 1 && reports.length <= 3, `${reports.length} writes`);
    const { id: eventId, at } = reports.at(-1) ?? {};
    assert.deepEqual(reports.at(-1), { type: 'progress', id: eventId, at, progress: { done: 1_000, total: 1_000 } });
    assert.deepEqual((await producer.get(id))?.progress, { done: 1_000, total: 1_000 });
  });

  it('stores progress as it was at the call', async () => {
    const task = new ScriptedTask('context.snapshot');
    const { id, call } = await runOne(task);
    const report = { done: 1 };
    call.context.progress(report);
    report.done = 2;
    call.returns();
    await producer.result(id);
    assert.deepEqual((await producer.get(id))?.progress, { done: 1 });
  });

  it('refuses progress that is neither a number nor an object, and values without JSON', async () => {
    const task = new ScriptedTask('context.badprogress');
    const { id, call } = await runOne(task);
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    for (const bad of [NaN, Infinity, 'half', null, undefined, true, circle, { big: 1n }]) {
      assert.throws(() => call.context.progress(bad as number), TypeError, inspect(bad));
    }
    for (const bad of [circle, 1n]) assert.throws(() => call.context.emit(bad), TypeError);
    call.returns('alive');
    assert.equal(await producer.result(id), 'alive');
    assert.deepEqual(
      (await eventsOf(id)).map(({ type }) => type),
      ['state', 'state', 'state'],
    );
  });

  it('keeps thousands of chunks in order, and writes them in batches', async () => {
    const task = new ScriptedTask('context.emit');
    const { id, call } = await runOne(task);
    const monitor = await fleet.monitor();
    for (let index = 0; index < 3_000; index += 1) call.context.emit(index);
    call.returns();
    await producer.result(id);
    const chunks = (await eventsOf(id)).flatMap((event) => (event.type === 'chunk' ? [event.chunk] : []));
    assert.deepEqual(
      chunks,
      Array.from({ length: 3_000 }, (_, index) => index),
    );
    // Each batch renews the expiry of the stream once.
    const stream = fleet.keys(prefix).events(id);
    const batches = (await monitor.stop()).filter(([name, key]) => name === 'pexpire' && key === stream).length;
    assert.ok(batches > 0 && batches <= 20, `${batches} batches`);
  });

  it('emits any value as JSON', async () => {
    const task = new ScriptedTask('context.json');
    const { id, call } = await runOne(task);
    const date = new Date(0);
    for (const chunk of [
      'text',
      5,
      null,
      undefined,
      () => 1,
      Symbol('s'),
      date,
      { a: undefined, b: [undefined] },
      'ünï \u0000 \ud83d\ude00',
    ])
      call.context.emit(chunk);
    call.returns();
    await producer.result(id);
    const chunks = (await eventsOf(id)).flatMap((event) => (event.type === 'chunk' ? [event.chunk] : []));
    assert.deepEqual(chunks, ['text', 5, null, null, null, null, date.toISOString(), { b: [null] }, 'ünï \u0000 \ud83d\ude00']);
  });

  it('writes all output before the task ends', async () => {
    const task = new ScriptedTask('context.flushed');
    const { id, call } = await runOne(task);
    call.context.emit('last words');
    call.context.progress(100);
    call.throws(new Error('and then it failed'));
    const types = (await eventsOf(id)).map((event) => (event.type === 'state' ? event.state : event.type));
    assert.deepEqual(types, ['queued', 'running', 'chunk', 'progress', 'failed']);
  });

  it('has functions that work without their object', async () => {
    const task = new ScriptedTask('context.destructured');
    const { id, call } = await runOne(task);
    const { emit, progress } = call.context;
    emit('alone');
    progress(50);
    call.returns();
    await producer.result(id);
    assert.deepEqual(
      (await eventsOf(id)).map(({ type }) => type),
      ['state', 'state', 'chunk', 'progress', 'state'],
    );
  });

  it('logs with the task, its name and the attempt, at the level of the component task', async () => {
    const task = new ScriptedTask('context.log');
    const { id, call } = await runOne(task);
    call.context.log.info({ extra: 1 }, 'at work');
    call.context.log.debug('not shown');
    call.returns();
    await producer.result(id);
    const [line] = log.find(/^at work$/);
    assert.deepEqual(
      [line?.['task'], line?.['name'], line?.['attempt'], line?.['component'], line?.['extra']],
      [id, 'context.log', 1, 'task', 1],
    );
    assert.equal(log.find(/not shown/).length, 0);
  });

  it('creates no stream for a task without output', async () => {
    const task = new ScriptedTask('context.silent');
    const { id, call } = await runOne(task);
    call.returns();
    await producer.result(id);
    assert.equal(await fleet.client.exists(`${prefix}:tasks:events:${id}`), 0);
  });

  it('ignores calls after the end of the handler', async () => {
    const task = new ScriptedTask('context.leftover');
    const { id, call } = await runOne(task);
    call.context.emit('in time');
    call.returns('done');
    await producer.result(id);
    call.context.emit('too late');
    call.context.progress(50);
    assert.equal(call.context.signal.aborted, false);
    const again = await producer.enqueue(task.definition, {});
    (await task.call(1)).returns();
    await producer.result(again);
    const chunks = (await eventsOf(id)).flatMap((event) => (event.type === 'chunk' ? [event.chunk] : []));
    assert.deepEqual([chunks, (await producer.get(id))?.progress], [['in time'], null]);
  });
});
