import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { endOf } from '../../../support/fleet/own-worker.js';
import { QUICK, ScenarioWorkers } from '../../../support/fleet/scenario.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { built } from '../../../support/process/built.js';
import { spawnNode } from '../../../support/process/processes.js';
import { until } from '../../../support/until.js';

const IDS = Array.from({ length: 20 }, (_, index) => `message-${String(index).padStart(2, '0')}`);
const PRODUCERS = 4;
const WORKERS = 3;
/** Locks that a busy machine renews in time: each that it loses would be one more start. */
const LOCK_MS = 10_000;
/** Beyond the lock's time, within which the line goes on after the death of a worker, on a busy machine. */
const BEYOND_LOCK_MS = 60_000;

describe(`One chat with ${IDS.length} messages, enqueued at once from ${PRODUCERS} processes on ${WORKERS} workers`, () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  it('answers them one at a time and in order, through stops of the fifth and the tenth and the death of the worker of the twelfth', async () => {
    const { client } = fleet;
    const prefix = fleet.newPrefix();
    const key = (name: string): string => `line-test:${prefix}:${name}`;
    const producer = fleet.producer({ keyPrefix: prefix });
    const store = fleet.store({ keyPrefix: prefix });
    const workers = new ScenarioWorkers(fleet.redis, prefix, {
      ...QUICK,
      LOCK_DURATION_MS: String(LOCK_MS),
      TASK_MODULES: built('test/support/task/line-tasks.mjs'),
    });
    await client.sadd(key('held'), ...IDS);
    await Promise.all(Array.from({ length: WORKERS }, () => workers.start()));
    const env = { REDIS_URL: fleet.redis.url, REDIS_CLUSTER: String(fleet.redis.topology === 'cluster'), REDIS_KEY_PREFIX: prefix };
    const enqueuers = Array.from({ length: PRODUCERS }, (_, index) => {
      const own = IDS.filter((_id, number) => number % PRODUCERS === index);
      return spawnNode([built('test/support/task/line-producer.mjs'), ...own], { env });
    });
    await Promise.all(enqueuers.map((enqueuer) => enqueuer.waitForLine(/Producer is ready/)));
    for (const enqueuer of enqueuers) enqueuer.kill('SIGUSR2');
    await Promise.all(enqueuers.map(({ exit }) => exit));

    const standings = await until(
      () => store.limiter.standings(IDS),
      (found) => [...found.values()].filter((waiting) => waiting !== null).length === IDS.length - 1,
    );
    const line = IDS.toSorted((a, b) => (standings.get(a)?.position ?? 0) - (standings.get(b)?.position ?? 0));
    const [fifth = '', tenth = '', twelfth = '', next = ''] = [4, 9, 11, 12].map((index) => line[index]);
    await client.srem(key('held'), ...IDS.filter((id) => id !== fifth && id !== twelfth));

    const started = (id: string, times = 1) =>
      until(
        () => client.lrange(key('started'), 0, -1),
        (ids) => ids.filter((other) => other === id).length === times,
      );
    await started(fifth);
    const waiting = await producer.stop(tenth, { waitMs: 60_000 });
    const running = await producer.stop(fifth, { waitMs: 60_000 });
    assert.deepEqual(
      [waiting, running].map(({ outcome, via }) => [outcome, via]),
      [
        ['cancelled', 'queue'],
        ['cancelled', 'signal'],
      ],
    );

    await started(twelfth);
    const pid = Number((await client.get(key('running')))?.split(' ')[1]);
    const dying = workers.all.find((worker) => worker.pid === pid);
    assert.ok(dying);
    const killedAt = performance.now();
    dying.kill('SIGKILL');
    await dying.exit;
    await client.multi().del(key('running')).srem(key('held'), twelfth).exec();
    await started(twelfth, 2);
    await started(next);
    const wentOnAfterMs = performance.now() - killedAt;

    const views = await Promise.all(IDS.map((id) => endOf(producer, id)));
    const stopped = views.filter(({ state }) => state === 'cancelled').map(({ id }) => id);
    assert.deepEqual(stopped.toSorted(), [fifth, tenth].toSorted());
    assert.ok(views.every(({ id, state }) => state === (stopped.includes(id) ? 'cancelled' : 'completed')));
    assert.deepEqual(await client.lrange(key('overlaps'), 0, -1), []);
    const expected = line.flatMap((id) => (id === tenth ? [] : id === twelfth ? [id, id] : [id]));
    assert.deepEqual(await client.lrange(key('started'), 0, -1), expected);
    assert.ok(wentOnAfterMs < LOCK_MS + BEYOND_LOCK_MS, `The line went on after ${wentOnAfterMs} ms`);

    await fleet.emptied(prefix);
    const left = await until(
      async () => (await fleet.written(prefix)).filter((name) => /:limits:(places|line|tasks)/.test(name)),
      (names) => names.length === 0,
    );
    assert.deepEqual(left, []);
    await workers.stop();
  });
});
