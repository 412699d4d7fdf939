import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { atStartId } from '../../../../shared/schedule/schedule.js';
import { resolveSettings } from '../../../../shared/settings/settings.js';
import { MAINTENANCE_QUEUE, type RegistryReconcileOutput } from '../../../../worker/builtin/definitions.js';
import { scheduleTable } from '../../../../worker/schedule-planner.js';
import { ReconcileFleet } from '../../../support/fleet/reconcile-fleet.js';
import { EMPTY_REGISTRY, TestFleet } from '../../../support/fleet/test-fleet.js';

const WHOLE = ['rec', 'chat-1', true, true];
const STOP = JSON.stringify({ reason: 'enough', by: 'alice', at: 1 });
/** More entries than HSCAN returns at once: Redis returns a small hash of up to 128 whole. */
const MANY = 1_200;

describe('The reconciler', () => {
  let fleet: TestFleet;
  let rec: ReconcileFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(() => {
    rec = new ReconcileFleet(fleet);
  });
  after(() => fleet.stop());

  /** Old entries without jobs. */
  async function registerMany(count: number): Promise<void> {
    for (let index = 0; index < count; index += 1) void rec.register(`gone-${index}`, { item: `chat-${index % 3}` });
    await fleet.client.ping();
  }

  describe('and jobs', () => {
    it('registers unregistered live jobs: active, waiting, prioritized and delayed', async () => {
      const ids = await Promise.all(
        [{}, {}, { priority: 3 }, { delay: 600_000 }].map((options) => rec.enqueue({ ...options, item: 'chat-1' })),
      );
      await rec.activate(ids[0] as string, { worker: 'alive', locked: true });
      await rec.worker('alive', { alive: true });
      const scores = await fleet.client.zmscore(rec.keys.live, ...ids);
      for (const id of ids) await rec.unregister(id, 'chat-1');
      assert.deepEqual(await fleet.registrySize(rec.keys.prefix), EMPTY_REGISTRY);
      assert.deepEqual(await rec.run(), { entries: 4, jobs: 4, registered: 4, complete: true });
      for (const id of ids) assert.deepEqual(await rec.entry(id, 'chat-1'), WHOLE);
      assert.deepEqual(await fleet.client.zmscore(rec.keys.live, ...ids), scores);
      assert.deepEqual(await rec.run(), { entries: 4, jobs: 4, complete: true });
    });

    it('registers plain jobs in every list, and leaves scheduled ones to their worker', async () => {
      const queue = rec.store.queues.get('rec');
      await fleet.client.sadd(rec.keys.queues, 'rec');
      const added = await Promise.all(
        [{}, { delay: 600_000 }, { priority: 3 }, { jobId: 'report for müller/42' }].map((options) => queue.add('plain', {}, options)),
      );
      await queue.upsertJobScheduler('schedule', { every: 600_000 }, { name: 'rec.task', data: {} });
      assert.deepEqual(await rec.run(), { entries: 4, jobs: 5, registered: 4, complete: true });
      for (const { id } of added) assert.deepEqual(await rec.entry(id as string), ['rec', '', true, false]);
      const { tasks } = await rec.producer.list({ state: 'scheduled' });
      assert.deepEqual(
        tasks.map(({ id, name, item }) => [id, name, item]),
        [[added[1]?.id, 'plain', null]],
      );
      assert.deepEqual(await rec.run(), { entries: 4, jobs: 5, complete: true });
      for (const { id } of added) await queue.remove(id as string);
      for (const { id } of added) await fleet.client.zadd(rec.keys.live, 1, id as string);
      assert.equal((await rec.run()).removed, 4);
    });

    it('removes tasks that are only in the list of live tasks, also from their item', async () => {
      const [ended, live] = [await rec.enqueue({ item: 'chat-1' }), await rec.enqueue({ item: 'chat-1' })];
      await rec.producer.stop(ended);
      await fleet.client.zadd(rec.keys.live, 1, ended, 2, 'unheard-of');
      await fleet.client.sadd(rec.keys.item('chat-1'), ended);
      assert.deepEqual(await rec.run(), { entries: 1, removed: 2, jobs: 1, complete: true });
      assert.deepEqual(await rec.entry(ended, 'chat-1'), [null, null, false, false]);
      assert.deepEqual(await rec.entry(live, 'chat-1'), WHOLE);
      assert.deepEqual(await fleet.registrySize(rec.keys.prefix), { tasks: 1, queues: 1, live: 1, items: 1, leases: 0 });
      assert.deepEqual(await rec.run(), { entries: 1, jobs: 1, complete: true });
    });

    it('removes a seemingly foreign task only if it has ended on a queue of the fleet', async () => {
      const id = await rec.enqueue({ item: 'chat-1' });
      await rec.producer.stop(id);
      await fleet.client.hset(rec.keys.tasks, id, 'chat-1', 'of-another-program', 'chat-1');
      await fleet.client.sadd(rec.keys.item('chat-1'), id, 'of-another-program');
      assert.deepEqual(await rec.run(), { removed: 1, complete: true });
      assert.deepEqual(await rec.entry(id, 'chat-1'), [null, null, false, false]);
      assert.deepEqual(await rec.entry('of-another-program', 'chat-1'), [null, 'chat-1', false, true]);
    });

    it("ignores the fleet's own tasks at the start", async () => {
      const [schedule] = scheduleTable(resolveSettings({})).filter(({ atStart }) => atStart);
      assert.ok(schedule);
      await fleet.client.sadd(rec.keys.queues, MAINTENANCE_QUEUE);
      await rec.store.schedulers.addNow(schedule, atStartId(schedule.id, Date.now()));
      assert.deepEqual(await rec.run(), { jobs: 1, complete: true });
      assert.deepEqual(await fleet.registrySize(rec.keys.prefix), EMPTY_REGISTRY);
    });

    for (const [what, locked, alive] of [
      ['whose lock is gone', false, true],
      ['with its lock, whose heartbeat is gone', true, false],
    ] as const) {
      it(`settles the recorded stop of an owner ${what}`, async () => {
        const id = await rec.enqueue({ item: 'chat-1' });
        await rec.activate(id, { worker: 'owner', locked });
        await rec.worker('owner', { alive });
        assert.deepEqual(await rec.run(), { entries: 1, jobs: 1, complete: true }, 'without a stop it is left to the stalled check');
        await fleet.client.hset(rec.jobs + id, 'stop', STOP);
        assert.equal((await rec.run()).settled, 1);
        const task = await rec.producer.get(id);
        assert.deepEqual([task?.state, task?.stop?.via, task?.error], ['cancelled', 'fence', 'Stopped by alice: enough']);
        assert.deepEqual(await fleet.registrySize(rec.keys.prefix), EMPTY_REGISTRY);
        assert.deepEqual(await rec.run(), { complete: true });
      });
    }

    it('leaves the recorded stop of a living owner to it', async () => {
      const id = await rec.enqueue({ item: 'chat-1' });
      await rec.activate(id, { worker: 'owner', locked: true });
      await rec.worker('owner', { alive: true });
      await fleet.client.hset(rec.jobs + id, 'stop', STOP);
      assert.deepEqual(await rec.run(), { entries: 1, jobs: 1, complete: true });
      assert.equal((await rec.producer.get(id))?.state, 'stopping');
    });

    it('settles more stops than a page holds, in one run', async () => {
      const added = await Promise.all(Array.from({ length: MANY }, () => rec.enqueue()));
      for (const id of added) {
        void rec.activate(id, { worker: 'owner', locked: false });
        void fleet.client.hset(rec.jobs + id, 'stop', STOP);
      }
      await fleet.client.ping();
      assert.deepEqual(await rec.run(), { jobs: MANY, settled: MANY, complete: true });
      assert.deepEqual(await fleet.registrySize(rec.keys.prefix), EMPTY_REGISTRY);
    });
  });

  describe('and stops that preceded their job', () => {
    it('applies a stop whose job has arrived, and forgets it', async () => {
      const id = await rec.enqueue({ item: 'chat-1' });
      await fleet.client.hset(rec.keys.pendingStops, id, STOP);
      assert.deepEqual(await rec.run(), { early: 1, complete: true });
      const task = await rec.producer.get(id);
      assert.deepEqual([task?.state, task?.stop?.reason, task?.stop?.by], ['cancelled', 'enough', 'alice']);
      assert.equal(await fleet.client.exists(rec.keys.pendingStops), 0);
    });

    it('keeps a stop whose registered task may still arrive, and forgets it with the entry', async () => {
      await rec.register('coming', { ageMs: 0 });
      await fleet.client.hset(rec.keys.pendingStops, 'coming', STOP);
      assert.deepEqual(await rec.run(), { entries: 1, young: 1, complete: true });
      assert.equal(await fleet.client.hget(rec.keys.pendingStops, 'coming'), STOP);
      await rec.unregister('coming');
      assert.deepEqual(await rec.run(), { complete: true });
      assert.equal(await fleet.client.exists(rec.keys.pendingStops), 0);
    });
  });

  describe('in several runs', () => {
    it('covers all entries, each run from where the previous one ended, within its limit', async () => {
      await registerMany(MANY);
      const runs: Partial<RegistryReconcileOutput>[] = [];
      do runs.push(await rec.run(500));
      while (!runs.at(-1)?.complete && runs.length < 10);
      assert.ok(runs.length > 1 && runs.length < 10, `${runs.length} runs`);
      assert.ok(
        runs.every(({ entries = 0 }) => entries <= 2 * 500),
        JSON.stringify(runs),
      );
      assert.deepEqual(await fleet.registrySize(rec.keys.prefix), EMPTY_REGISTRY);
    });

    it('covers all jobs of all lists in the same way', async () => {
      const ids = await Promise.all(
        Array.from({ length: MANY }, (_, index) => rec.enqueue({ item: 'chat-1', delay: index % 2 === 0 ? 600_000 : 0 })),
      );
      await fleet.client.del(rec.keys.taskQueues, rec.keys.tasks, rec.keys.live, rec.keys.item('chat-1'));
      const runs: Partial<RegistryReconcileOutput>[] = [];
      do runs.push(await rec.run(500));
      while (!runs.at(-1)?.complete && runs.length < 10);
      assert.deepEqual(
        runs.map(({ jobs = 0 }) => jobs <= 2 * 500),
        runs.map(() => true),
        JSON.stringify(runs),
      );
      assert.equal(
        runs.reduce((sum, { registered = 0 }) => sum + registered, 0),
        MANY,
      );
      assert.deepEqual(await fleet.registrySize(rec.keys.prefix), {
        tasks: ids.length,
        queues: ids.length,
        live: ids.length,
        items: 1,
        leases: 0,
      });
    });

    it('keeps the progress of an aborted run, and the next one continues', async () => {
      await registerMany(MANY);
      const reason = new Error('enough');
      let looks = 0;
      // Checked before each page: the first page is of jobs.
      const signal = { throwIfAborted: () => assert.ok((looks += 1) <= 2, reason) } as unknown as AbortSignal;
      await assert.rejects(rec.reconciler().run(signal), reason);
      const { queues: left } = await fleet.registrySize(rec.keys.prefix);
      assert.ok(left > 0 && left < MANY, `${left} left`);
      assert.notEqual(await fleet.client.hget(rec.keys.reconcile, 'entries_cursor'), '0');
      assert.equal(await fleet.client.hget(rec.keys.reconcile, 'at'), null, 'it is no run that came to its end');
      assert.deepEqual(await rec.run(), { entries: left, removed: left, complete: true });
      assert.deepEqual(await fleet.registrySize(rec.keys.prefix), EMPTY_REGISTRY);
    });

    it('counts each removal once in two concurrent runs', async () => {
      await registerMany(300);
      const ids = await Promise.all(Array.from({ length: 50 }, () => rec.enqueue({ item: 'chat-1' })));
      for (const id of ids.slice(0, 25)) await rec.unregister(id, 'chat-1');
      const runs = await Promise.all([rec.run(), rec.run()]);
      assert.equal(
        runs.reduce((sum, { removed = 0 }) => sum + removed, 0),
        300,
      );
      for (const id of ids) assert.deepEqual(await rec.entry(id, 'chat-1'), WHOLE);
      assert.deepEqual(await rec.run(), { entries: 50, jobs: 50, complete: true });
    });
  });

  it('starts over if its cursors are invalid', async () => {
    for (const jobs of ['["rec","nowhere",0]', '["rec","wait","x"]', 'nonsense']) {
      await registerMany(3);
      await fleet.client.hset(rec.keys.reconcile, { entries_cursor: 'nonsense', jobs_cursor: jobs });
      assert.deepEqual(await rec.run(), { entries: 3, removed: 3, complete: true });
    }
  });

  it('records each run in Redis, and logs it only if it changed something', async () => {
    await rec.register('old');
    const startedAt = Date.now();
    await rec.run();
    const {
      at,
      took_ms: tookMs,
      entries_cursor: _,
      jobs_cursor: __,
      live_cursor: ___,
      tasks_cursor: ____,
      ended_cursor: _____,
      sweep_cursor: ______,
      ...counts
    } = await fleet.client.hgetall(rec.keys.reconcile);
    assert.ok(Number(at) >= startedAt && Number(at) <= Date.now() && Number(tookMs) >= 0);
    assert.deepEqual(counts, {
      entries: '1',
      young: '0',
      removed: '1',
      jobs: '0',
      registered: '0',
      settled: '0',
      inherited: '0',
      early: '0',
      restored: '0',
      indexed: '0',
      findable: '0',
      finds_ended: '1',
      finds_live: '1',
      stale: '0',
      expired: '0',
      complete: '1',
    });
    assert.equal(rec.log.find(/Repaired the registry/).length, 1);
    await rec.run();
    assert.equal(rec.log.find(/Repaired the registry/).length, 1);
  });
});
