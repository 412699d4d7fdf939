import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { z } from 'zod';
import { defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import { shardOf } from '../../../shared/task/shards.js';
import { endOf, ownWorker } from '../../support/fleet/own-worker.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

describe('Limits', () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  it('hold over the shards of a queue, in the order of the enqueues, while tasks are retried and stopped', async () => {
    const retry = { attempts: 2, backoff: { type: 'fixed', delayMs: 0, jitter: 0 } } as const;
    const limits = { concurrency: { by: 'item', limit: 1 }, shards: 2 } as const;
    const definition = defineTask({ name: 'talk.answer', input: z.object({ fails: z.boolean() }), retention: KEEP, retry, ...limits });
    const running = new Map<string, string>();
    const overlaps: string[] = [];
    const order: string[] = [];
    const handler = defineHandler(definition, async ({ id, item, input, attempt }) => {
      const other = running.get(item ?? '');
      if (other !== undefined) overlaps.push(`${id} beside ${other}`);
      running.set(item ?? '', id);
      if (attempt === 1) order.push(id);
      for (let turns = 0; turns < 5; turns += 1) await turn();
      running.delete(item ?? '');
      if (input.fails && attempt === 1) throw new Error('again');
    });
    const prefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix: prefix });
    const tasks = Array.from({ length: 40 }, (_, n) => ({ id: `task-${n}`, item: `chat:${n % 2}`, input: { fails: n % 4 === 0 } }));
    for (const item of ['chat:0', 'chat:1']) {
      const shards = new Set(tasks.filter((task) => task.item === item).map(({ id }) => shardOf(definition, id)));
      assert.deepEqual([...shards].toSorted(), ['talk', 'talk.shard-1']);
    }
    await producer.enqueueMany(definition, tasks);
    const stopped = 'task-21';
    await producer.stop(stopped);
    await Promise.all([fleet.worker(prefix, [handler]), fleet.worker(prefix, [handler])]);
    const views = await Promise.all(tasks.map(({ id }) => endOf(producer, id)));
    assert.deepEqual(overlaps, []);
    assert.deepEqual(
      views.map(({ id, state, attempt }) => [id, state, attempt]),
      tasks.map(({ id, input }) => (id === stopped ? [id, 'cancelled', 0] : [id, 'completed', input.fails ? 2 : 1])),
    );
    for (const item of ['chat:0', 'chat:1']) {
      const ids = tasks.filter((task) => task.item === item && task.id !== stopped).map(({ id }) => id);
      assert.deepEqual(
        order.filter((id) => ids.includes(id)),
        ids,
      );
    }
    await fleet.emptied(prefix);
  });

  it('let a line go on after the pause of its queue, and stop tasks of it meanwhile', async () => {
    const task = new ScriptedTask('talk.answer', { concurrency: { by: 'item', limit: 1 } });
    const { producer, prefix } = await ownWorker(fleet, [task.handler]);
    const queue = fleet.store({ keyPrefix: prefix }).queues.get('talk');
    const ask = (id: string) => producer.enqueue(task.definition, {}, { id, item: 'chat:1' });
    for (const id of ['one', 'two', 'three']) await ask(id);
    const first = await task.call(0);
    await queue.pause();
    for (const id of ['four', 'five']) await ask(id);
    first.returns();
    const place = () => fleet.client.zrange(`${fleet.keys(prefix).limiter('places:')}task:talk.answer:chat:1`, '0', '-1');
    await until(place, (ids) => ids.join() === 'two');
    // The next in line has the place, and stays in the paused queue.
    const pause = { kind: 'paused', queue: 'talk', since: null, by: null, reason: null, limitWait: null };
    assert.deepEqual([(await producer.get('two'))?.waitingFor, task.calls.length], [pause, 1]);
    for (const id of ['two', 'four']) assert.equal((await producer.stop(id, { waitMs: 60_000 })).outcome, 'cancelled');
    await queue.resume();
    for (const [index, id] of ['three', 'five'].entries()) {
      const call = await task.call(index + 1);
      assert.deepEqual([call.context.id, call.context.attempt, await place()], [id, 1, [id]]);
      call.returns();
    }
    await Promise.all(['three', 'five'].map((id) => endOf(producer, id)));
    assert.equal(task.calls.length, 3);
    await fleet.emptied(prefix);
  });
});
