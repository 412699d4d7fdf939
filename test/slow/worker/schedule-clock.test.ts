import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it, mock } from 'node:test';
import type { Producer } from '../../../producer/index.js';
import type { FleetWorker } from '../../../worker/index.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Time for a step of a test on a busy machine. */
const SLACK_MS = 20_000;
const LOCK_MS = 5_000;
const IN_TIME = { timeoutMs: SLACK_MS };

/** A process's clock: wrong from its start, or right at its start and changed later. */
const FAULTS = [
  { name: 'an hour ahead', shiftMs: HOUR_MS, set: 'before' },
  { name: 'ten minutes behind', shiftMs: -10 * MINUTE_MS, set: 'before' },
  { name: 'set an hour ahead while it runs', shiftMs: HOUR_MS, set: 'later' },
  { name: 'set an hour back while it runs', shiftMs: -HOUR_MS, set: 'later' },
] as const;

let fleet: TestFleet;

before(async () => {
  fleet = await TestFleet.start();
});
after(() => fleet.stop());

for (const { name, shiftMs, set } of FAULTS) {
  describe(`A worker and a producer whose clock is ${name}`, () => {
    const real = Date.now.bind(Date);
    let prefix: string;
    let producer: Producer;
    let worker: FleetWorker;
    let task: ScriptedTask;
    let log: LogLines;

    const setClock = (): void => void mock.method(Date, 'now', () => real() + shiftMs);

    beforeEach(async () => {
      if (set === 'before') setClock();
      prefix = fleet.newPrefix();
      log = new LogLines();
      producer = fleet.producer({ keyPrefix: prefix });
      task = new ScriptedTask('clock.task', {
        deadlineMs: MINUTE_MS,
        retry: { attempts: 2, backoff: { type: 'fixed', delayMs: 5 * MINUTE_MS, jitter: 0 } },
      });
      worker = await fleet.worker(prefix, [task.handler], {
        lockMs: LOCK_MS,
        stalledCheckMs: LOCK_MS / 2,
        heartbeatMs: 100,
        loggers: log.loggers,
      });
      await producer.ping();
      if (set === 'later') setClock();
    });
    afterEach(async () => {
      await worker.stop();
      mock.restoreAll();
    });

    const redisNow = async (): Promise<number> => {
      const [seconds, micros] = await fleet.client.time();
      return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
    };
    const jobs = (): string => fleet.keys(prefix).jobs('clock');
    async function assertNow(time: string, at: unknown): Promise<void> {
      const now = await redisNow();
      assert.ok(at !== null && Math.abs(Number(at) - now) < SLACK_MS, `${time} is ${(Number(at) - now) / 1_000} s from Redis' time`);
    }
    const dueOf = async (id: string): Promise<number | null> => {
      const score = await fleet.client.zscore(`${jobs()}delayed`, id);
      return score === null ? null : Math.floor(Number(score) / 4_096);
    };

    it('stores the times of Redis with a task, its registration, its end and its heartbeat', async () => {
      const { id } = await producer.enqueue(task.definition, {}, { item: 'chat-1' });
      const call = await task.call();
      await assertNow('the registration', await fleet.client.zscore(fleet.keys(prefix).live, id));
      call.returns('done');
      assert.equal(await producer.result(id, IN_TIME), 'done');
      const times = await fleet.client.hmget(jobs() + id, 'timestamp', 'processedOn', 'finishedOn');
      for (const [index, field] of ['timestamp', 'processedOn', 'finishedOn'].entries()) await assertNow(field, times[index]);
      await assertNow('the score of its end', await fleet.client.zscore(`${jobs()}completed`, id));
      const [workerId] = await fleet.client.zrange(fleet.keys(prefix).workers, '0', '-1');
      const beat = () => fleet.client.hgetall(fleet.keys(prefix).worker(String(workerId)));
      await assertNow('the heartbeat', (await beat())['beat_at']);
      await until(beat, ({ clock_ms: ahead }) => Math.abs(Number(ahead) - shiftMs) < SLACK_MS);
      await until(
        () => log.find(/clock differs from Redis'/).length,
        (lines) => lines > 0,
      );
    });

    it('runs a delayed task at its time, and not before', async () => {
      const soon = await producer.enqueue(task.definition, {}, { delay: 300 });
      const late = await producer.enqueue(task.definition, {}, { delay: 5 * MINUTE_MS });
      await assertNow('the due time', Number(await dueOf(late.id)) - 5 * MINUTE_MS);
      const startedAt = performance.now();
      (await task.call()).returns('done');
      assert.equal(await producer.result(soon.id, IN_TIME), 'done');
      assert.ok(performance.now() - startedAt < SLACK_MS);
      assert.equal((await producer.get(late.id))?.state, 'scheduled');
    });

    it("retries after the backoff, by Redis' clock", async () => {
      const { id } = await producer.enqueue(task.definition, {});
      (await task.call()).throws(new Error('first'));
      const due = await until(
        () => dueOf(id),
        (at) => at !== null,
      );
      await assertNow('the retry', Number(due) - 5 * MINUTE_MS);
      assert.equal(task.calls.length, 1);
    });

    it('runs each schedule within one period', async () => {
      const schedules = { every: { every: 10 * MINUTE_MS }, cron: { cron: '*/10 * * * *' } };
      for (const [id, timing] of Object.entries(schedules)) {
        await producer.schedules.upsert(id, task.definition, {}, timing);
        const next = async () => (await producer.schedules.list()).find((one) => one.id === id)?.nextAt?.getTime() ?? 0;
        const assertWithinPeriod = async (what: string): Promise<void> => {
          const inMs = (await next()) - (await redisNow());
          assert.ok(inMs > -SLACK_MS && inMs <= 20 * MINUTE_MS + SLACK_MS, `${what} of ${id} is due in ${inMs / 1_000} s`);
        };
        await assertWithinPeriod('the first run');
        const due = await next();
        await (await backend()).promote(`repeat:${id}:${due}`);
        await until(next, (at) => at > due);
        await assertWithinPeriod('the run after it');
      }
    });

    it('starts tasks before their deadline only', async () => {
      const { id } = await producer.enqueue(task.definition, {});
      (await task.call()).returns('in time');
      assert.equal(await producer.result(id, IN_TIME), 'in time');
      const queue = await backend();
      await queue.pause(true);
      const deadline = (await redisNow()) + 500;
      const missed = await producer.enqueue(task.definition, {}, { deadline: new Date(deadline) });
      await until(redisNow, (now) => now > deadline + 200, { everyMs: 20 });
      await queue.pause(false);
      await assert.rejects(producer.result(missed.id, IN_TIME), /Not started before its deadline/);
      assert.equal(task.calls.length, 1);
    });

    it('keeps finished tasks for their retention', async () => {
      const short = new ScriptedTask('short.task', {
        retention: { completed: { ageMs: MINUTE_MS, count: 100 }, failed: { ageMs: MINUTE_MS, count: 100 } },
      });
      const other = await fleet.worker(prefix, [short.handler]);
      const ids: string[] = [];
      for (let index = 0; index < 2; index += 1) {
        const { id } = await producer.enqueue(short.definition, {});
        (await short.call(index)).returns(index);
        await producer.result(id, IN_TIME);
        ids.push(id);
      }
      const old = await producer.enqueue(short.definition, {});
      const completed = `${fleet.keys(prefix).jobs('short')}completed`;
      const index = fleet.keys(prefix).kept('short', 'completed', 'short.task');
      await until(
        () => fleet.client.zcard(index),
        (count) => count === 2,
      );
      const past = (await redisNow()) - 2 * MINUTE_MS;
      for (const key of [completed, index]) await fleet.client.zadd(key, past, String(ids[0]));
      (await short.call(2)).returns('last');
      await producer.result(old.id, IN_TIME);
      await until(
        () => fleet.client.zrange(completed, '0', '-1'),
        (left) => left.join() === [ids[1], old.id].join(),
      );
      await other.stop();
    });

    // A clock that is ahead would only renew locks more often.
    if (shiftMs < 0)
      it('renews the locks of running tasks', async () => {
        const { id } = await producer.enqueue(task.definition, {});
        const call = await task.call();
        const enough = performance.now() + 1.2 * LOCK_MS;
        await until(
          () => performance.now(),
          (now) => now > enough,
          { everyMs: 50 },
        );
        assert.equal(call.context.signal.aborted, false);
        call.returns('still mine');
        assert.equal(await producer.result(id, IN_TIME), 'still mine');
        assert.equal(task.calls.length, 1);
      });

    it('does not poll Redis while a task is delayed', async () => {
      await producer.enqueue(task.definition, {}, { delay: 30 * MINUTE_MS });
      await until(
        () => fleet.client.zcard(`${jobs()}delayed`),
        (count) => count === 1,
      );
      await fleet.client.config('RESETSTAT');
      const enough = performance.now() + 400;
      await until(
        () => performance.now(),
        (now) => now > enough,
        { everyMs: 50 },
      );
      const { bzpopmin = 0 } = await fleet.commandCounts();
      assert.ok(bzpopmin < 50, `${bzpopmin} waits in 400 ms`);
    });

    async function backend() {
      const store = fleet.store({ keyPrefix: prefix });
      await store.redis.ping();
      return store.queues.backend('clock');
    }
  });
}

describe("After Redis' clock was set back", () => {
  it('a worker checks for stalled tasks again, although the last check blocks the next one for longer', async () => {
    const prefix = fleet.newPrefix();
    const task = new ScriptedTask('clock.task');
    const worker = await fleet.worker(prefix, [task.handler], { stalledCheckMs: 500 });
    const blockingKey = `${fleet.keys(prefix).jobs('clock')}stalled-check`;
    await fleet.client.set(blockingKey, 'the last check', 'PX', HOUR_MS);
    await until(
      () => fleet.client.pttl(blockingKey),
      (ms) => ms < MINUTE_MS,
    );
    await worker.stop();
  });
});
