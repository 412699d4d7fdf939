import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { Queue } from 'bullmq';
import type { LogLine, LogOptions, Producer } from '../../../producer/index.js';
import { isFleetError } from '../../../shared/errors.js';
import type { Store } from '../../../shared/store.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const LIMITS = [1_000, 262_144] as const;

describe('producer.logs', () => {
  let fleet: TestFleet;
  let keyPrefix: string;
  let producer: Producer;
  let store: Store;
  let task: ScriptedTask;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());
  beforeEach(() => {
    keyPrefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix });
    store = fleet.store({ keyPrefix });
    task = new ScriptedTask('log.task', { retry: { attempts: 2, backoff: { type: 'fixed', delayMs: 300, jitter: 0 } } });
  });

  const keyOf = (id: string): string => fleet.keys(keyPrefix).jobs(task.definition.queue) + id;
  const add = async (): Promise<string> => (await producer.enqueue(task.definition, null)).id;
  const append = (id: string, writer: string, batch: number, lines: readonly string[], dropped = 0): Promise<0 | 1> =>
    store.redis.appendLog(keyOf(id), `${keyOf(id)}:logs`, writer, batch, dropped, ...LIMITS, ...lines);
  const read = async (id: string, options?: LogOptions): Promise<[number, string][]> => {
    const lines: [number, string][] = [];
    for await (const { seq, message } of producer.logs(id, options)) lines.push([seq, message]);
    return lines;
  };

  it('follows the log over all attempts, until the task ends', async () => {
    await fleet.worker(keyPrefix, [task.handler]);
    const id = await add();
    const seen: LogLine[] = [];
    const following = (async () => {
      for await (const line of producer.logs(id, { follow: true })) seen.push(line);
    })();
    const first = await task.call(0);
    first.context.log.info('first');
    await until(
      () => seen.length,
      (length) => length === 1,
    );
    first.throws(new Error('once more'));
    const second = await task.call(1);
    second.context.log.info('second');
    second.returns();
    await following;
    assert.deepEqual(
      seen.map(({ seq, attempt, message }) => [seq, attempt, message]),
      [
        [1, 1, 'first'],
        [2, 1, 'Attempt failed; retrying'],
        [3, 2, 'second'],
      ],
    );
  });

  it('costs one read for all followers that wait for the next line', async () => {
    const id = await add();
    await append(id, 'w', 1, ['a']);
    const controller = new AbortController();
    const { signal } = controller;
    const followers = Array.from({ length: 20 }, () => producer.logs(id, { follow: true, signal }));
    for (const follower of followers) assert.equal((await follower.next()).value?.message, 'a');
    const nexts = Promise.all(followers.map(async (follower) => (await follower.next()).value?.message));
    await fleet.onEach((client) => client.config('RESETSTAT'));
    await append(id, 'w', 2, ['b']);
    assert.deepEqual(new Set(await nexts), new Set(['b']));
    const { hmget = 0 } = await fleet.commandCounts();
    assert.ok(hmget <= 5, `${hmget} reads`);
    controller.abort(new Error('enough'));
  });

  it('ends with the reason of its signal, and with CLOSED when the producer closes', async () => {
    const id = await add();
    const controller = new AbortController();
    const reason = new Error('enough');
    const stopped = assert.rejects(read(id, { follow: true, signal: controller.signal }), reason);
    const closed = assert.rejects(read(id, { follow: true }), (error) => isFleetError(error, 'CLOSED'));
    controller.abort(reason);
    await stopped;
    await producer.close();
    await closed;
  });

  it('begins after a line, and ends after a number of lines', async () => {
    const id = await add();
    await append(id, 'w', 1, ['a', 'b', 'c', 'd']);
    assert.deepEqual(await read(id, { after: 1, limit: 2 }), [
      [2, 'b'],
      [3, 'c'],
    ]);
    assert.deepEqual(await read(id, { after: 4 }), []);
    const { lines, next, dropped } = await producer.logPage(id, { after: 1, limit: 2 });
    assert.deepEqual([lines.map(({ seq }) => seq), next, dropped], [[2, 3], 3, 0]);
    for (const options of [{ after: -1 }, { after: 0.5 }, { limit: 0 }, { after: 'x' as never }]) {
      await assert.rejects(read(id, options), (error) => isFleetError(error, 'INVALID_OPTION'));
      await assert.rejects(producer.logPage(id, options), (error) => isFleetError(error, 'INVALID_OPTION'));
    }
    await assert.rejects(read('nobody'), (error) => isFleetError(error, 'TASK_NOT_FOUND'));
    await assert.rejects(producer.logPage('nobody'), (error) => isFleetError(error, 'TASK_NOT_FOUND'));
  });

  it('has each batch once, even if it is sent again after its reply was lost', async () => {
    const id = await add();
    assert.deepEqual([await append(id, 'w', 1, ['a']), await append(id, 'w', 2, ['b'])], [1, 1]);
    assert.deepEqual([await append(id, 'w', 1, ['a']), await append(id, 'w', 2, ['b'])], [0, 0]);
    await append(id, 'other', 1, ['c']);
    assert.deepEqual(await read(id), [
      [1, 'a'],
      [2, 'b'],
      [3, 'c'],
    ]);
  });

  it('numbers lines without those that their writer dropped', async () => {
    const id = await add();
    await append(id, 'w', 1, ['a', 'b']);
    await append(id, 'w', 2, ['e'], 2);
    assert.deepEqual([await read(id), (await producer.logPage(id)).dropped], [[[5, 'e']], 4]);
  });

  it("is empty for another program's task", async () => {
    await fleet.client.hset(fleet.keys(keyPrefix).tasks, 'theirs', 'chat-1');
    assert.deepEqual([await read('theirs'), await read('theirs', { follow: true })], [[], []]);
    assert.deepEqual(await producer.logPage('theirs'), { lines: [], next: null, dropped: 0 });
  });

  it('writes nothing for a task that is gone', async () => {
    assert.equal(await append('gone', 'w', 1, ['a']), 0);
    assert.deepEqual(await fleet.client.keys(`${keyOf('gone')}*`), []);
  });

  it('shows lines that a plain BullMQ client logged, and survives what it drops', async () => {
    const id = await add();
    const queue = new Queue(task.definition.queue, {
      connection: fleet.redis.client(),
      prefix: fleet.keys(keyPrefix).bull(task.definition.queue),
    });
    await append(id, 'w', 1, ['ours']);
    await queue.addJobLog(id, 'theirs {"a":1}');
    await append(id, 'w', 2, ['ours again']);
    assert.deepEqual(await read(id), [
      [1, 'ours'],
      [2, 'theirs {"a":1}'],
      [3, 'ours again'],
    ]);
    await queue.addJobLog(id, 'cleared', 1);
    assert.deepEqual(await read(id, { after: 3 }), []);
    assert.deepEqual(await read(id), [[1, 'cleared']]);
    await queue.close();
  });

  it('cannot be read if its key has another type, like any key; the task can', async () => {
    const id = await add();
    await fleet.client.set(`${keyOf(id)}:logs`, 'x');
    await assert.rejects(read(id), (error) => isFleetError(error, 'REDIS_WRONG_TYPE'));
    assert.equal((await producer.get(id))?.state, 'queued');
  });
});
