import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Queue } from 'bullmq';
import { type Schedule, dueTimeOf } from '../../../shared/schedule/schedule.js';
import { SchedulePlanner } from '../../../worker/schedule-planner.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';

describe("Users' schedules", () => {
  let fleet: TestFleet;
  const task = new ScriptedTask('user.task');
  const timings = { every: { every: 3_600_000 }, cron: { cron: '0 3 * * *', timeZone: 'Europe/Berlin' } };

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function setUp(keyPrefix = fleet.newPrefix()) {
    const store = fleet.store({ keyPrefix });
    const producer = fleet.producer({ keyPrefix });
    await Promise.all([store.redis.ping(), producer.ping()]);
    const log = new LogLines();
    const schedules = new SchedulePlanner({ store, table: [], logger: log.loggers('schedule') });
    return { store, producer, log, queue: store.queues.get('user'), apply: () => schedules.apply() };
  }

  const nextIds = async ({ queue }: { queue: Queue }): Promise<string[]> =>
    (await queue.getJobs(['wait', 'delayed'])).map(({ id }) => String(id));

  for (const [kind, timing] of Object.entries(timings)) {
    describe(`with ${kind}`, () => {
      it('are unchanged by workers if nothing is wrong', async () => {
        const { producer, queue, apply } = await setUp();
        await producer.schedules.upsert('mine', task.definition, { n: 1 }, timing);
        const ids = await nextIds({ queue });
        await apply();
        assert.equal(ids.length, 1);
        assert.deepEqual(await nextIds({ queue }), ids);
      });

      it('are created by workers if the producer died before', async () => {
        const { store, producer, queue, apply } = await setUp();
        await producer.schedules.upsert('mine', task.definition, { n: 1 }, timing);
        await queue.obliterate({ force: true });
        assert.equal(await queue.count(), 0);
        await apply();
        const [job] = await queue.getDelayed();
        assert.deepEqual([job?.name, job?.data], ['user.task', { n: 1 }]);
        assert.deepEqual(await store.schedulers.ids('user'), ['mine']);
      });

      it('are created by several workers at once, with one next task', async () => {
        const keyPrefix = fleet.newPrefix();
        const workers = await Promise.all(Array.from({ length: 4 }, () => setUp(keyPrefix)));
        const { producer, queue } = workers[0] as (typeof workers)[0];
        const { nextAt } = await producer.schedules.upsert('mine', task.definition, {}, timing);
        for (let round = 0; round < 5; round += 1) {
          await queue.obliterate({ force: true });
          await Promise.all(workers.map(({ apply }) => apply()));
          const [id = '', ...more] = await nextIds({ queue });
          assert.deepEqual(more, []);
          assert.ok(dueTimeOf(id) - (nextAt as Date).getTime() < 60_000, id);
        }
      });

      it('get a new next task if it was removed', async () => {
        const { producer, queue, apply } = await setUp();
        await producer.schedules.upsert('mine', task.definition, {}, timing);
        await queue.clean(0, 100, 'delayed');
        for (const id of await nextIds({ queue })) await loseJob(fleet, queue, id);
        assert.equal(await queue.count(), 0);
        await apply();
        assert.equal(await queue.count(), 1);
      });

      it('continue after a stop of their next task, at the following time', async () => {
        const { producer, queue } = await setUp();
        const { nextAt } = await producer.schedules.upsert('mine', task.definition, {}, timing);
        const [id = ''] = await nextIds({ queue });
        assert.equal((await producer.stop(id)).outcome, 'cancelled');
        const [next = '', ...more] = await nextIds({ queue });
        assert.ok(dueTimeOf(next) > (nextAt as Date).getTime());
        assert.deepEqual([more, (await producer.get(id))?.state], [[], 'cancelled']);
      });

      it('continue if the stopper of their next task died before it could repair them', async () => {
        const { producer, queue, apply } = await setUp();
        await producer.schedules.upsert('mine', task.definition, {}, timing);
        const [id = ''] = await nextIds({ queue });
        await endJob(fleet, queue, id);
        await apply();
        const [next = '', ...more] = await nextIds({ queue });
        assert.ok(dueTimeOf(next) > dueTimeOf(id));
        assert.deepEqual(more, []);
      });

      it('do not restore a stopped task when they are changed', async () => {
        const { producer, queue, apply } = await setUp();
        await producer.schedules.upsert('mine', task.definition, { n: 1 }, timing);
        const [id = ''] = await nextIds({ queue });
        await producer.stop(id);
        await producer.schedules.upsert('mine', task.definition, { n: 2 }, timing);
        await apply();
        const [next = '', ...more] = await nextIds({ queue });
        assert.ok(dueTimeOf(next) > dueTimeOf(id));
        assert.deepEqual([more, (await queue.getJob(next))?.data, (await producer.get(id))?.state], [[], { n: 2 }, 'cancelled']);
      });

      it('do not restore a stopped task without retention', async () => {
        const { producer, queue, apply } = await setUp();
        const none = { ageMs: 1_000, count: 0 };
        const { definition } = new ScriptedTask('user.task', { retention: { completed: none, failed: none } });
        await producer.schedules.upsert('mine', definition, { n: 1 }, timing);
        const [id = ''] = await nextIds({ queue });
        assert.equal((await producer.stop(id)).outcome, 'cancelled');
        await producer.schedules.upsert('mine', definition, { n: 2 }, timing);
        await apply();
        const [next = '', ...more] = await nextIds({ queue });
        assert.ok(dueTimeOf(next) > dueTimeOf(id), `${next} after ${id}`);
        assert.deepEqual([more, (await queue.getJob(next))?.data], [[], { n: 2 }]);
      });
    });
  }

  it('with cron skip no time when another worker creates them at the same moment', async (t) => {
    const keyPrefix = fleet.newPrefix();
    const [one, other] = [await setUp(keyPrefix), await setUp(keyPrefix)];
    const { nextAt } = await one.producer.schedules.upsert('mine', task.definition, {}, timings.cron);
    await one.queue.obliterate({ force: true });
    const { redis } = one.store;
    // By its search for a free time, it has found no scheduler.
    const looks = t.mock.method(redis, 'hmget', async (...args: Parameters<typeof redis.hmget>) => {
      looks.mock.restore();
      await other.apply();
      return redis.hmget(...args);
    });
    await one.apply();
    assert.equal(looks.mock.callCount(), 1);
    assert.deepEqual((await nextIds(one)).map(dueTimeOf), [nextAt?.getTime()]);
  });

  it('that are removed while a worker applies them do not come back', async (t) => {
    const { store, producer, queue, apply } = await setUp();
    await producer.schedules.upsert('mine', task.definition, {}, timings.every);
    await queue.obliterate({ force: true });
    const ensure = store.schedulers.ensure.bind(store.schedulers);
    t.mock.method(store.schedulers, 'ensure', async (schedule: Schedule) => {
      assert.equal(await producer.schedules.remove('mine'), true);
      return ensure(schedule);
    });
    await apply();
    assert.deepEqual([await store.schedulers.ids('user'), await queue.count()], [[], 0]);
  });

  it('that are moved while a worker applies them exist on the new queue only', async (t) => {
    const { store, producer, queue, apply } = await setUp();
    await producer.schedules.upsert('mine', task.definition, {}, timings.every);
    await queue.obliterate({ force: true });
    const ensure = store.schedulers.ensure.bind(store.schedulers);
    const moved = new ScriptedTask('moved.task');
    t.mock.method(store.schedulers, 'ensure', async (schedule: Schedule) => {
      if (schedule.definition.queue === 'user') await producer.schedules.upsert('mine', moved.definition, {}, timings.every);
      return ensure(schedule);
    });
    await apply();
    assert.deepEqual([await store.schedulers.ids('user'), await queue.count(), await store.schedulers.ids('moved')], [[], 0, ['mine']]);
  });

  it('are removed if their producer died before it removed the scheduler', async () => {
    const { store, producer, queue, apply } = await setUp();
    await producer.schedules.upsert('mine', task.definition, {}, timings.every);
    await store.redis.hdel(store.keys.schedules, 'mine');
    await apply();
    assert.deepEqual([await store.schedulers.ids('user'), await queue.count()], [[], 0]);
  });

  it('with an invalid record are logged at each check, and left unchanged', async () => {
    const { store, producer, queue, log, apply } = await setUp();
    await producer.schedules.upsert('mine', task.definition, {}, timings.every);
    const good = (await store.redis.hget(store.keys.schedules, 'mine')) as string;
    const noInput = good.replace('"data":"{}"', '"data":"a secret"');
    const badQueue = good.replace('"queue":"user"', '"queue":"a:b"');
    await store.redis.hset(
      store.keys.schedules,
      'mine',
      '{"every_ms":"often"}',
      'a:b',
      good,
      '__proto__',
      'no JSON',
      'no-input',
      noInput,
      'bad-queue',
      badQueue,
    );
    await apply();
    const said = log.find(/Could not parse a stored schedule/).map(({ id }) => String(id));
    assert.deepEqual(new Set(said), new Set(['__proto__', 'a:b', 'bad-queue', 'mine', 'no-input']));
    assert.equal(said.length, 5);
    assert.ok(!JSON.stringify(log.lines).includes('a secret'));
    assert.deepEqual([await store.schedulers.ids('user'), await queue.count()], [['mine'], 1]);
    assert.deepEqual(log.find(/Could not apply/), []);
  });

  it("do not affect other programs' schedules on their queue", async () => {
    const { store, producer, queue, apply } = await setUp();
    await producer.schedules.upsert('mine', task.definition, {}, timings.every);
    await queue.upsertJobScheduler('theirs', { every: 60_000 });
    await apply();
    assert.deepEqual(
      (await store.schedulers.ids('user')).toSorted((a, b) => a.localeCompare(b)),
      ['mine', 'theirs'],
    );
  });

  it('of other programs may have unknown timings: a stop of their next task still applies', async (t) => {
    const { store, producer } = await setUp();
    const theirs = new Queue('user', {
      connection: store.redis,
      prefix: store.keys.bull('user'),
      settings: { repeatStrategy: () => Date.now() + 3_600_000 },
    });
    t.after(() => theirs.close());
    await store.redis.sadd(store.keys.queues, 'user');
    const job = await theirs.upsertJobScheduler('theirs', { pattern: 'every full moon' }, { name: 'user.task' });
    const { outcome, via } = await producer.stop(String(job?.id));
    assert.deepEqual([outcome, via, (await producer.get(String(job?.id)))?.state], ['cancelled', 'queue', 'cancelled']);
  });

  it('are applied independently of each other', async () => {
    const { store, producer, queue, log, apply } = await setUp();
    await producer.schedules.upsert('a-bad-one', new ScriptedTask('broken.task').definition, {}, timings.every);
    await producer.schedules.upsert('mine', task.definition, {}, timings.every);
    await queue.obliterate({ force: true });
    await store.redis.del(`${store.keys.jobs('broken')}repeat:a-bad-one`);
    await store.redis.set(`${store.keys.jobs('broken')}repeat:a-bad-one`, 'of another type');
    await apply();
    assert.deepEqual(
      log.find(/Could not apply a schedule/).map(({ id }) => id),
      ['a-bad-one'],
    );
    assert.equal(await queue.count(), 1);
  });
});

/** Removes a job, as a manual clean-up does. */
async function loseJob({ client }: TestFleet, { keys, toKey }: Queue, id: string): Promise<void> {
  await client
    .multi()
    .del(toKey(id))
    .zrem(keys['delayed'] as string, id)
    .exec();
}

/** Fails a job without advancing its scheduler. */
async function endJob({ client }: TestFleet, { keys, toKey }: Queue, id: string): Promise<void> {
  await client
    .multi()
    .zrem(keys['delayed'] as string, id)
    .zadd(keys['failed'] as string, Date.now(), id)
    .hset(toKey(id), 'finishedOn', Date.now())
    .exec();
}
