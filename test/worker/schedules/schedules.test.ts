import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { checkReadiness } from '../../../dashboard/http/health.js';
import type { Producer } from '../../../producer/index.js';
import type { FleetClock } from '../../../shared/clock/fleet-clock.js';
import { parseSchedule, type Schedule } from '../../../shared/schedule/schedule.js';
import { Schedulers } from '../../../shared/schedule/schedulers.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import type { Store } from '../../../shared/store.js';
import { Queues } from '../../../shared/task/queues.js';
import { SchedulePlanner, scheduleTable } from '../../../worker/schedule-planner.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

function sorted(words: readonly (string | undefined)[]): string[] {
  return words.map((word) => word ?? '').toSorted();
}

const TIMINGS = { every: { every: 10 * MINUTE_MS }, cron: { cron: '*/10 * * * *' } } as const;

describe('SchedulePlanner', () => {
  let fleet: TestFleet;
  let prefix: string;
  let producer: Producer;
  let store: Store;
  let log: LogLines;
  let planner: SchedulePlanner;
  const task = new ScriptedTask('kept.task', { retention: { completed: { ageMs: 1_000, count: 0 }, failed: { ageMs: 1_000, count: 0 } } });

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());
  beforeEach(async () => {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    store = fleet.store({ keyPrefix: prefix });
    log = new LogLines();
    planner = new SchedulePlanner({ store, table: scheduleTable(resolveSettings({})), logger: log.loggers('schedule') });
    await store.redis.ping();
    await planner.apply();
  });

  const key = (name: string): string => store.keys.jobs('kept') + name;
  const nextAt = async (id = 'mine'): Promise<number> =>
    (await producer.schedules.list()).find((one) => one.id === id)?.nextAt?.getTime() ?? 0;
  const waiting = async (): Promise<(string | undefined)[]> =>
    (await store.queues.get('kept').getJobs(['delayed', 'wait'])).map(({ id }) => id);
  const make = (timing: (typeof TIMINGS)[keyof typeof TIMINGS]) => producer.schedules.upsert('mine', task.definition, {}, timing);

  async function assertOneWithinPeriod(): Promise<void> {
    const due = await nextAt();
    assert.ok(due > Date.now() - MINUTE_MS && due <= Date.now() + 10 * MINUTE_MS, `due in ${(due - Date.now()) / 1_000} s`);
    assert.deepEqual(await waiting(), [`repeat:mine:${due}`]);
  }

  for (const [kind, timing] of Object.entries(TIMINGS)) {
    it(`replaces a next run more than one period away (${kind}), and logs it once`, async () => {
      await make(timing);
      // Left by an older worker, or after Redis' clock was set back.
      const schedule = parseSchedule('mine', (await fleet.client.hget(store.keys.schedules, 'mine')) ?? '');
      await store.schedulers.remove('kept', 'mine');
      const ahead = { now: () => Date.now() + HOUR_MS };
      await new Schedulers(
        store.redis,
        new Queues(store.redis, store.keys, ahead as FleetClock, log.loggers('redis')),
        store.keys,
        ahead,
      ).ensure(schedule as Schedule);
      assert.ok((await nextAt()) > Date.now() + HOUR_MS - MINUTE_MS);
      await planner.apply();
      await assertOneWithinPeriod();
      assert.equal(log.find(/more than one period away/).length, 1);
      await planner.apply();
      assert.equal(log.find(/more than one period away/).length, 1);
    });

    const losses: [what: string, harm: () => Promise<unknown>][] = [
      ['the set of delayed jobs', () => fleet.client.del(key('delayed'))],
      ['its job', async () => fleet.client.del(key(`repeat:mine:${await nextAt()}`))],
      ['its job and its place', async () => fleet.client.del(key('delayed'), key(`repeat:mine:${await nextAt()}`))],
      ['its scheduler', () => fleet.client.del(key('repeat'), key('repeat:mine'))],
      ['the hash of its scheduler', () => fleet.client.del(key('repeat:mine'))],
      ['all keys of its queue', async () => fleet.client.del(...(await fleet.client.keys(key('*'))))],
    ];
    for (const [what, harm] of losses) {
      it(`restores the next run of a schedule (${kind}) that lost it with ${what}`, async () => {
        await make(timing);
        await harm();
        await planner.apply();
        const left = await waiting();
        assert.equal(left.includes(`repeat:mine:${await nextAt()}`), true);
        await planner.apply();
        await assertOneWithinPeriod();
      });
    }

    it(`does not restore a next run that was stopped (${kind}), even without a record of it`, async () => {
      await make(timing);
      const first = await nextAt();
      await producer.stop(`repeat:mine:${first}`);
      const second = await nextAt();
      await fleet.client.del(key(`repeat:mine:${first}`));
      await fleet.client.zrem(key('failed'), `repeat:mine:${first}`);
      assert.ok(second > first);
      await planner.apply();
      assert.equal(await nextAt(), second);
      assert.deepEqual(await waiting(), [`repeat:mine:${second}`]);
    });
  }

  it('removes a second next run, but no fetched or foreign runs', async () => {
    await make(TIMINGS.every);
    const due = await nextAt();
    const queue = store.queues.get('kept');
    const job = await queue.getJob(`repeat:mine:${due}`);
    const ghost = async (id: string, fields: Record<string, string | number>): Promise<void> => {
      const copy = await fleet.client.hgetall(key(`repeat:mine:${due}`));
      await fleet.client.hset(key(id), { ...copy, ...fields });
      await fleet.client.zadd(key('delayed'), (due + MINUTE_MS) * 4_096, id);
    };
    await ghost(`repeat:mine:${due + 1}`, {});
    await ghost(`repeat:mine:${due + 2}`, { ats: 1 });
    await ghost(`repeat:theirs:${due}`, { opts: JSON.stringify({ delay: job?.delay }) });
    await planner.apply();
    assert.deepEqual(sorted(await waiting()), [`repeat:mine:${due}`, `repeat:mine:${due + 2}`, `repeat:theirs:${due}`]);
    assert.equal(log.find(/more than one next run/).length, 1);
  });

  it("restores the fleet's own next runs after the loss of the maintenance queue's delayed jobs", async () => {
    await fleet.client.del(`${store.keys.jobs('maintenance')}delayed`);
    await planner.apply();
    const delayed = await store.queues.get('maintenance').getDelayed();
    assert.deepEqual(sorted(delayed.map(({ repeatJobKey }) => repeatJobKey)), [
      'models.refresh',
      'registry.reconcile',
      'session-pool.clean',
      'usage-pool.clean',
    ]);
  });

  it('checks once for all workers, and again if the last check is in the future', async () => {
    const other = new SchedulePlanner({ store, table: scheduleTable(resolveSettings({})), logger: log.loggers('schedule') });
    await make(TIMINGS.every);
    await planner.look();
    await fleet.client.del(key('delayed'));
    await other.look();
    assert.equal(await fleet.client.exists(key('delayed')), 0, 'one has just looked');
    await fleet.client.set(store.keys.scheduleLook, Date.now() + HOUR_MS);
    await other.look();
    await assertOneWithinPeriod();
  });

  it('restores all schedules after FLUSHALL', async () => {
    const own = await TestFleet.start();
    try {
      const task2 = new ScriptedTask('flushed.task');
      const work = await own.worker(prefix, [task2.handler], { heartbeatMs: 100, reconcileMs: 200 });
      const mine = own.producer({ keyPrefix: prefix });
      const run = async (index: number): Promise<void> => {
        const { id } = await mine.enqueue(task2.definition, {}, { item: 'chat-1' });
        (await task2.call(index)).returns(index);
        assert.equal(await mine.result(id, { timeoutMs: 60_000 }), index);
      };
      await run(0);
      await own.onEach((client) => client.flushall());
      await run(1);
      const ownStore = own.store({ keyPrefix: prefix });
      await ownStore.redis.ping();
      await new SchedulePlanner({
        store: ownStore,
        table: scheduleTable(resolveSettings({ reconcileMs: 200 })),
        logger: log.loggers('schedule'),
      }).look();
      const list = await mine.schedules.list();
      assert.deepEqual(
        list.map(({ id, nextAt: at }) => [id, at !== null]),
        [
          ['models.refresh', true],
          ['registry.reconcile', true],
          ['session-pool.clean', true],
          ['usage-pool.clean', true],
        ],
      );
      await until(
        () => own.client.smembers(ownStore.keys.queues),
        (queues) => ['flushed', 'maintenance'].every((queue) => queues.includes(queue)),
      );
      await until(
        () => checkReadiness({ producer: mine, store: mine.store }),
        ({ checks }) => checks.every(({ name, ok }) => ok || name === 'eviction'),
        { everyMs: 50 },
      );
      await until(
        () => own.client.hget(ownStore.keys.reconcile, 'at'),
        (at) => at !== null,
      );
      await work.stop();
    } finally {
      await own.stop();
    }
  });
});
