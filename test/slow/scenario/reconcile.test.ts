import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../producer/index.js';
import type { Keys } from '../../../shared/keys.js';
import { MAINTENANCE_QUEUE, registryReconcile } from '../../../worker/builtin/definitions.js';
import { handlerBegins, scenarioTask, startWorker } from '../../support/fleet/scenario.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import type { NodeProcess } from '../../support/process/processes.js';
import { until } from '../../support/until.js';

const keyPrefix = 'five';
const SETTINGS = {
  LOCK_DURATION_MS: '4000',
  STALLED_CHECK_INTERVAL_MS: '500',
  HEARTBEAT_INTERVAL_MS: '1000',
  RECONCILE_INTERVAL_MS: '300',
  ENQUEUE_GRACE_MS: '60000',
};
const GONE = 20_000;

describe('Five worker processes that start at once', () => {
  let fleet: TestFleet;
  let producer: Producer;
  let keys: Keys;
  let workers: NodeProcess[];

  before(async () => {
    fleet = await TestFleet.start();
    keys = fleet.keys(keyPrefix);
    producer = fleet.producer({ keyPrefix });
    workers = await Promise.all([1, 2, 3, 4, 5].map(() => startWorker(fleet.redis, keyPrefix, SETTINGS)));
  });
  after(async () => {
    await Promise.all(workers.map((worker) => worker.stop()));
    await fleet.stop();
  });

  const lastRun = async (): Promise<number> => Number(await fleet.client.hget(keys.reconcile, 'at'));
  /** Resolves after a complete run that began after this call. */
  async function wholeRun(): Promise<void> {
    const first = await until(lastRun, (at) => at > 0);
    const second = await until(lastRun, (at) => at > first);
    await until(lastRun, (at) => at > second);
  }

  const ofReconciling = (id: string): boolean => id.startsWith(`repeat:${registryReconcile.name}:`);

  /** Returns the schedulers of the reconciler and their next tasks, read atomically. */
  async function scheduled(): Promise<{ schedulers: string[]; next: string[] }> {
    const jobs = keys.jobs(MAINTENANCE_QUEUE);
    const [schedulers, delayed, waiting, prioritized] = (
      (await fleet.client
        .multi()
        .zrange(`${jobs}repeat`, '0', '-1')
        .zrange(`${jobs}delayed`, '0', '-1')
        .lrange(`${jobs}wait`, 0, -1)
        .zrange(`${jobs}prioritized`, '0', '-1')
        .exec()) ?? []
    ).map(([, ids]) => ids as string[]);
    return {
      schedulers: (schedulers ?? []).filter((id) => id === registryReconcile.name),
      next: [...(delayed ?? []), ...(waiting ?? []), ...(prioritized ?? [])].filter(ofReconciling),
    };
  }

  it('have one schedule for the reconciler, with one next task, at every moment of several runs', async () => {
    const started = await until(lastRun, (at) => at > 0);
    let runs = 0;
    for (let seen = started; runs < 4;) {
      const [{ schedulers, next }, at] = await Promise.all([scheduled(), lastRun()]);
      assert.deepEqual(schedulers, [registryReconcile.name]);
      // None between the fetch of a task and the creation of the next.
      assert.ok(next.length <= 1, next.join(', '));
      if (at > seen) {
        runs += 1;
        seen = at;
      }
    }
    await until(scheduled, ({ next }) => next.length === 1);
  });

  it('remove entries of lost jobs, keep young and foreign entries, and register tasks without an entry again', async () => {
    const [foreign, young, gone] = ['of-open-webui', 'on-its-way', 'long-gone'];
    await fleet.client.hset(keys.tasks, { [foreign]: 'chat-1', [young]: 'chat-1', [gone]: 'chat-1' });
    await fleet.client.hset(keys.taskQueues, { [young]: 'scenario', [gone]: 'scenario' });
    await fleet.client.zadd(keys.live, Date.now() - 1_000, young, Date.now() - 3_600_000, gone);
    await fleet.client.sadd(keys.item('chat-1'), foreign, young, gone);
    const running = await producer.enqueue(scenarioTask, { ms: 600_000 }, { item: 'chat-1' });
    await handlerBegins(workers, running.id);
    await fleet.client
      .multi()
      .hdel(keys.tasks, running.id)
      .hdel(keys.taskQueues, running.id)
      .zrem(keys.live, running.id)
      .srem(keys.item('chat-1'), running.id)
      .exec();
    await wholeRun();
    assert.deepEqual((await fleet.client.smembers(keys.item('chat-1'))).toSorted(), [foreign, young, running.id].toSorted());
    assert.deepEqual((await fleet.client.hkeys(keys.tasks)).toSorted(), [foreign, young, running.id].toSorted());
    assert.deepEqual((await fleet.client.hkeys(keys.taskQueues)).toSorted(), [young, running.id].toSorted());
    assert.equal(await fleet.client.zscore(keys.live, gone), null);
    assert.equal(Number(await fleet.client.zscore(keys.live, running.id)), (await producer.get(running))?.enqueuedAt?.getTime());
    assert.equal((await producer.stop(running, { waitMs: 60_000 })).outcome, 'cancelled');
    await until(
      () => fleet.client.hget(keys.tasks, running.id),
      (item) => item === null,
    );
  });

  it('go on when the reconciling worker is killed in the middle of a run', async (t) => {
    const jobs = keys.jobs(MAINTENANCE_QUEUE);
    const active = async (): Promise<string[]> => (await fleet.client.lrange(`${jobs}active`, 0, -1)).filter(ofReconciling);
    const names = Array.from({ length: GONE }, (_, index) => `gone-${index}`);
    const old = Date.now() - 3_600_000;
    const addGone = () =>
      fleet.client
        .multi()
        .hset(keys.taskQueues, ...names.flatMap((name) => [name, 'scenario']))
        .hset(keys.tasks, ...names.flatMap((name) => [name, '']))
        .zadd(keys.live, ...names.flatMap((name) => [old, name]))
        .exec();
    /** Freezes the reconciling worker in the middle of its run; returns null if the run was over before. */
    const freeze = async (): Promise<{ id: string; worker: NodeProcess } | null> => {
      await addGone();
      const [id = ''] = await until(active, (ids) => ids.length > 0, { everyMs: 1 });
      const owner = await fleet.client.hget(jobs + id, 'pb');
      const worker = workers.find(({ pid }) => owner?.includes(`-${pid}-`));
      worker?.kill('SIGSTOP');
      if (worker && (await active()).includes(id)) return { id, worker };
      worker?.kill('SIGCONT');
      return null;
    };
    const { id, worker: dying } = (await until(freeze, (frozen) => frozen !== null)) as { id: string; worker: NodeProcess };
    dying.kill('SIGKILL');
    await dying.exit;
    const killedAt = Date.now();
    await until(
      () => fleet.client.hlen(keys.taskQueues),
      (entries) => entries < 10,
    );
    await wholeRun();
    t.diagnostic(`all ${GONE} entries gone ${Date.now() - killedAt} ms after the kill, at a lock of ${SETTINGS.LOCK_DURATION_MS} ms`);
    // The task of the dead worker runs again and ends.
    await until(
      () => fleet.client.exists(jobs + id),
      (exists) => exists === 0,
    );
    await until(scheduled, ({ next, schedulers }) => next.length === 1 && schedulers.length === 1);
  });
});
