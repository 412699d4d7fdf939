import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { MAINTENANCE_QUEUE, registryReconcile } from '../../shared/task/builtin/index.js';
import type { Store } from '../../shared/store.js';
import type { FleetSchedule } from '../../worker/schedule-table.js';
import { Schedules } from '../../worker/schedules.js';
import { LogLines } from '../support/log-lines.js';
import { TestFleet } from '../support/test-fleet.js';

const one: FleetSchedule = { id: 'one', definition: registryReconcile, data: '{}', item: '', everyMs: 3_600_000, cron: null, timeZone: null, jitterMs: 0, overlap: 'skip', atStart: false };
const two: FleetSchedule = { ...one, id: 'two' };

describe("The fleet's schedules", () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function setUp(keyPrefix = fleet.newPrefix()) {
    const store = fleet.store({ keyPrefix });
    await store.redis.ping();
    const log = new LogLines();
    return { store, log, apply: (...table: FleetSchedule[]) => new Schedules({ store, table, logger: log.loggers('worker') }).apply() };
  }

  /** Each scheduler with its next time, and the ids of all tasks that are to run. */
  async function scheduled(store: Store) {
    const queue = store.queues.get(MAINTENANCE_QUEUE);
    const [schedulers, jobs] = await Promise.all([queue.getJobSchedulers(0, -1, true), queue.getJobs(['wait', 'delayed', 'prioritized'])]);
    return { schedulers: new Map(schedulers.map(({ key, every }) => [key, every])), ids: jobs.map(({ id }) => String(id)).toSorted((a, b) => a.localeCompare(b)) };
  }

  it('are made from the table, with one next task each, and stay as they are however often they are applied', async () => {
    const { store, apply } = await setUp();
    await apply(one, two);
    const first = await scheduled(store);
    assert.deepEqual(first.schedulers, new Map([['one', one.everyMs], ['two', two.everyMs]]));
    assert.deepEqual(first.ids.map((id) => id.replace(/\d+$/, '')), ['repeat:one:', 'repeat:two:']);
    await Promise.all([apply(one, two), apply(one, two), apply(one, two)]);
    assert.deepEqual(await scheduled(store), first);
  });

  it('are made by several workers at once, and there is one of each all the same', async () => {
    const keyPrefix = fleet.newPrefix();
    const workers = await Promise.all(Array.from({ length: 5 }, () => setUp(keyPrefix)));
    await Promise.all(workers.map(({ apply }) => apply(one)));
    const { schedulers, ids } = await scheduled((workers[0] as { store: Store }).store);
    assert.deepEqual([schedulers, ids.length], [new Map([['one', one.everyMs]]), 1]);
  });

  it('go with their next task when they leave the table', async () => {
    const { store, apply } = await setUp();
    await apply(one, two);
    // The first task of a schedule is to run at once; the others wait for their time.
    const jobs = store.keys.jobs(MAINTENANCE_QUEUE);
    for (const id of await store.redis.lrange(`${jobs}wait`, 0, -1)) await store.redis.multi().lrem(`${jobs}wait`, 0, id).zadd(`${jobs}delayed`, (Date.now() + 3_600_000) * 4_096, id).exec();
    assert.equal((await scheduled(store)).ids.length, 2);
    await apply(two);
    const { schedulers, ids } = await scheduled(store);
    assert.deepEqual([schedulers, ids.length], [new Map([['two', two.everyMs]]), 1]);
  });

  it('take a new interval over', async () => {
    const { store, apply } = await setUp();
    await apply(one);
    await apply({ ...one, everyMs: 60_000 });
    const { schedulers, ids } = await scheduled(store);
    assert.deepEqual([schedulers, ids.length], [new Map([['one', 60_000]]), 1]);
  });

  it('get a new next task if theirs was lost', async () => {
    const { store, apply } = await setUp();
    await apply(one);
    const queue = store.queues.get(MAINTENANCE_QUEUE);
    const [id = ''] = (await scheduled(store)).ids;
    const jobs = store.keys.jobs(MAINTENANCE_QUEUE);
    await store.redis.multi().del(jobs + id).zrem(`${jobs}delayed`, id).lrem(`${jobs}wait`, 0, id).exec();
    assert.equal(await queue.count(), 0);
    await apply(one);
    assert.equal((await scheduled(store)).ids.length, 1);
  });

  it('say so when they cannot be applied, and harm nobody', async () => {
    const { store, log, apply } = await setUp();
    await fleet.client.set(`${store.keys.jobs(MAINTENANCE_QUEUE)}repeat`, 'of another type');
    await apply(one);
    assert.equal(log.find(/Could not apply the schedules/).length, 1);
  });

  it('are removed from the fleet\'s queue by a worker that starts, and not by one that has run for a while', async () => {
    const { store } = await setUp();
    const old = new Schedules({ store, table: [one], logger: new LogLines().loggers('schedule') });
    await old.apply();
    await new Schedules({ store, table: [one, two], logger: new LogLines().loggers('schedule') }).apply();
    await old.apply();
    assert.deepEqual([...(await scheduled(store)).schedulers.keys()], ['one', 'two']);
  });

  it('come no later for workers whose settings differ and that undo each other\'s', async () => {
    const { store, apply } = await setUp();
    await apply({ ...one, everyMs: 300_000 });
    const first = await store.schedulers.nextTimes([one]);
    for (let round = 0; round < 3; round += 1) {
      await apply({ ...one, everyMs: 600_000 });
      await apply({ ...one, everyMs: 300_000 });
    }
    assert.deepEqual(await store.schedulers.nextTimes([one]), first);
  });

  it('are done at the start, once by workers that start together', async (t) => {
    const keyPrefix = fleet.newPrefix();
    const atStart = { ...one, atStart: true };
    const workers = await Promise.all(Array.from({ length: 4 }, () => setUp(keyPrefix)));
    // All in the same ten seconds.
    t.mock.method(Date, 'now', () => 1_800_000_000_000);
    await Promise.all(workers.map(({ apply }) => apply(atStart)));
    const { store } = workers[0] as (typeof workers)[0];
    const waiting = await store.queues.get(MAINTENANCE_QUEUE).getWaiting();
    assert.deepEqual(waiting.map(({ id }) => id), ['at-start.one.180000000']);
  });

  it('are not done again by a worker that reconnects', async () => {
    const { store, log } = await setUp();
    const schedules = new Schedules({ store, table: [{ ...one, atStart: true }], logger: log.loggers('schedule') });
    await schedules.apply();
    await store.queues.get(MAINTENANCE_QUEUE).drain();
    await schedules.apply();
    assert.equal((await store.queues.get(MAINTENANCE_QUEUE).getWaiting()).length, 0);
  });
});
