import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Producer } from '../../../../producer/index.js';
import { createKeys } from '../../../../shared/keys.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';
import { type ServedApi, serveApi } from '../serve-api.js';
import { EventClient, type Heard } from './event-client.js';

const task = new ScriptedTask('report.write');
const fleet = await TestFleet.start();
const keyPrefix = fleet.newPrefix();
let producer: Producer;
let api: ServedApi;
let calls = 0;
before(async () => {
  producer = fleet.producer({ keyPrefix });
  // A lost lock would start an attempt that no test ends.
  await fleet.worker(keyPrefix, [task.handler], { concurrency: 50, lockMs: 600_000 });
});
after(() => fleet.stop());

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, n) => from + n);
const stateOf = ({ event, data }: Heard): unknown => event === 'state' && data['state'];
const run = async (item?: string) => {
  const { id } = await producer.enqueue(task.definition, null, { item });
  const call = await task.call((calls += 1) - 1);
  const returns = (value?: unknown): void => call.returns(value);
  const throws = (error: Error): void => call.throws(error);
  return {
    id,
    returns,
    throws,
    context: call.context,
    aborted: call.aborted,
    path: `/tasks/${id}/events`,
    say: (from: number, to: number) => numbers(from, to).forEach((n) => call.context.emit(n)),
  };
};
const connections = async (): Promise<string[]> =>
  ((await fleet.client.client('LIST')) as string)
    .split('\n')
    .flatMap((line) => / name=(taskfleet:producer\S*)/.exec(line)?.[1] ?? [])
    .toSorted();

describe('one dashboard', () => {
  before(async () => {
    api = await serveApi({ producer, definitions: [task.definition], streams: { keepAliveMs: 20 } });
  });
  after(() => api.close());
  const clients: EventClient[] = [];
  afterEach(() => clients.splice(0).forEach((client) => client.leave()));
  const open = async (path: string, options = {}): Promise<EventClient> => {
    const client = await EventClient.open(api.port, path, options);
    clients.push(client);
    return client;
  };

  test('a stream has a snapshot, earlier output, new output and the end', async () => {
    const { id, path, say, returns } = await run('mine-1');
    say(0, 3);
    await until(
      () => fleet.client.xlen(createKeys(keyPrefix).events(id)),
      (length) => length >= 3,
    );
    const client = await open(path, { as: 'guest' });
    await client.until((heard) => heard.filter(({ event }) => event === 'chunk').length === 3);
    say(3, 5);
    returns({ pages: 7 });
    const heard = await client.end();
    assert.deepEqual([heard[0]?.event, heard[0]?.data['id'], heard[0]?.data['state']], ['snapshot', id, 'running']);
    assert.deepEqual(client.chunks, numbers(0, 5));
    const last = heard.at(-1) as Heard;
    assert.deepEqual(
      [last.event, last.data['state'], last.data['receipt'], (last.data['task'] as { result: unknown }).result],
      ['state', 'completed', null, { pages: 7 }],
    );
    assert.equal(heard.filter((one) => stateOf(one) === 'completed').length, 1);
    assert.equal(client.retry, 2_000);
  });

  test('the last event of a stopped task has the receipt', async () => {
    const { id, path, aborted, throws } = await run();
    const client = await open(path);
    void aborted.then(() => throws(new Error('stopped')));
    await producer.stop(id, { reason: 'enough', by: 'ada' });
    const last = (await client.end()).at(-1) as Heard;
    const { outcome, reason, by } = last.data['receipt'] as Record<string, unknown>;
    assert.deepEqual([last.data['state'], outcome, reason, by], ['cancelled', 'cancelled', 'enough', 'ada']);
  });

  test('a reconnecting client gets exactly the missed events, by header or query', async () => {
    const { path, say, returns } = await run();
    say(0, 6);
    const first = await open(path);
    await first.until(() => first.chunks.length === 6);
    const third = first.heard.find(({ data }) => data['chunk'] === 2)?.id as string;
    first.leave();
    const [byHeader, byQuery] = [await open(path, { lastEventId: third }), await open(`${path}?after=${third}`)];
    say(6, 8);
    returns();
    for (const client of [byHeader, byQuery]) {
      await client.end();
      assert.deepEqual(client.chunks, numbers(3, 8));
    }
  });

  test('a finished task is replayed; a client that had the last event gets 204', async () => {
    const { id, path, say, returns } = await run();
    say(0, 1_200);
    returns();
    await producer.result(id);
    const client = await open(path);
    const heard = await client.end();
    assert.deepEqual(client.chunks, numbers(0, 1_200));
    assert.equal(stateOf(heard.at(-1) as Heard), 'completed');
    assert.equal((await open(path, { lastEventId: client.lastId })).status, 204);
    const half = await open(path, { lastEventId: heard.find(({ data }) => data['chunk'] === 600)?.id });
    await half.end();
    assert.deepEqual(half.chunks, numbers(601, 1_200));
  });

  test('a silent stream is kept alive', async () => {
    const { path, returns } = await run();
    const client = await open(path);
    await until(
      () => client.comments.length,
      (count) => count >= 2,
    );
    returns();
    await client.end();
  });

  test('a stream ends at its maximum age, and a reconnect resumes it', async () => {
    const own = await serveApi({ producer, streams: { maxAgeMs: 100 } });
    const { path, say, returns } = await run();
    say(0, 3);
    const first = await EventClient.open(own.port, path);
    await first.end();
    assert.equal(
      first.heard.some((one) => stateOf(one) === 'completed'),
      false,
    );
    say(3, 6);
    returns();
    const second = await open(path, { lastEventId: first.lastId });
    await second.end();
    assert.deepEqual([...first.chunks, ...second.chunks], numbers(0, 6));
    await own.close();
  });

  test('after the client disconnects, the task is no longer followed', async () => {
    const { path, returns } = await run();
    const client = await open(path);
    await client.until((heard) => heard.length > 0);
    const reads = async (): Promise<boolean> =>
      ((await fleet.client.client('LIST')) as string)
        .split('\n')
        .some((line) => line.includes('producer:follow') && line.includes(' flags=b'));
    await until(reads, (some) => some);
    client.leave();
    // The blocking read ends after five seconds, and no new one starts.
    await fleet.client.xadd(createKeys(keyPrefix).jobs('report') + 'events', '*', 'event', 'nothing');
    const quiet = async (): Promise<boolean> => {
      for (let look = 0; look < 20; look += 1) if (await reads()) return false;
      return true;
    };
    await until(quiet, (is) => is);
    returns();
  });

  test('a stalled client is dropped, uses no memory and loses no events', async () => {
    // One slot per caller.
    const own = await serveApi({ producer, streams: { stallMs: 50, maxStreams: 2 } });
    const { path, context, returns } = await run();
    const slow = await EventClient.open(own.port, path);
    await slow.until((heard) => heard.length > 0);
    slow.pause();
    const piece = 'x'.repeat(100_000);
    const other = await open(path);
    for (let n = 0; n < 100; n += 1) {
      context.emit(piece);
      if (n % 10 === 9) await other.until(() => other.chunks.length === n + 1);
    }
    // The stalled client's slot is free, though it is still connected.
    const next = await until(
      () => EventClient.open(own.port, path),
      ({ status }) => status === 200,
    );
    next.leave();
    // The kernel's buffer is delivered, then the connection closes.
    slow.resume();
    await slow.end();
    assert.ok(slow.chunks.length < 100);
    const again = await open(path, { lastEventId: slow.lastId });
    returns();
    await Promise.all([again.end(), other.end()]);
    assert.equal(slow.chunks.length + again.chunks.length, 100);
    await own.close();
  });
});

