import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { MAINTENANCE_QUEUE, registryReconcile } from '../../shared/task/builtin/index.js';
import type { Store } from '../../shared/store.js';
import type { Schedule } from '../../worker/schedule-table.js';
import { Schedules } from '../../worker/schedules.js';
import { LogLines } from '../support/log-lines.js';
import { TestFleet } from '../support/test-fleet.js';

const one: Schedule = { id: 'one', definition: registryReconcile, input: {}, everyMs: 3_600_000 };
const two: Schedule = { ...one, id: 'two' };

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
    return { store, log, apply: (...table: Schedule[]) => new Schedules({ store, table, logger: log.loggers('worker') }).apply() };
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
    for (const id of await store.redis.lrange(`${jobs}wait`, 0, -1)) await store.redis.multi().lrem(`${jobs}wait`, 0, id).zadd(`${jobs}delayed`, (Date.now() + one.everyMs) * 4_096, id).exec();
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
});
