/** How many commands of the stopper and of the worker a stop takes, on one server. */
import assert from 'node:assert/strict';
import { nextTick } from 'node:process';
import { type TestContext, after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { uuidv7 } from 'uuidv7';
import { deferred } from '../../support/deferred.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

/** Scripts that concern the place or the end of a task. */
const COUNTED = /^(findTasks|recordStop|readTasks|blockRetry|moveToFinished|endStopped)/;

describe('The round trips of a stop', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.onOneServer();
  });
  after(() => fleet.stop());

  /** Records the counted commands about a task or a stream of events, with `|` at the end of each turn with some. */
  async function counter(t: TestContext, keyPrefix: string, queue: string) {
    const store = fleet.store({ keyPrefix });
    await store.queues.get(queue).getBackend().client;
    const { scriptsSet } = store.redis as unknown as { scriptsSet: Readonly<Record<string, { readonly sha: string }>> };
    const names = new Map(Object.entries(scriptsSet).map(([name, { sha }]) => [sha, name]));
    const send: (this: Redis, ...args: Parameters<Redis['sendCommand']>) => unknown = Reflect.get(Redis.prototype, 'sendCommand');
    return (id: string, counted = COUNTED) => {
      const sent: string[] = [];
      const recorded = deferred();
      const counting = t.mock.method(Redis.prototype, 'sendCommand', function count(this: Redis, ...args: Parameters<typeof send>) {
        const [{ name, args: words }] = args;
        const script = (name === 'evalsha' ? names.get(String(words[0])) : name) ?? '';
        const reply = send.apply(this, args);
        if (script !== 'xrevrange' && !(counted.test(script) && words.flat().some((word) => String(word).includes(id)))) return reply;
        sent.push(script);
        nextTick(() => sent.at(-1) !== '|' && sent.push('|'));
        if (script.startsWith('recordStop')) void (reply as Promise<unknown>).then(() => recorded.resolve());
        return reply;
      });
      /** `recorded` resolves when the stop is recorded. */
      return { recorded: recorded.promise, end: () => (counting.mock.restore(), sent) };
    };
  }

  test('the stopper awaits, records and looks up a running task in one write, and hears of its end; its worker settles it in one', async (t) => {
    const keyPrefix = fleet.newPrefix();
    const task = new ScriptedTask('stop.counted', { queue: 'stop' });
    const producer = fleet.producer({ keyPrefix });
    await fleet.worker(keyPrefix, [task.handler], { stopPollMs: 60_000 });
    const count = await counter(t, keyPrefix, 'stop');
    // The first stop opens the connection of the wait, and tells the queue.
    let sent: string[] = [];
    for (const [index, id] of [uuidv7(), uuidv7()].entries()) {
      await producer.enqueue(task.definition, {}, { id });
      const call = await task.call(index);
      void call.aborted.then((cause) => call.throws(cause));
      const counted = count(id);
      const receipt = await producer.stop(id, { waitMs: 60_000 });
      sent = counted.end();
      assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'signal']);
    }
    const of = (script: RegExp): string[] => sent.filter((name) => script.test(name));
    const stopper = sent.filter((name) => !name.startsWith('endStopped')).join(' ');
    assert.match(stopper, /^xrevrange recordStop findTasks( \|)*$/);
    assert.deepEqual(
      [/^endStopped/, /^(xrevrange|recordStop)/].map((script) => of(script).length),
      [1, 2],
    );
  });

  test('the end of a task is awaited on its own queue, also if this process has stopped tasks of another one', async (t) => {
    const keyPrefix = fleet.newPrefix();
    const tasks = ['stop', 'second', 'third', 'fourth'].map((queue) => new ScriptedTask(`${queue}.task`, { queue }));
    const producer = fleet.producer({ keyPrefix });
    await fleet.worker(
      keyPrefix,
      tasks.map(({ handler }) => handler),
      { stopPollMs: 60_000 },
    );
    const count = await counter(t, keyPrefix, 'stop');
    const lookUps: number[] = [];
    for (const task of tasks) {
      const { id } = await producer.enqueue(task.definition, {});
      const call = await task.call();
      const counted = count(id);
      void Promise.all([call.aborted, counted.recorded]).then(([cause]) => call.throws(cause));
      const receipt = await producer.stop(id, { waitMs: 60_000 });
      lookUps.push(counted.end().filter((name) => name === 'findTasks').length);
      assert.equal(receipt.outcome, 'cancelled');
    }
    // A recheck, for tasks without an event for a second, looks the task up once more. A busy machine may take that long, but not each time.
    assert.ok(lookUps.slice(1).includes(1), lookUps.join(' '));
  });

  test('the states of many stopping tasks are one command, which writes to the existing streams', async (t) => {
    const keyPrefix = fleet.newPrefix();
    const keys = fleet.keys(keyPrefix);
    const task = new ScriptedTask('stop.states', { queue: 'stop' });
    const producer = fleet.producer({ keyPrefix });
    await fleet.worker(keyPrefix, [task.handler], { stopPollMs: 60_000, concurrency: 20 });
    const added = await producer.enqueueMany(
      task.definition,
      Array.from({ length: 20 }, () => ({ input: {}, item: 'chat' })),
    );
    const [first, second] = added.map(({ id }) => id) as [string, string];
    await fleet.client.xadd(keys.events(first), '*', 'type', 'state', 'data', '"running"');
    await fleet.client.set(keys.events(second), 'not a stream');
    for (let index = 0; index < added.length; index += 1) {
      const call = await task.call(index);
      void call.aborted.then((cause) => call.throws(cause));
    }
    const counted = (await counter(t, keyPrefix, 'stop'))(second, /^(writeStates|xadd)/);
    const receipts = await producer.stopItem('chat', { waitMs: 60_000 });
    assert.ok(receipts.every(({ outcome }) => outcome === 'cancelled'));
    const entries = await until(
      () => fleet.client.xrange(keys.events(first), '-', '+'),
      (all) => all.some(([, fields]) => fields.includes('"stopping"')),
    );
    assert.ok(entries.length >= 2);
    // The worker writes the end of each task.
    assert.deepEqual(
      counted.end().filter((name) => name === 'writeStates'),
      ['writeStates'],
    );
    assert.equal(await fleet.client.exists(keys.events(added.at(-1)?.id as string)), 0);
  });

  test('a stop of a running task reaches its worker alone, if there are many subscribers', async () => {
    const keyPrefix = fleet.newPrefix();
    const { commands } = fleet.keys(keyPrefix);
    const task = new ScriptedTask('stop.alone');
    const producer = fleet.producer({ keyPrefix });
    await fleet.worker(keyPrefix, [task.handler], { stopPollMs: 3_600_000 });
    const subscribers = Array.from({ length: 17 }, () => fleet.redis.client());
    await Promise.all(subscribers.map((subscriber) => subscriber.subscribe(commands)));
    const messages: string[] = [];
    subscribers[0]?.on('message', (_channel, message: string) => messages.push(message));
    for (const [index, heard] of [1, 0].entries()) {
      const { id } = await producer.enqueue(task.definition, {});
      const call = await task.call(index);
      void call.aborted.then((cause) => call.throws(cause));
      const receipt = await producer.stop(id, { reason: 'enough', by: 'ann', waitMs: 60_000 });
      assert.deepEqual([receipt.outcome, receipt.via, receipt.reason], ['cancelled', 'signal', 'enough']);
      await fleet.client.publish(commands, 'end');
      await until(
        () => messages.at(-1),
        (last) => last === 'end',
      );
      // The first stop of a producer does not know how many there are.
      assert.equal(messages.splice(0).length, heard + 1);
    }
  });
});