test('200 clients of one task get each chunk once and in order, across a restart, over one connection', { timeout: 240_000 }, async () => {
  const { path, say, returns } = await run();
  const restart = async (): Promise<{ producer: Producer; served: ServedApi }> => {
    const own = fleet.producer({ keyPrefix });
    await own.ping();
    return { producer: own, served: await serveApi({ producer: own }) };
  };
  await producer.close();
  const one = await restart();
  const early = await EventClient.open(one.served.port, path);
  await early.until((heard) => heard.length > 0);
  await fleet.client.config('RESETSTAT');
  const many = (port: number, ids: readonly (string | undefined)[]): Promise<EventClient[]> =>
    Promise.all(ids.map((lastEventId) => EventClient.open(port, path, { lastEventId })));
  const clients = await many(one.served.port, Array.from({ length: 200 }));
  await Promise.all(clients.map((client) => client.until((heard) => heard.length > 0)));
  say(0, 200);
  await Promise.all(clients.map((client) => client.until(() => client.chunks.length >= 100)));
  assert.deepEqual(await connections(), ['taskfleet:producer', 'taskfleet:producer:follow']);
  const asked = await fleet.commandCounts();
  await one.served.close();
  await Promise.all(clients.map((client) => client.end()));
  await one.producer.close();
  say(200, 250);

  const two = await restart();
  const back = await many(
    two.served.port,
    clients.map(({ lastId }) => lastId),
  );
  say(250, 400);
  returns();
  await Promise.all(back.map((client) => client.end()));
  assert.deepEqual(await connections(), ['taskfleet:producer', 'taskfleet:producer:follow']);
  for (const [index, client] of clients.entries()) {
    assert.deepEqual([...client.chunks, ...(back[index] as EventClient).chunks], numbers(0, 400));
    assert.equal(stateOf((back[index] as EventClient).heard.at(-1) as Heard), 'completed');
  }
  // One PING per client, and those that check the connections; all other reads are shared: at most one for each chunk, or for each entry
  // of the history.
  const { ping = 0, xread = 0, xrange = 0 } = asked;
  assert.ok(ping <= 250 && xread <= 250 && xrange <= 50, JSON.stringify(asked));
  await two.served.close();
});
