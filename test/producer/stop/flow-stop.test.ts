import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type FlowJob, FlowProducer, type JobNode } from 'bullmq';
import { ReconcileFleet } from '../../support/fleet/reconcile-fleet.js';
import { EMPTY_REGISTRY, TestFleet } from '../../support/fleet/test-fleet.js';

const WHY = { reason: 'enough', by: 'alice' };

describe(
  'A stop of the parent in a BullMQ flow',
  { skip: process.env['TEST_TOPOLOGY'] === 'cluster' && 'BullMQ has flows over several queues on one server only' },
  () => {
    let fleet: TestFleet;
    let rec: ReconcileFleet;
    let flows: FlowProducer;

    before(async () => {
      fleet = await TestFleet.start();
    });
    beforeEach(async () => {
      rec = new ReconcileFleet(fleet);
      flows = new FlowProducer({ connection: fleet.redis.client(), prefix: rec.keys.bull('rec') });
      await fleet.client.sadd(rec.keys.queues, 'rec');
    });
    after(() => fleet.stop());

    const add = (opts: FlowJob['opts'], ...children: FlowJob[]): Promise<JobNode> =>
      flows.add({ name: 'parent', queueName: 'rec', opts: { jobId: 'root', ...opts }, children });
    const child = (jobId: string, queueName: string, more: Partial<FlowJob> = {}): FlowJob => ({
      name: 'child',
      queueName,
      opts: { jobId },
      ...more,
    });
    const field = (queue: string, id: string, name: string): Promise<string | null> => fleet.client.hget(rec.keys.jobs(queue) + id, name);
    const isFailed = async (queue: string, id: string): Promise<boolean> =>
      (await fleet.client.zscore(`${rec.keys.jobs(queue)}failed`, id)) !== null;

    it('cancels the flow and all its descendants, on any queue', async () => {
      await add({}, child('a', 'rec'), child('b', 'unheard-of', { children: [child('c', 'unheard-of'), child('root', 'third')] }));
      assert.equal((await rec.run()).registered, 2);
      assert.deepEqual(
        (await rec.producer.list({ state: 'waiting' })).tasks.map(({ id, state }) => [id, state]),
        [['root', 'waiting']],
      );
      const [receipt] = await rec.producer.stop(['root'], WHY);
      assert.deepEqual([receipt?.outcome, receipt?.via, receipt?.by], ['cancelled', 'queue', 'alice']);
      for (const [queue, id] of [
        ['rec', 'root'],
        ['rec', 'a'],
        ['unheard-of', 'b'],
        ['unheard-of', 'c'],
        ['third', 'root'],
      ] as const) {
        assert.deepEqual([await isFailed(queue, id), await field(queue, id, 'stop_via')], [true, 'queue'], `${queue} ${id}`);
      }
      await rec.run();
      assert.deepEqual(await fleet.registrySize(rec.keys.prefix), EMPTY_REGISTRY);
    });

    it('cancels a parent that a failed child will never wake, and the rest below that child', async () => {
      await add({}, child('failing', 'other', { children: [child('left', 'other')] }));
      const other = rec.keys.jobs('other');
      await fleet.client
        .multi()
        .zrem(`${other}waiting-children`, 'failing')
        .zadd(`${other}failed`, 5_000, 'failing')
        .hset(`${other}failing`, 'finishedOn', 5_000)
        .exec();
      assert.equal((await rec.producer.stop('root', WHY)).outcome, 'cancelled');
      assert.deepEqual([await isFailed('other', 'left'), await field('other', 'failing', 'stop')], [true, null]);
    });

    it('stops the children of a parent without retention', async () => {
      await add({ removeOnFail: true }, child('a', 'other'));
      assert.equal((await rec.producer.stop('root', WHY)).outcome, 'cancelled');
      assert.equal(await rec.producer.get('root'), null);
      assert.ok(await isFailed('other', 'a'));
    });

    it('leaves the parent of a stopped task and its other children', async () => {
      await add({}, child('a', 'rec'), child('b', 'rec'));
      assert.equal((await rec.producer.stop('a', WHY)).outcome, 'cancelled');
      await rec.run();
      assert.deepEqual([(await rec.producer.get('root'))?.state, (await rec.producer.get('b'))?.state], ['waiting', 'queued']);
      assert.equal((await rec.producer.stop('root', WHY)).outcome, 'cancelled');
      assert.equal((await rec.producer.get('b'))?.state, 'cancelled');
    });

    it('lets the reconciler stop a child that its stopper missed, but none that was retried since', async () => {
      await add({}, child('a', 'rec'), child('b', 'rec'));
      await rec.run();
      await fleet.client.hset(rec.jobs + 'root', 'stop', JSON.stringify({ ...WHY, at: 1_000 }));
      await fleet.client.hset(rec.jobs + 'b', 'opts', JSON.stringify({ attempts: 0, retriedAt: 2_000 }));
      const { settled, inherited } = await rec.run();
      assert.deepEqual([settled, inherited], [1, 1]);
      assert.deepEqual(await Promise.all(['root', 'a', 'b'].map(async (id) => (await rec.producer.get(id))?.state)), [
        'cancelled',
        'cancelled',
        'queued',
      ]);
    });

    it('terminates on cyclic lists, and reports a malformed one', async () => {
      await add({}, child('a', 'rec'));
      await fleet.client.sadd(`${rec.jobs}a:dependencies`, `${rec.jobs}root`, 'nobody', `${rec.jobs}gone`);
      await fleet.client.set(`${rec.jobs}a:unsuccessful`, 'x');
      assert.equal((await rec.producer.stop('root', WHY)).outcome, 'cancelled');
      assert.equal((await rec.producer.get('a'))?.state, 'cancelled');
    });
  },
);
