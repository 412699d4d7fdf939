import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Producer, TaskEvent } from '../../producer/index.js';
import type { RetentionPolicy } from '../../shared/task/definition.js';
import { EMPTY_REGISTRY, TestFleet } from '../support/fleet/test-fleet.js';
import { ScriptedTask } from '../support/task/scripted-task.js';
import { until } from '../support/until.js';

const HOUR_MS = 3_600_000;
const NONE = { ageMs: 1_000, count: 0 };

describe('Retention', () => {
  let fleet: TestFleet;
  let prefix: string;
  let producer: Producer;

  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(() => {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
  });
  after(() => fleet.stop());

  async function taskOf(retention: RetentionPolicy): Promise<ScriptedTask> {
    const task = new ScriptedTask('keep.some', { retention });
    await fleet.worker(prefix, [task.handler]);
    return task;
  }

  /** Runs a task to its end, and waits until the registry no longer has it. */
  async function run(task: ScriptedTask, id: string, end: (call: Awaited<ReturnType<ScriptedTask['call']>>) => void): Promise<void> {
    const call = task.call(task.calls.length);
    const result = producer.result(await producer.enqueue(task.definition, {}, { id, item: 'chat-1' })).catch(() => null);
    end(await call);
    await result;
    await until(
      () => fleet.registrySize(prefix),
      ({ tasks }) => tasks === 0,
    );
  }

  const kept = (place: 'completed' | 'failed') => fleet.client.zrange(`${prefix}:bull:keep:${place}`, '0', '-1');

  for (const [state, end] of [
    ['completed', 'returns'],
    ['failed', 'throws'],
  ] as const) {
    const other = state === 'completed' ? 'failed' : 'completed';

    it(`keeps the newest ${state} tasks, up to the count`, async () => {
      const task = await taskOf({ [state]: { ageMs: HOUR_MS, count: 2 }, [other]: NONE } as unknown as RetentionPolicy);
      for (const id of ['a', 'b', 'c', 'd']) await run(task, id, (call) => call[end](new Error('no')));
      assert.deepEqual(await kept(state), ['c', 'd']);
      assert.deepEqual([await producer.get('b'), (await producer.get('c'))?.state], [null, state]);
    });

    it(`removes ${state} tasks beyond their age when another task ends`, async () => {
      const task = await taskOf({ [state]: { ageMs: 60_000, count: 100 }, [other]: NONE } as unknown as RetentionPolicy);
      for (const id of ['old', 'young']) await run(task, id, (call) => call[end](new Error('no')));
      await fleet.client.zadd(`${prefix}:bull:keep:${state}`, String(Date.now() - 61_000), 'old');
      assert.equal((await producer.get('old'))?.state, state, 'nothing has ended since');
      await run(task, 'last', (call) => call[end](new Error('no')));
      assert.deepEqual(await kept(state), ['young', 'last']);
      assert.equal(await producer.get('old'), null);
    });
  }

  it('of no completed tasks still delivers results to waiters and all events to followers', async () => {
    const task = await taskOf({ completed: NONE, failed: NONE });
    for (const [id, last] of [
      ['good', 'completed'],
      ['bad', 'failed'],
    ] as const) {
      const called = task.call(task.calls.length);
      await producer.enqueue(task.definition, {}, { id });
      const result = producer.result(id).then(String, String);
      const seen: TaskEvent[] = [];
      const following = (async () => {
        for await (const event of producer.events(id)) seen.push(event);
      })();
      const call = await called;
      call.context.emit('a word');
      await until(
        () => seen,
        (events) => events.some(({ type }) => type === 'chunk'),
      );
      if (last === 'completed') call.returns('done');
      else call.throws(new Error('broken'));
      assert.match(await result, last === 'completed' ? /^done$/ : /failed: broken$/);
      await following;
      const end = seen.at(-1);
      assert.ok(end?.type === 'state' && end.state === last);
      assert.equal(await producer.get(id), null);
      const chunks = (await fleet.client.xrange(`${prefix}:tasks:events:${id}`, '-', '+')).filter(([, fields]) => fields.includes('chunk'));
      assert.equal(chunks.length, 1, 'the output stays for an hour');
    }
    await until(
      () => fleet.registrySize(prefix),
      ({ tasks }) => tasks === 0,
    );
    assert.deepEqual(await fleet.registrySize(prefix), EMPTY_REGISTRY);
  });

  it('of no cancelled tasks still returns the receipt of a stop; a second stop finds no task', async () => {
    const task = await taskOf({ completed: NONE, failed: NONE });
    const { id } = await producer.enqueue(task.definition, {}, { item: 'chat-1' });
    const waiting = await producer.enqueue(task.definition, {}, { delay: HOUR_MS });
    const call = await task.call();
    void call.aborted.then((cause) => call.throws(cause));
    const receipts = await producer.stop([id, waiting.id], { waitMs: 10_000, by: 'alice' });
    assert.deepEqual(
      receipts.map(({ outcome, by, settledAt }) => [outcome, by, settledAt !== null]),
      [
        ['cancelled', 'alice', true],
        ['cancelled', 'alice', true],
      ],
    );
    assert.deepEqual([await producer.get(id), await producer.get(waiting), await kept('failed')], [null, null, []]);
    assert.equal((await producer.stop(id)).outcome, 'not_found');
    await until(
      () => fleet.registrySize(prefix),
      ({ tasks }) => tasks === 0,
    );
    assert.deepEqual(await fleet.registrySize(prefix), EMPTY_REGISTRY);
  });
});
