import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Job } from 'bullmq';
import { z } from 'zod';
import { type Producer, type ScheduleOptions, scheduleToJson } from '../../../producer/index.js';
import { createKeys } from '../../../shared/keys.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import type { Store } from '../../../shared/store.js';
import { defineTask } from '../../../shared/task/definition.js';
import { registryReconcile } from '../../../worker/builtin/definitions.js';
import { SchedulePlanner, scheduleTable } from '../../../worker/schedule-planner.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

const HOUR_MS = 3_600_000;
const report = defineTask({
  name: 'report.make',
  input: z.strictObject({ day: z.string() }),
  retry: { attempts: 3, backoff: { type: 'fixed', delayMs: 10, jitter: 0 } },
  deadlineMs: HOUR_MS,
  retention: KEEP,
});
const digest = defineTask({ name: 'digest.send', input: z.strictObject({}), retention: KEEP });
const INPUT = { day: 'monday' };

describe('schedules of a producer', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function setUp(): Promise<{ producer: Producer; store: Store; keyPrefix: string }> {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const store = fleet.store({ keyPrefix });
    await Promise.all([producer.ping(), store.redis.ping()]);
    return { producer, store, keyPrefix };
  }

  describe('upsert', () => {
    it('creates a schedule with one next task, as defined', async () => {
      const { producer, store } = await setUp();
      const since = Date.now();
      const view = await producer.schedules.upsert('daily', report, INPUT, {
        every: HOUR_MS,
        item: 'chat-1',
        overlap: 'queue',
        jitter: 1_000,
      });
      const nextAt = view.nextAt as Date;
      assert.ok(nextAt.getTime() >= since + HOUR_MS && nextAt.getTime() <= Date.now() + HOUR_MS);
      assert.deepEqual(view, {
        ...{
          id: 'daily',
          name: 'report.make',
          queue: 'report',
          item: 'chat-1',
          everyMs: HOUR_MS,
          cron: null,
          timeZone: null,
          jitterMs: 1_000,
        },
        ...{ overlap: 'queue', builtIn: false, nextAt, lastTask: null, running: false, paused: null, problem: null },
      });
      const [job, ...more] = await store.queues.get('report').getDelayed();
      assert.deepEqual([job?.id, job?.name, job?.data, more], [`repeat:daily:${nextAt.getTime()}`, 'report.make', INPUT, []]);
      assert.deepEqual([job?.opts.attempts, job?.opts.backoff], [3, { type: 'fixed', delay: 10, jitter: 0 }]);
      assert.deepEqual(await store.redis.smembers(store.keys.queues), ['report']);
    });

    it("computes cron times in the schedule's time zone", async () => {
      const { producer } = await setUp();
      const view = await producer.schedules.upsert('nightly', report, INPUT, { cron: '30 3 * * *', timeZone: 'Asia/Kolkata' });
      assert.deepEqual([view.cron, view.timeZone, view.everyMs], ['30 3 * * *', 'Asia/Kolkata', null]);
      assert.match((view.nextAt as Date).toISOString(), /T22:00:00\.000Z$/);
    });

    it("uses UTC by default, whatever the producer's time zone", async () => {
      const { producer } = await setUp();
      const { timeZone, nextAt } = await producer.schedules.upsert('nightly', report, INPUT, { cron: '15 30 3 * * *' });
      assert.equal(timeZone, 'UTC');
      assert.match((nextAt as Date).toISOString(), /T03:30:15\.000Z$/);
    });

    it('without a change keeps the next time and task', async () => {
      const { producer, store } = await setUp();
      const first = await producer.schedules.upsert('daily', report, INPUT, { every: HOUR_MS });
      const jobs = () => store.redis.hgetall(`${store.keys.jobs('report')}repeat:daily:${(first.nextAt as Date).getTime()}`);
      const job = await jobs();
      assert.deepEqual(await producer.schedules.upsert('daily', report, INPUT, { every: HOUR_MS }), first);
      assert.deepEqual(await jobs(), job);
    });

    it('with another input keeps the time and updates the input', async () => {
      const { producer, store } = await setUp();
      const first = await producer.schedules.upsert('daily', report, INPUT, { every: HOUR_MS });
      const second = await producer.schedules.upsert('daily', report, { day: 'friday' }, { every: HOUR_MS });
      assert.deepEqual(second.nextAt, first.nextAt);
      assert.deepEqual(
        (await store.queues.get('report').getDelayed()).map(({ data }) => data),
        [{ day: 'friday' }],
      );
    });

    it('from an interval to cron and back leaves one next task', async () => {
      const { producer, store } = await setUp();
      for (const timing of [{ every: HOUR_MS }, { cron: '0 3 * * *' }, { every: 2 * HOUR_MS }, { cron: '@hourly' }])
        await producer.schedules.upsert('daily', report, INPUT, timing);
      assert.equal(await store.queues.get('report').count(), 1);
      assert.deepEqual(
        (await producer.schedules.list()).map(({ everyMs, cron }) => [everyMs, cron]),
        [[null, '@hourly']],
      );
    });

    for (const paused of [false, true]) {
      it(`to a task of another queue leaves nothing on the old one${paused ? ', even if paused with a due task' : ''}`, async () => {
        const { producer, store } = await setUp();
        const queue = store.queues.get('report');
        if (paused) await queue.pause();
        await producer.schedules.upsert('daily', report, INPUT, { every: HOUR_MS });
        if (paused) await (await queue.getDelayed())[0]?.promote();
        const view = await producer.schedules.upsert('daily', digest, {}, { every: HOUR_MS });
        assert.deepEqual(
          [view.queue, await queue.count(), await queue.getJobSchedulersCount(), await store.queues.get('digest').count()],
          ['digest', 0, 0, 1],
        );
      });
    }

    it('by several producers at once creates one schedule', async () => {
      const { keyPrefix, store } = await setUp();
      const producers = Array.from({ length: 5 }, () => fleet.producer({ keyPrefix }));
      await Promise.all(
        producers.map((producer, n) => producer.schedules.upsert('daily', report, { day: `day ${n}` }, { every: HOUR_MS + n })),
      );
      assert.deepEqual([await store.queues.get('report').count(), await store.schedulers.ids('report')], [1, ['daily']]);
    });

    const bad: [what: string, options: unknown, message: RegExp, field: string][] = [
      ['no timing', {}, /expected either every or cron/, 'every'],
      ['two timings', { every: 1_000, cron: '* * * * *' }, /expected either every or cron/, 'every'],
      ['an interval below the minimum', { every: 99 }, /every: .*100/, 'every'],
      ['an interval that is not whole', { every: 1_000.5 }, /every: /, 'every'],
      ['an interval as text', { every: '1 h' }, /every: .*string/, 'every'],
      ['a cron expression of three fields', { cron: '* * *' }, /expected five fields, .*"\* \* \*"/, 'cron'],
      ['a cron expression of two lines', { cron: '0 3 *\n* *' }, /cron: expected one line/, 'cron'],
      ['a nonexistent minute', { cron: '61 * * * *' }, /Bad cron: "61 \* \* \* \*"/, 'cron'],
      ['a nonexistent day', { cron: '0 0 31 2 *' }, /Bad cron: /, 'cron'],
      ['a random time', { cron: 'H 3 * * *' }, /contains H/, 'cron'],
      ['no cron expression at all', { cron: '' }, /cron: /, 'cron'],
      [
        'an unknown time zone',
        { cron: '0 3 * * *', timeZone: 'Europe/Atlantis' },
        /expected an IANA name .*"Europe\/Atlantis"/,
        'timeZone',
      ],
      ['a time zone with an interval', { every: 1_000, timeZone: 'UTC' }, /Bad timeZone: it needs cron/, 'timeZone'],
      ['a jitter as long as the interval', { every: 1_000, jitter: 1_000 }, /expected less than every \(1000 ms\), got 1000/, 'jitter'],
      [
        'a jitter beyond the deadline',
        { cron: '@daily', jitter: HOUR_MS },
        /expected less than the deadlineMs of report\.make \(3600000 ms\)/,
        'jitter',
      ],
      ['a negative jitter', { every: 1_000, jitter: -1 }, /jitter: /, 'jitter'],
      ['an unknown policy', { every: 1_000, overlap: 'both' }, /overlap: .*skip/, 'overlap'],
      ['an unknown option', { every: 1_000, tz: 'UTC' }, /tz/, 'options'],
      ['no options', undefined, /Bad schedule/, 'options'],
    ];
    let refusing: Awaited<ReturnType<typeof setUp>> | null = null;
    for (const [what, options, message, field] of bad) {
      it(`refuses ${what}, and writes nothing`, async () => {
        const { producer, keyPrefix } = (refusing ??= await setUp());
        await assert.rejects(producer.schedules.upsert('daily', report, INPUT, options as ScheduleOptions), {
          code: 'INVALID_OPTION',
          message,
          details: { field },
        });
        assert.deepEqual(await fleet.written(keyPrefix), []);
      });
    }

    it('refuses a bad item, a bad input, a large input and a bad id with their own codes', async () => {
      const { producer, keyPrefix } = await setUp();
      const small = fleet.producer({ keyPrefix, maxInputBytes: 1_024 });
      const { schedules } = producer;
      const every = { every: 1_000 };
      await assert.rejects(schedules.upsert('daily', report, INPUT, { ...every, item: '' }), { code: 'INVALID_ITEM' });
      await assert.rejects(schedules.upsert('daily', report, { day: 1 } as never, every), { code: 'INVALID_INPUT', message: /day: / });
      await assert.rejects(small.schedules.upsert('daily', report, { day: 'x'.repeat(2_000) }, every), { code: 'INPUT_TOO_LARGE' });
      for (const id of ['', 'a:b', '__proto__', 'a b', 'x'.repeat(65), '../up', 7, null]) {
        await assert.rejects(
          schedules.upsert(id as string, report, INPUT, every),
          { code: 'INVALID_ID', message: /^Bad schedule id: expected / },
          String(id),
        );
        await assert.rejects(schedules.remove(id as string), { code: 'INVALID_ID' }, String(id));
      }
      assert.deepEqual(await fleet.written(keyPrefix), []);
    });

    it('refuses built-in ids, as does remove', async () => {
      const { producer } = await setUp();
      for (const { id } of scheduleTable(resolveSettings({}))) {
        await assert.rejects(producer.schedules.upsert(id, report, INPUT, { every: 1_000 }), {
          code: 'INVALID_ID',
          message: /is built-in/,
        });
        await assert.rejects(producer.schedules.remove(id), { code: 'INVALID_ID', message: /is built-in/ });
      }
    });

    it('accepts an id that is a property of every object', async () => {
      const { producer } = await setUp();
      await producer.schedules.upsert('constructor', report, INPUT, { every: HOUR_MS });
      assert.deepEqual(
        (await producer.schedules.list()).map(({ id }) => id),
        ['constructor'],
      );
      assert.equal(await producer.schedules.remove('constructor'), true);
    });
  });

  describe('list', () => {
    it('returns all schedules by id, including the built-in ones once a worker has created them', async () => {
      const { producer, store } = await setUp();
      assert.deepEqual(await producer.schedules.list(), []);
      await producer.schedules.upsert('zzz', report, INPUT, { every: HOUR_MS });
      await producer.schedules.upsert('aaa', digest, {}, { cron: '0 3 * * *' });
      await new SchedulePlanner({ store, table: scheduleTable(resolveSettings({})), logger: new LogLines().loggers('schedule') }).apply();
      const list = await producer.schedules.list();
      assert.deepEqual(
        list.map(({ id, builtIn }) => [id, builtIn]),
        [
          ['aaa', false],
          ['models.refresh', true],
          ['registry.reconcile', true],
          ['session-pool.clean', true],
          ['usage-pool.clean', true],
          ['zzz', false],
        ],
      );
      assert.ok(list.every(({ nextAt }) => nextAt !== null && nextAt.getTime() > Date.now()));
    });

    it('lists unreadable schedules with their problem', async () => {
      const { producer, store } = await setUp();
      await store.redis.hset(store.keys.schedules, 'bad', 'no JSON', '__proto__', '{}');
      const list = await producer.schedules.list();
      assert.deepEqual(
        list.map(({ id, name }) => [id, name]),
        [
          ['__proto__', null],
          ['bad', null],
        ],
      );
      for (const { problem } of list) assert.match(problem ?? '', /^expected a schedule as JSON/);
      assert.ok(await producer.schedules.remove('bad'));
      assert.deepEqual(
        (await producer.schedules.list()).map(({ id }) => id),
        ['__proto__'],
      );
    });

    it('is JSON with snake_case names, ISO 8601 times, and null for what is absent', async () => {
      const { producer } = await setUp();
      const view = await producer.schedules.upsert('daily', report, INPUT, { every: HOUR_MS });
      assert.deepEqual(scheduleToJson(view), {
        ...{ id: 'daily', name: 'report.make', queue: 'report', item: null, every_ms: HOUR_MS, cron: null, time_zone: null, jitter_ms: 0 },
        ...{
          overlap: 'skip',
          built_in: false,
          next_at: (view.nextAt as Date).toISOString(),
          last_task: null,
          running: false,
          paused: null,
          problem: null,
        },
      });
      assert.equal(scheduleToJson({ ...view, nextAt: null })['next_at'], null);
    });
  });

  describe('remove', () => {
    it('removes the schedule and its next task, and returns whether it existed', async () => {
      const { producer, store, keyPrefix } = await setUp();
      await producer.schedules.upsert('daily', report, INPUT, { every: HOUR_MS });
      assert.equal(await producer.schedules.remove('daily'), true);
      assert.equal(await producer.schedules.remove('daily'), false);
      assert.deepEqual([await producer.schedules.list(), await store.queues.get('report').count()], [[], 0]);
      const left = await fleet.client.keys(`${keyPrefix}:*`);
      assert.deepEqual(
        left.filter((key) => /schedules|repeat/.test(key)),
        [],
      );
    });

    it('also removes a next task that is due on a paused queue', async () => {
      const { producer, store } = await setUp();
      const queue = store.queues.get('report');
      await queue.pause();
      await producer.schedules.upsert('daily', report, INPUT, { every: HOUR_MS });
      await (await queue.getDelayed())[0]?.promote();
      await producer.schedules.remove('daily');
      assert.equal(await queue.count(), 0);
    });

    it('leaves a stopped task alone, even before the schedule has noticed its end', async () => {
      const { producer, store } = await setUp();
      await producer.schedules.upsert('daily', report, INPUT, { every: HOUR_MS });
      const [job] = await store.queues.get('report').getDelayed();
      const id = String(job?.id);
      await producer.stop(id);
      const [next] = await store.queues.get('report').getDelayed();
      await next?.remove().catch(() => undefined);
      await store.redis.zadd(`${store.keys.jobs('report')}repeat`, id.slice(id.lastIndexOf(':') + 1), 'daily');
      await producer.schedules.remove('daily');
      assert.equal((await producer.get(id))?.state, 'cancelled');
    });
  });

  describe('runNow', () => {
    it('adds an extra task with the input, item and deadline of the schedule', async () => {
      const { producer, store, keyPrefix } = await setUp();
      const made = await producer.schedules.upsert('daily', report, INPUT, { every: HOUR_MS, item: 'chat-1', jitter: 1_000 });
      const { id, name, item } = await producer.schedules.runNow('daily');
      const job = (await store.queues.get('report').getJob(id)) as Job;
      const { deadline, schedule } = job.opts as unknown as { deadline: number; schedule: { jitterMs: number } };
      assert.deepEqual([name, item, job.data, schedule.jitterMs], ['report.make', 'chat-1', INPUT, 0]);
      assert.ok(deadline > Date.now() && deadline <= Date.now() + HOUR_MS);
      assert.deepEqual(await producer.schedules.list(), [made]);
      assert.deepEqual(await fleet.client.smembers(createKeys(keyPrefix).item('chat-1')), [id]);
    });

    it('accepts built-in schedules', async () => {
      const { producer, store } = await setUp();
      await new SchedulePlanner({ store, table: scheduleTable(resolveSettings({})), logger: new LogLines().loggers('schedule') }).apply();
      const { name, queue } = await producer.schedules.runNow('registry.reconcile');
      assert.deepEqual([name, queue], ['registry.reconcile', registryReconcile.queue]);
    });

    it('refuses an unknown id', async () => {
      const { producer } = await setUp();
      for (const id of ['none', 'a:b', '__proto__', '', 'billing.init-plans', null]) {
        await assert.rejects(producer.schedules.runNow(id as string), { code: 'SCHEDULE_NOT_FOUND', message: /^No schedule / }, String(id));
      }
    });
  });

  it('fail with REDIS_UNAVAILABLE while Redis is away', async () => {
    const { schedules } = fleet.producer({ redisUrl: 'redis://127.0.0.1:1', connectTimeoutMs: 100 });
    const calls = [
      schedules.list(),
      schedules.upsert('daily', report, INPUT, { every: 1_000 }),
      schedules.remove('daily'),
      schedules.runNow('daily'),
    ];
    for (const call of calls.map((one) => assert.rejects(one, { code: 'REDIS_UNAVAILABLE' }))) await call;
  });
});
