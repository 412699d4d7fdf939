/** The fleet and the newest open-webui on one Redis: each lists and stops the other's tasks, and neither loses its own. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Producer, ProducerConfig, StopReceipt } from '../../producer/index.js';
import type { Keys } from '../../shared/keys.js';
import { LogLines } from '../support/fleet/log-lines.js';
import { EMPTY_REGISTRY, TestFleet } from '../support/fleet/test-fleet.js';
import { listBeside } from '../support/network/beside-open-webui.js';
import { OpenWebuiPeer } from '../support/network/open-webui-peer.js';
import { ScriptedTask } from '../support/task/scripted-task.js';
import { until } from '../support/until.js';

const WAIT = { waitMs: 60_000 };
const ON = { openWebui: 'on' } as const;
/** Without polls and without the reconciler. */
const ALONE = { ...ON, stopPollMs: 3_600_000, reconcileMs: 3_600_000, stopGraceMs: 60_000 } as const;

describe('Beside an open-webui', () => {
  let fleet: TestFleet;
  let prefix: string;
  let keys: Keys;
  let producer: Producer;
  let peer: OpenWebuiPeer;

  before(async () => {
    fleet = await TestFleet.onOneServer();
  });
  after(() => fleet.stop());
  beforeEach(() => setUp(ON));

  async function setUp(config: Partial<ProducerConfig>, peerOptions: Parameters<typeof OpenWebuiPeer.start>[2] = {}): Promise<void> {
    prefix = fleet.newPrefix();
    keys = fleet.keys(prefix);
    producer = fleet.producer({ keyPrefix: prefix, ...config });
    peer = await OpenWebuiPeer.start(() => fleet.redis.client(), prefix, peerOptions);
  }

  /** Enqueues tasks, and starts a worker that runs some of them; the handlers heed their signals. */
  async function startTwenty(item: string): Promise<string[]> {
    const task = new ScriptedTask('beside.task');
    const calls = Array.from({ length: 20 }, async (_, index) => {
      const call = await task.call(index);
      void call.aborted.then((cause) => call.throws(cause));
    });
    await fleet.worker(prefix, [task.handler], { ...ALONE, concurrency: 10 });
    const added = await producer.enqueueMany(
      task.definition,
      Array.from({ length: 20 }, () => ({ input: {}, item })),
    );
    await Promise.all(calls.slice(0, 10));
    return added.map(({ id }) => id);
  }

  async function theirTwenty(item: string): Promise<string[]> {
    const ids = Array.from({ length: 20 }, (_, index) => `theirs-${index}`);
    for (const id of ids) await peer.create(id, item);
    return ids;
  }

  const outcomes = (receipts: readonly StopReceipt[]) => [...new Set(receipts.map(({ outcome }) => outcome))];
  const commandsFor = (id: string) =>
    peer.heard.map((message) => JSON.parse(message) as Record<string, unknown>).filter(({ task_id: named }) => named === id);

  it('any number of its lists and active-chat checks lose no live task of the fleet', async () => {
    await peer.create('theirs', 'chat-long');
    const report = await listBeside({ fleet, producer, peer, prefix, tasks: 20, forMs: 0, everyMs: 0 });
    assert.deepEqual(report, { rounds: 1, missing: 0, listed: 21 });
    assert.deepEqual([...peer.running.keys()], []);
  });

  it('a stop of an item ends the twenty tasks of either side, with correct receipts', async () => {
    const [ours, theirs] = [await startTwenty('chat-1'), await theirTwenty('chat-1')];
    const receipts = await producer.stopItem('chat-1', WAIT);
    assert.deepEqual(new Set(receipts.map(({ id }) => id)), new Set([...ours, ...theirs]));
    assert.deepEqual(outcomes(receipts), ['cancelled']);
    const ofTheirs = receipts.filter(({ id }) => theirs.includes(id));
    assert.ok(ofTheirs.length === 20 && ofTheirs.every(({ via, settledAt }) => via === 'signal' && settledAt !== null));
    assert.equal(peer.running.size, 0);
    for (const id of theirs) assert.equal(commandsFor(id).length, 1, 'one command for each task_id');
    assert.deepEqual(await fleet.registrySize(prefix), EMPTY_REGISTRY);
  });

  it('a stop of the same forty by id ends them all too', async () => {
    const ids = [...(await theirTwenty('chat-1')), ...(await startTwenty('chat-1'))];
    const receipts = await producer.stop(ids, WAIT);
    assert.deepEqual([outcomes(receipts), peer.running.size], [['cancelled'], 0]);
  });

  it('its own stop of the item ends all forty', async () => {
    const [ours] = [await startTwenty('chat-1'), await theirTwenty('chat-1')];
    await peer.stopItem('chat-1');
    await until(
      () => fleet.registrySize(prefix),
      ({ queues }) => queues === 0,
    );
    assert.deepEqual(new Set(await Promise.all(ours.map(async (id) => (await producer.get(id))?.state))), new Set(['cancelled']));
    assert.equal(peer.running.size, 0);
    await fleet.emptied(prefix);
  });

  it('lists a task of the fleet that it has stopped until the task has ended', async () => {
    const task = new ScriptedTask('beside.slow');
    await fleet.worker(prefix, [task.handler], ALONE);
    const { id } = await producer.enqueue(task.definition, {}, { item: 'chat-1' });
    const call = await task.call();
    await peer.stop(id);
    const entry = async () => [
      await fleet.client.hget(keys.tasks, id),
      await fleet.client.sismember(keys.item('chat-1'), id),
      await fleet.client.get(keys.lease(id)),
    ];
    await until(entry, ([item, member, lease]) => item === 'chat-1' && member === 1 && lease === '1');
    assert.deepEqual(await peer.listItem('chat-1'), [id]);
    assert.deepEqual(
      (await producer.list({ item: 'chat-1' })).tasks.map(({ state }) => state),
      ['stopping'],
    );
    call.throws(await call.aborted);
    await assert.rejects(producer.result(id, { timeoutMs: 60_000 }), { code: 'TASK_CANCELLED' });
    await fleet.emptied(prefix);
  });

  it('never lists an ended task again', async () => {
    const store = fleet.store({ keyPrefix: prefix, ...ON });
    const { id } = await producer.enqueue(new ScriptedTask('beside.task').definition, {}, { item: 'chat-1' });
    const items = await store.reader.itemsOf([id]);
    assert.deepEqual(await store.registry.relist(items), [id]);
    const writes = store.registry.writes();
    writes.remove(id, { item: 'chat-1' });
    // At every point between two commands of the removal.
    for (const command of ['zrem', 'srem', 'del', 'hdel'] as const) {
      const original = store.redis[command].bind(store.redis) as (...words: string[]) => Promise<number>;
      Object.assign(store.redis, {
        [command]: async (...words: string[]) => {
          const answer = await original(...words);
          assert.deepEqual(await store.registry.relist(items), [], command);
          return answer;
        },
      });
    }
    await Promise.all(writes.flushInto(store.redis));
    assert.deepEqual(await fleet.registrySize(prefix), EMPTY_REGISTRY);
  });

  it('a stop of one of its tasks: requested while it runs, cancelled once it is gone, and still known when repeated', async () => {
    await setUp({}, { heeds: false });
    await peer.create('theirs', 'chat-1');
    assert.deepEqual(
      [(await producer.stop('theirs')).outcome, (await producer.stop('theirs', { waitMs: 50 })).outcome],
      ['requested', 'requested'],
    );
    const waiting = producer.stop('theirs', { ...WAIT, reason: 'enough', by: 'alice' });
    await until(
      () => commandsFor('theirs').length,
      (count) => count === 3,
    );
    await peer.end('theirs');
    const { outcome, via, reason, by, settledAt } = await waiting;
    assert.deepEqual([outcome, via, reason, by, settledAt !== null], ['cancelled', 'signal', 'enough', 'alice', true]);
    assert.equal((await producer.stop('theirs')).outcome, 'cancelled');
    assert.equal((await producer.stop('nobodys')).outcome, 'not_found');
  });

  it('onBusy counts its tasks, and tasks of the fleet whose entries it has deleted', async () => {
    const { definition } = new ScriptedTask('beside.task');
    const claim = (item: string) => producer.enqueue(definition, {}, { item, onBusy: 'reject' });
    await peer.create('theirs', 'chat-1');
    await assert.rejects(claim('chat-1'), { code: 'ITEM_BUSY' });
    const { id } = await claim('chat-2');
    await fleet.client.multi().hdel(keys.tasks, id).del(keys.item('chat-2'), keys.lease(id)).exec();
    await assert.rejects(claim('chat-2'), { code: 'ITEM_BUSY' });
    assert.equal(await producer.hasActiveTasks('chat-2'), true);
    assert.deepEqual(
      (await producer.list({ item: 'chat-2' })).tasks.map((task) => task.id),
      [id],
    );
    assert.deepEqual(
      (await producer.stopItem('chat-2')).map(({ id: stopped, outcome }) => [stopped, outcome]),
      [[id, 'cancelled']],
    );
  });

  it('runs a job of a plain BullMQ queue with the id of a registry key, hidden from open-webui', async () => {
    const task = new ScriptedTask('beside.task');
    const worker = await fleet.worker(prefix, [task.handler], { ...ALONE, concurrency: 2 });
    const { queues } = fleet.store({ keyPrefix: prefix });
    const other = await producer.enqueue(task.definition, {}, { item: 'chat-1' });
    const first = await task.call(0);
    await queues.get('beside').add('beside.task', {}, { jobId: 'live' });
    const second = await task.call(1);
    await until(
      () => fleet.client.hget(keys.taskQueues, 'live'),
      (queue) => queue === 'beside',
    );
    assert.deepEqual([await peer.listTasks(), worker.status().running.toSorted()], [[other.id], [other.id, 'live'].toSorted()]);
    second.returns();
    await until(
      () => fleet.registrySize(prefix),
      ({ queues: left }) => left === 1,
    );
    assert.equal((await producer.get(other))?.state, 'running');
    first.returns();
    await fleet.emptied(prefix);
  });

  it('does not touch its stream states', async () => {
    await peer.create('theirs', 'chat-1');
    const { id } = await producer.enqueue(new ScriptedTask('beside.task').definition, {}, { item: 'chat-1' });
    await producer.stop(id);
    assert.deepEqual(await fleet.client.hgetall(peer.streams), { theirs: '{}' });
  });

  describe('with OPEN_WEBUI', () => {
    const leases = async () => (await fleet.registrySize(prefix)).leases;
    const { definition } = new ScriptedTask('beside.task');

    it('auto, live tasks get leases in every process once one of its tasks was seen', async () => {
      await setUp({}, { ttlS: 0 });
      const other = fleet.store({ keyPrefix: prefix });
      await producer.enqueue(definition, {});
      assert.equal(await leases(), 0);
      await peer.create('theirs', 'chat-1');
      await producer.list();
      await until(
        () => fleet.client.get(keys.openWebui),
        (seen) => seen === '1',
      );
      const { id } = await producer.enqueue(definition, {});
      assert.equal(await fleet.client.get(keys.lease(id)), '1');
      assert.equal(other.facts.written, false);
      await other.facts.refresh();
      assert.equal(other.facts.written, true);
    });

    it('auto, a listener that has not heard of it takes a command for an unknown task for normal', async () => {
      await setUp({}, { ttlS: 0 });
      const log = new LogLines();
      const listening = fleet.producer({ keyPrefix: prefix, listenForStops: true, loggers: log.loggers });
      await log.waitFor(/Listening for stop commands/);
      await listening.store.facts.refresh();
      await fleet.client.set(keys.openWebui, '1');
      await peer.stop('gone');
      const { level } = await log.waitFor(/Ignored a stop command/);
      assert.equal(level, 20);
    });

    it('auto, live tasks under its prefix have leases from the first one on', async () => {
      for (const [keyPrefix, written] of [
        ['open-webui', true],
        ['{open-webui}', true],
        ['open-webui2', false],
      ] as const) {
        const store = fleet.store({ keyPrefix });
        assert.equal(store.facts.written, written, keyPrefix);
      }
    });

    it('off, no lease is written, and an existing one is removed with its task', async () => {
      await setUp({ openWebui: 'off' });
      await peer.create('theirs', 'chat-1');
      await producer.list();
      await until(
        () => fleet.client.get(keys.openWebui),
        (seen) => seen === '1',
      );
      const { id } = await producer.enqueue(definition, {});
      assert.equal(await fleet.client.exists(keys.lease(id)), 0);
      await fleet.client.set(keys.lease(id), '1');
      await producer.stop(id);
      assert.equal(await fleet.client.exists(keys.lease(id)), 0);
    });
  });

  it('without a worker, its stop is recorded by a listening producer', async () => {
    const log = new LogLines();
    const listening = fleet.producer({ keyPrefix: prefix, listenForStops: true, loggers: log.loggers });
    await log.waitFor(/Listening for stop commands/);
    const task = new ScriptedTask('beside.task');
    const [queued, delayed] = [
      await producer.enqueue(task.definition, {}, { item: 'chat-1' }),
      await producer.enqueue(task.definition, {}, { delay: 600_000 }),
    ];
    for (const { id } of [queued, delayed]) {
      await peer.stop(id);
      await assert.rejects(producer.result(id, { timeoutMs: 60_000 }), { code: 'TASK_CANCELLED' });
    }
    await peer.create('theirs');
    await peer.stop('theirs');
    await listening.close();
    await fleet.worker(prefix, [task.handler], ALONE);
    assert.deepEqual([task.calls.length, await fleet.registrySize(prefix)], [0, EMPTY_REGISTRY]);
    assert.deepEqual(
      log.lines.filter(({ level }) => level >= 40),
      [],
    );
  });
});
