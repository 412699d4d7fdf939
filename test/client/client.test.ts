import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  InvalidInputError,
  TaskCancelledError,
  TaskFailedError,
  TaskNotFoundError,
  TaskfleetClient,
  TaskfleetError,
  UnauthenticatedError,
  UnexpectedResponseError,
  UnreachableError,
  WaitTimeoutError,
} from '../../client/index.js';
import { type Producer, eventToJson, receiptToJson, taskToJson } from '../../producer/index.js';
import { fleetCanary } from '../../worker/builtin/definitions.js';
import { serve } from '../dashboard/serve-dashboard.js';
import { TestDashboard, type Who } from '../dashboard/test-dashboard.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { ScriptedTask } from '../support/task/scripted-task.js';

const HOUR_MS = 3_600_000;

describe('the client of the API', () => {
  const talk = new ScriptedTask('test.talk');
  let fleet: TestFleet;
  let producer: Producer;
  let dashboard: TestDashboard;

  before(async () => {
    fleet = await TestFleet.start();
    const prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    await fleet.worker(prefix, [talk.handler]);
    dashboard = await TestDashboard.start(producer, { shutdownTimeoutMs: 100 }, { definitions: [talk.definition] });
  });
  after(async () => {
    await dashboard.stop();
    await fleet.stop();
  });

  let played = 0;
  const nextCall = (): ReturnType<ScriptedTask['call']> => talk.call(played++);
  const clientOf = (who: Who): TaskfleetClient => new TaskfleetClient({ baseUrl: `${dashboard.url}/`, token: dashboard.tokens[who] });

  it('enqueues, follows and awaits a task, as the producer does', async () => {
    const client = clientOf('operator');
    const body = { name: talk.definition.name, item: 'chat-1', tags: ['a', 'b'] };
    const [added, again] = [await client.enqueue(body, { idempotencyKey: 'one' }), await client.enqueue(body, { idempotencyKey: 'one' })];
    assert.deepEqual([again.id, added.duplicate, added.item], [added.id, false, 'chat-1']);
    const call = await nextCall();
    const result = client.result(added.id);
    const heard = collect(client.events<{ word: string }>(added.id));
    call.context.emit({ word: 'hi' });
    call.context.progress(0.5);
    call.returns({ ok: true });
    assert.deepEqual(await result, { ok: true });
    const events = await heard;
    assert.deepEqual(
      events.map((event) => (event.type === 'chunk' ? event.chunk.word : event.type === 'state' ? event.state : event.progress)),
      ['queued', 'running', 'hi', 0.5, 'completed'],
    );
    const stored = await collect(producer.events(added.id));
    assert.deepEqual(
      (await collect(client.events(added.id))).map((event) => JSON.stringify({ ...event, task: undefined })).map(sorted),
      stored.map((event) => JSON.stringify(eventToJson(event))).map(sorted),
    );
    const task = await client.get(added.id);
    assert.deepEqual(task, JSON.parse(JSON.stringify(taskToJson((await producer.get(added.id)) ?? assert.fail()))));
    const last = events.at(-1);
    assert.deepEqual(last?.type === 'state' && last.task, task);
    assert.equal(await client.get('nobody'), null);
  });

  it('lists tasks page by page, and stops an item', async () => {
    const client = clientOf('operator');
    for (let n = 1; n <= 5; n += 1)
      await client.enqueue({ name: fleetCanary.name, id: `room-${n}`, item: 'room', tags: ['x', 'y'], delay: HOUR_MS });
    const { tasks, next } = await client.list({ item: 'room', tag: ['x', 'y'], limit: 2 });
    assert.deepEqual([tasks.map(({ id }) => id), typeof next], [['room-5', 'room-4'], 'string']);
    const ids = (await collect(client.listAll({ item: 'room' }))).map(({ id }) => id);
    assert.deepEqual(ids, ['room-5', 'room-4', 'room-3', 'room-2', 'room-1']);
    const receipts = await client.stop(['room-1', 'nobody'], { reason: 'enough' });
    assert.deepEqual(
      receipts.map(({ id, outcome, reason }) => [id, outcome, reason]),
      [
        ['room-1', 'cancelled', 'enough'],
        ['nobody', 'not_found', null],
      ],
    );
    const again = await client.stop('room-1');
    assert.deepEqual([again.outcome, again.ended_as, again.reason], ['cancelled', 'cancelled', 'enough']);
    assert.equal((await client.stopItem('room', { dryRun: true })).length, 4);
    const stopped = await client.stopItem('room', { reason: 'closed', waitMs: 60_000 });
    assert.deepEqual([stopped.length, new Set(stopped.map(({ outcome }) => outcome))], [4, new Set(['cancelled'])]);
    assert.deepEqual((({ id, stop }) => [id, stop])(await client.retry('room-1')), ['room-1', null]);
    await client.stop('room-1');
  });

  it('throws the end of a task that did not complete', async () => {
    const client = clientOf('operator');
    const failing = await client.enqueue({ name: talk.definition.name });
    const result = client.result(failing.id);
    (await nextCall()).throws(new TypeError('no such model', { cause: new Error('404') }));
    await assert.rejects(result, (error: unknown) => {
      assert.ok(error instanceof TaskFailedError && error.code === 'TASK_FAILED' && error.cause instanceof Error);
      const { name, message, cause } = error.cause;
      assert.deepEqual([name, message, (cause as Error).message], ['TypeError', 'no such model', '404']);
      return true;
    });
    const stopped = await client.enqueue({ name: talk.definition.name });
    const cancelled = client.result(stopped.id);
    const call = await nextCall();
    await assert.rejects(client.result(stopped.id, { timeoutMs: 1 }), WaitTimeoutError);
    const leave = new AbortController();
    const left = client.result(stopped.id, { signal: leave.signal });
    leave.abort(new Error('left'));
    await assert.rejects(left, /left/);
    void call.aborted.then((cause) => call.throws(cause));
    const receipt = await client.stop(stopped.id, { reason: 'enough', waitMs: 60_000 });
    await assert.rejects(cancelled, (error: unknown) => {
      assert.ok(error instanceof TaskCancelledError);
      assert.equal(error.message, `Task ${stopped.id} was stopped by operator: enough`);
      assert.deepEqual([error.receipt?.outcome, error.receipt?.id], ['cancelled', receipt.id]);
      return true;
    });
    await assert.rejects(client.result('nobody'), TaskNotFoundError);
  });

  it('reads and follows the log of a task', async () => {
    const client = clientOf('operator');
    const { id } = await client.enqueue({ name: talk.definition.name });
    const { context, returns } = await nextCall();
    const followed = collect(client.logs(id, { follow: true }));
    context.log.info({ step: 1 }, 'one');
    context.log.info('two');
    returns(null);
    const lines = await followed;
    assert.deepEqual(
      lines.map(({ message }) => message),
      ['one', 'two'],
    );
    assert.deepEqual(await collect(client.logs(id)), lines);
    assert.deepEqual(await collect(client.logs(id, { after: lines[0]?.seq })), lines.slice(1));
  });

  it('throws errors of the class of their code', async () => {
    const client = clientOf('viewer');
    await assert.rejects(clientOf('operator').enqueue({ name: fleetCanary.name, input: { run_ms: 'soon' } }), (error: unknown) => {
      assert.ok(error instanceof InvalidInputError && error instanceof TaskfleetError);
      assert.deepEqual(
        [error.name, error.code, error.status, error.fields[0]?.field],
        ['InvalidInputError', 'INVALID_INPUT', 400, 'input.run_ms'],
      );
      assert.match(error.requestId ?? '', /^[\w-]{36}$/);
      return true;
    });
    await assert.rejects(collect(client.events('nobody')), TaskNotFoundError);
    await assert.rejects(client.stop('nobody'), { code: 'FORBIDDEN', name: 'ForbiddenError' });
    const other = await serve((_req, res) => void res.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>hello'));
    const elsewhere = new TaskfleetClient({ baseUrl: `http://127.0.0.1:${other.port}` });
    await assert.rejects(elsewhere.list(), UnexpectedResponseError);
    await assert.rejects(collect(elsewhere.events('one')), UnexpectedResponseError);
    await other.close();
    await assert.rejects(elsewhere.list(), UnreachableError);
    await assert.rejects(new TaskfleetClient({ baseUrl: dashboard.url, token: 'of-nobody' }).list(), UnauthenticatedError);
  });

  it('renews the token of a function once for an answer 401', async () => {
    const given = ['expired', 'expired', dashboard.tokens.operator];
    const calls: string[] = [];
    const client = new TaskfleetClient({
      baseUrl: dashboard.url,
      token: async () => {
        const token = given[Math.min(calls.length, given.length - 1)] ?? '';
        calls.push(token);
        return Promise.resolve(token);
      },
    });
    // Both tokens are refused: the caller learns it.
    await assert.rejects(client.list(), UnauthenticatedError);
    assert.equal(calls.length, 2);
    await Promise.all([client.list(), client.list(), client.list()]);
    assert.equal(calls.length, 3, 'concurrent requests share a renewal');
  });

  it('sends any other request of the API', async () => {
    const { queues } = await clientOf('viewer').request<{ queues: { name: string }[] }>('GET', '/queues');
    assert.ok(queues.some(({ name }) => name === 'test'));
    const first = await firstOf(clientOf('viewer').stream('/events'));
    assert.deepEqual([first?.event, first?.data], ['ready', '{}']);
  });

  it('shows receipts as the producer does', async () => {
    await producer.enqueue(fleetCanary, {}, { id: 'late', delay: HOUR_MS });
    const receipt = await clientOf('operator').stop('late');
    assert.deepEqual(Object.keys(receipt), Object.keys(receiptToJson(await producer.stop('late'))));
  });
});

function sorted(json: string): string {
  return JSON.stringify(Object.entries(JSON.parse(json) as object).sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function firstOf<Value>(values: AsyncIterable<Value>): Promise<Value | undefined> {
  for await (const value of values) return value;
  return undefined;
}

async function collect<Value>(values: AsyncIterable<Value>): Promise<Value[]> {
  const all: Value[] = [];
  for await (const value of values) all.push(value);
  return all;
}
