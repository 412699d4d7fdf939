import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import express from 'express';
import { z } from 'zod';
import { backoff } from '../../client/backoff.js';
import {
  type ChunkOf,
  type InputOf,
  type OutputOf,
  type StreamState,
  type TaskEvent,
  TaskNotFoundError,
  TaskfleetClient,
  TooManyRequestsError,
} from '../../client/index.js';
import { type Dashboard, createDashboard } from '../../dashboard/index.js';
import type { Producer } from '../../producer/index.js';
import { defineTask } from '../../shared/task/definition.js';
import { type Served, serve } from '../dashboard/serve-dashboard.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { FaultProxy } from '../support/network/fault-proxy.js';
import { ScriptedTask } from '../support/task/scripted-task.js';
import { until } from '../support/until.js';

describe('a stream of the client over a bad network', () => {
  const talk = new ScriptedTask('test.talk');
  let fleet: TestFleet;
  let producer: Producer;
  let dashboard: Dashboard;
  let served: Served;
  /** Responses that are not complete. */
  let open = 0;
  let proxy: FaultProxy;
  let played = 0;

  before(async () => {
    fleet = await TestFleet.start();
    const prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    await fleet.worker(prefix, [talk.handler]);
    dashboard = createDashboard({ producer, auth: false, definitions: [talk.definition], streams: { keepAliveMs: 50 } });
    const app = express();
    app.use('/fleet', (_req, res, next) => {
      open += 1;
      res.once('close', () => (open -= 1));
      next();
    });
    app.use('/fleet', dashboard.router);
    served = await serve(app);
    proxy = await FaultProxy.start(served.port);
  });
  after(async () => {
    await proxy.stop();
    await dashboard.close();
    await served.close();
    await fleet.stop();
  });

  const client = (silenceMs = 30_000): TaskfleetClient =>
    new TaskfleetClient({ baseUrl: `http://127.0.0.1:${proxy.port}/fleet/`, silenceMs, fetch: hasty });

  async function begin(): ReturnType<ScriptedTask['call']> {
    await producer.enqueue(talk.definition, {}, { id: `talk-${played}` });
    return talk.call(played++);
  }

  it('yields each event once and in order, however often the connection is cut', async () => {
    const { context, returns } = await begin();
    const heard: TaskEvent<number>[] = [];
    const states: StreamState['state'][] = [];
    const over = follow(client().events<number>(context.id, { onConnection: ({ state }) => states.push(state) }), heard);
    for (let n = 0; n < 40; n += 1) {
      context.emit(n);
      if (n % 10 !== 5) continue;
      await until(
        () => heard.length,
        (length) => length > 2,
      );
      proxy.reset();
    }
    // Lost without an event since the last connection: the state of the task comes again from the API.
    await until(
      () => chunksOf(heard),
      (chunks) => chunks.length === 40,
    );
    proxy.reset();
    await until(
      () => states.filter((state) => state === 'open').length,
      (opened) => opened >= 3,
    );
    returns('done');
    await over;
    assert.deepEqual(
      chunksOf(heard),
      Array.from({ length: 40 }, (_, n) => n),
    );
    assert.deepEqual(statesOf(heard), ['queued', 'running', 'completed']);
  });

  it('shows the history once if the connection is lost before the first event with a position', async () => {
    const { context, returns } = await begin();
    const heard: TaskEvent[] = [];
    const over = follow(client().events(context.id), heard);
    for (let times = 1; times <= 2; times += 1) {
      await until(
        () => heard.length,
        (length) => length === 2,
      );
      const accepted = proxy.accepted;
      proxy.reset();
      await until(
        () => proxy.accepted,
        (now) => now > accepted,
      );
    }
    returns(null);
    await over;
    assert.deepEqual(statesOf(heard), ['queued', 'running', 'completed']);
  });

  it('notices a connection that is silent, by the missing comments of the server', async () => {
    const { context, returns } = await begin();
    const heard: TaskEvent[] = [];
    const lost: StreamState[] = [];
    const over = follow(client(500).events(context.id, { onConnection: (state) => state.state === 'lost' && lost.push(state) }), heard);
    context.emit('before');
    await until(
      () => chunksOf(heard),
      (chunks) => chunks.length === 1,
    );
    proxy.halfOpen({ newConnections: false });
    context.emit('after');
    await until(
      () => chunksOf(heard),
      (chunks) => chunks.length === 2,
    );
    assert.equal(lost.length, 1);
    assert.match(String(lost[0]?.state === 'lost' && lost[0].error?.message), /silent/);
    returns(null);
    await over;
  });

  it('releases the connection when the caller leaves early or aborts, and when the task has ended', async () => {
    const { context, returns } = await begin();
    await until(
      () => open,
      (responses) => responses === 0,
    );
    for await (const event of client().events(context.id)) if (event.type === 'state' && event.state === 'running') break;
    await until(
      () => open,
      (responses) => responses === 0,
    );
    const leave = new AbortController();
    const heard: TaskEvent[] = [];
    const over = follow(client().events(context.id, { signal: leave.signal }), heard);
    await until(
      () => heard.length,
      (length) => length === 2,
    );
    leave.abort(new Error('left'));
    await assert.rejects(over, /left/);
    await until(
      () => open,
      (responses) => responses === 0,
    );
    const rest = follow(client().events(context.id, { after: null }), heard);
    returns(null);
    await rest;
    await until(
      () => open,
      (responses) => responses === 0,
    );
  });

  it('waits as the server says, and throws what a repetition would not help', async () => {
    const answers = [
      () => new Response('{"code":"TOO_MANY_REQUESTS","detail":"slow down"}', { status: 429, headers: { 'Retry-After': '1' } }),
      () => new Response(null, { status: 502 }),
      () => new Response('{"code":"TASK_NOT_FOUND","detail":"no task"}', { status: 404 }),
    ];
    const waits: { error: string | undefined; retryMs: number }[] = [];
    const onConnection = (state: StreamState): void => {
      if (state.state === 'lost') waits.push({ error: state.error?.code, retryMs: state.retryMs });
    };
    const scripted = new TaskfleetClient({
      baseUrl: 'http://fleet.test',
      fetch: () => Promise.resolve((answers.shift() ?? assert.fail())()),
    });
    await assert.rejects(follow(scripted.events('one', { onConnection }), []), TaskNotFoundError);
    assert.deepEqual(
      waits.map(({ error }) => error),
      ['TOO_MANY_REQUESTS', 'UNEXPECTED_RESPONSE'],
    );
    assert.ok((waits[0]?.retryMs ?? 0) >= 1_000 && (waits[1]?.retryMs ?? 9_999) <= 2_000, JSON.stringify(waits));
    // A listener may give up.
    const busy = new TaskfleetClient({
      baseUrl: 'http://fleet.test',
      fetch: () => Promise.resolve(new Response('{"code":"TOO_MANY_REQUESTS","detail":"slow down"}', { status: 429 })),
    });
    const giveUp = (state: StreamState): void => {
      if (state.state === 'lost' && state.error) throw state.error;
    };
    await assert.rejects(follow(busy.events('one', { onConnection: giveUp }), []), TooManyRequestsError);
  });
});

