/** A stop ends a waiting task in the script that records it: the result must be the same as by BullMQ's own script. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { JobsOptions } from 'bullmq';
import { z } from 'zod';
import type { EnqueueOptions } from '../../../producer/index.js';
import { createKeys } from '../../../shared/keys.js';
import { defineTask } from '../../../shared/task/definition.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { FaultProxy } from '../../support/network/fault-proxy.js';
import { KEEP } from '../../support/task/keep.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const note = defineTask({ name: 'note.take', input: z.object({}), retry: { attempts: 3 }, retention: KEEP });

/** Stops a task and returns what is left of it. `detour` makes the script leave its end to BullMQ. */
async function stopped(options: EnqueueOptions, detour: boolean) {
  const keyPrefix = fleet.newPrefix();
  const keys = createKeys(keyPrefix);
  const producer = fleet.producer({ keyPrefix });
  const { id, queue } = await producer.enqueue(note, {}, { ...options, id: 'a' });
  const jobs = keys.jobs(queue);
  // A task with children may concern other jobs.
  if (detour) await fleet.client.hset(jobs + id, 'kids', '1');
  await fleet.client.del(`${jobs}events`);
  const { outcome, via, settledAt } = await producer.stop(id, { reason: 'enough', by: 'alice' });
  const { kids: _kids, finishedOn, stop, timestamp: _timestamp, opts, ...job } = await fleet.client.hgetall(jobs + id);
  const { at: _at, ...record } = JSON.parse(stop ?? '{}') as Record<string, unknown>;
  const { nonce: _nonce, ...kept } = JSON.parse(opts ?? '{}') as JobsOptions & { nonce?: string };
  assert.equal(finishedOn, String(settledAt?.getTime()));
  const events = await fleet.client.xrange(`${jobs}events`, '-', '+');
  const places = ['completed', 'delayed', 'prioritized', 'wait', 'active', 'waiting-children', 'stalled', `${id}:lock`];
  return {
    ...{ outcome, via, job, record, kept },
    events: events.map(([, fields]) => fields),
    isIn: await fleet.client.exists(...places.map((place) => jobs + place)),
    failed: (await fleet.client.zscore(`${jobs}failed`, id)) === finishedOn,
    indexed: (await fleet.client.zscore(keys.kept(queue, 'cancelled', note.name), id)) === finishedOn,
    live: await producer.hasActiveTasks('chat-1'),
    view: await producer.get(id).then((view) => view && { ...view, enqueuedAt: null, finishedAt: null, stop: null }),
  };
}

describe('A stop of a waiting task', () => {
  for (const [what, options] of [
    ['a queued task', {}],
    ['a delayed task', { delay: 3_600_000 }],
    ['a prioritized task', { priority: 5 }],
  ] as const) {
    it(`leaves ${what} as BullMQ's script would`, async () => {
      const [alone, byBullmq] = [await stopped({ ...options, item: 'chat-1' }, false), await stopped({ ...options, item: 'chat-1' }, true)];
      assert.deepEqual([alone.outcome, alone.via, alone.failed, alone.indexed, alone.isIn], ['cancelled', 'queue', true, true, 0]);
      assert.deepEqual(alone, byBullmq);
    });
  }

  it('needs no lock of a job that ends alone, and the detour for the others', async () => {
    const keyPrefix = fleet.newPrefix();
    const keys = createKeys(keyPrefix);
    const producer = fleet.producer({ keyPrefix });
    const shortLived = defineTask({ ...optionsOf(), name: 'note.gone', queue: 'note', retention: { ...KEEP, cancelled: { count: 0 } } });
    const tasks = [
      await producer.enqueue(note, {}),
      await producer.enqueue(note, {}, { dedupe: { key: 'k', mode: 'while-live' } }),
      await producer.enqueue(shortLived, {}),
    ];
    const seen = await fleet.monitor();
    const receipts = await producer.stop(tasks);
    assert.deepEqual(new Set(receipts.map(({ outcome }) => outcome)), new Set(['cancelled']));
    const locks = (await seen.stop()).filter(([name = '', key = '']) => name.toLowerCase() === 'set' && key.endsWith(':lock'));
    assert.equal(locks.length, 2);
    assert.equal(await fleet.client.exists(`${keys.jobs('note')}${tasks[2]?.id}`), 0);
    assert.equal(await fleet.client.exists(`${keys.jobs('note')}de:note.take:k`), 0);
  });

  it('leaves the registry too if the reply to its record is lost, and the record sent again', async () => {
    const keyPrefix = fleet.newPrefix();
    const proxy = await FaultProxy.start(fleet.redis.port);
    try {
      const producer = fleet.producer({ keyPrefix, redisUrl: proxy.url, reconnectDelayMs: 20 });
      const tasks = await producer.enqueueMany(
        note,
        Array.from({ length: 3 }, () => ({ input: {}, item: 'chat-1' })),
      );
      const lost = proxy.loseReply((request) => /^\*\d+\r\n\$\d+\r\neval[^]*Stopped: lost reply/i.test(request.toString('latin1')));
      const receipts = await producer.stop(tasks, { reason: 'lost reply' });
      await lost;
      assert.deepEqual(
        receipts.map(({ outcome, via }) => [outcome, via]),
        tasks.map(() => ['cancelled', 'queue']),
      );
      await fleet.emptied(keyPrefix);
    } finally {
      await proxy.stop();
    }
  });

  it('blocks a retry by another program', async () => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const { id, queue } = await producer.enqueue(note, {});
    await producer.stop(id, { reason: 'enough' });
    assert.equal(await fleet.client.hget(createKeys(keyPrefix).jobs(queue) + id, 'defa'), 'Stopped: enough');
  });
});

function optionsOf() {
  return { input: z.object({}) };
}
