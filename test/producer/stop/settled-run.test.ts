/** A worker tells in the queue's events how a stopped run ended, so that its stopper need not read the task. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { settledSaidBy } from '../../../producer/wait/events.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';

describe('The event of a stopped run', () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  it('tells the way and the time of a task that is not kept, for one and for many', async () => {
    const keyPrefix = fleet.newPrefix();
    const task = new ScriptedTask('stop.forgotten', { queue: 'stop', retention: { cancelled: { count: 0 } } });
    const producer = fleet.producer({ keyPrefix });
    await fleet.worker(keyPrefix, [task.handler], { stopPollMs: 60_000, concurrency: 20 });
    for (const [first, count] of [
      [0, 1],
      [1, 20],
    ] as const) {
      const added = await producer.enqueueMany(
        task.definition,
        Array.from({ length: count }, () => ({ input: {}, item: 'chat' })),
      );
      for (const index of added.keys()) {
        const call = await task.call(first + index);
        void call.aborted.then((cause) => call.throws(cause));
      }
      const receipts = await producer.stopItem('chat', { waitMs: 60_000, by: 'ann' });
      assert.equal(receipts.length, count);
      for (const { outcome, via, by, requestedAt, settledAt } of receipts) {
        assert.deepEqual([outcome, via, by], ['cancelled', 'signal', 'ann']);
        assert.ok(requestedAt && settledAt && settledAt >= requestedAt);
      }
    }
  });

  it('tells nothing if another program wrote it otherwise', () => {
    const fields = { jobId: 'a', via: 'signal', finishedOn: '1700000000000' };
    assert.deepEqual(settledSaidBy('taskfleet:cancelled', fields), { via: 'signal', settledAt: new Date(1_700_000_000_000) });
    assert.equal(settledSaidBy('failed', fields), null);
    for (const wrong of [
      { via: 'magic' },
      { via: '' },
      { finishedOn: 'now' },
      { finishedOn: '' },
      { finishedOn: '-1' },
      { finishedOn: '1e99' },
    ])
      assert.equal(settledSaidBy('taskfleet:cancelled', { ...fields, ...wrong }), null, JSON.stringify(wrong));
    assert.equal(settledSaidBy('taskfleet:cancelled', { jobId: 'a' }), null);
  });
});