it('takes the types of a definition', () => {
  const chat = defineTask({
    ...{ name: 'chat.answer', input: z.object({ text: z.string(), most: z.int().default(3) }) },
    ...{ output: z.object({ words: z.int() }), chunk: z.object({ word: z.string() }) },
  });
  // The compiler checks these.
  const input: InputOf<typeof chat> = { text: 'hello' };
  const chunk: ChunkOf<typeof chat> = { word: 'hi' };
  const output: OutputOf<typeof chat> = { words: 1 };
  assert.deepEqual([chat.input.parse(input).most, chat.chunk?.parse(chunk), chat.output?.parse(output)], [3, chunk, output]);
});

it('backs off exponentially with full jitter, up to a ceiling', () => {
  const most = (failures: number): number => backoff(failures, 1_000, () => 1);
  assert.deepEqual([0, 1, 2, 3, 10].map(most), [1_000, 2_000, 4_000, 8_000, 30_000]);
  assert.equal(
    backoff(3, 1_000, () => 0),
    0,
  );
});

/** The API asks for a reconnection after 2 s; these tests do not wait that long. */
async function hasty(url: string, init: RequestInit): Promise<Response> {
  const response = await fetch(url, init);
  const stream = response.headers.get('Content-Type') === 'text/event-stream' ? response.body : null;
  if (!stream) return response;
  const sooner = new TransformStream<Uint8Array, Uint8Array>({
    start: (out) => out.enqueue(new TextEncoder().encode('\n')),
    transform: (bytes, out) =>
      out.enqueue(new TextEncoder().encode(new TextDecoder().decode(bytes).replaceAll(/retry: \d+/g, 'retry: 20'))),
  });
  return new Response(stream.pipeThrough(sooner), { headers: response.headers });
}

async function follow<Chunk>(events: AsyncIterable<TaskEvent<Chunk>>, heard: TaskEvent<Chunk>[]): Promise<void> {
  for await (const event of events) heard.push(event);
}

function chunksOf<Chunk>(events: readonly TaskEvent<Chunk>[]): Chunk[] {
  return events.flatMap((event) => (event.type === 'chunk' ? [event.chunk] : []));
}

function statesOf(events: readonly TaskEvent[]): string[] {
  return events.flatMap((event) => (event.type === 'state' ? [event.state] : []));
}
