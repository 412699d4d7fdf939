import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../producer/index.js';
import { isFleetError, messageOf } from '../../../shared/errors.js';
import type { Keys } from '../../../shared/keys.js';
import { StopRequested } from '../../../shared/stop/cause.js';
import type { FleetWorker, WorkerConfig } from '../../../worker/worker.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

/** Longer than a test: within it, only a message or a connect makes a worker read its drain. */
const NEVER_MS = 600_000;

interface Party {
  readonly worker: FleetWorker;
  readonly task: ScriptedTask;
  readonly log: LogLines;
  readonly producer: Producer;
  readonly keyPrefix: string;
  readonly keys: Keys;
}

describe('A drained worker', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function start(config: Partial<WorkerConfig> = {}, own = fleet): Promise<Party> {
    const keyPrefix = own.newPrefix();
    const task = new ScriptedTask('drain.task');
    const log = new LogLines();
    const worker = await own.worker(keyPrefix, [task.handler], { heartbeatMs: NEVER_MS, concurrency: 2, loggers: log.loggers, ...config });
    return { worker, task, log, keyPrefix, producer: own.producer({ keyPrefix }), keys: own.keys(keyPrefix) };
  }

  const fetches = (worker: FleetWorker, yes: boolean): Promise<unknown> =>
    until(
      () => worker.status().fetching,
      (fetching) => fetching === yes,
    );

  it('ends what it runs, starts nothing more, still hears stops, and goes on when resumed', async () => {
    const { worker, producer, task, keyPrefix, log } = await start();
    const [first, second, third] = await producer.enqueueMany(task.definition, [{ input: 1 }, { input: 2 }, { input: 3 }]);
    const [one, two] = [await task.call(0), await task.call(1)];
    const view = await producer.workers.drain(worker.id, { by: 'ada', reason: 'new kernel' });
    assert.deepEqual([view.drained?.by, view.drained?.reason, view.alive], ['ada', 'new kernel', true]);
    await fetches(worker, false);
    one.returns('one');
    assert.equal(await producer.result(first?.id as string), 'one');
    void two.aborted.then((cause) => two.throws(cause));
    assert.equal((await producer.stop(second?.id as string, { waitMs: 60_000 })).via, 'signal');
    assert.ok((await two.aborted) instanceof StopRequested);

    // Another worker gets all other tasks, at once: none waits for a worker that was woken and does not fetch.
    const witness = new ScriptedTask('drain.task');
    const other = await fleet.worker(keyPrefix, [witness.handler], { heartbeatMs: NEVER_MS, concurrency: 1 });
    for (let index = 0; index < 10; index += 1) {
      const { id } = index === 0 ? { id: third?.id as string } : await producer.enqueue(task.definition, index);
      (await witness.call(index)).returns(index);
      assert.equal(await producer.result(id), index);
    }
    assert.equal(task.calls.length, 2);
    const listed = await until(
      async () => (await producer.workers.list()).find(({ id }) => id === worker.id),
      (found) => found?.running.length === 0,
    );
    assert.deepEqual([listed?.fetching, listed?.draining, listed?.running, listed?.drained?.by], [false, false, [], 'ada']);
    await other.stop();

    const waiting = await producer.enqueue(task.definition, 4);
    assert.equal((await producer.workers.resume(worker.id)).drained, null);
    (await task.call(2)).returns('more');
    assert.equal(await producer.result(waiting), 'more');
    assert.deepEqual(
      log.find(/^Worker (?:drained|resumed)/).map(({ msg }) => msg),
      ['Worker drained; it ends its running tasks and fetches no others until resumed', 'Worker resumed; fetching tasks again'],
    );
  });

  it('wakes another worker instead of itself, for each task that is added', async () => {
    const { worker, producer, task, keyPrefix } = await start();
    const witness = new ScriptedTask('drain.task');
    await fleet.worker(keyPrefix, [witness.handler], { heartbeatMs: NEVER_MS, workerQueues: ['drain'] });
    // Both wait for tasks; after the drain, the drained one still does for up to 10 s.
    await producer.workers.drain(worker.id);
    await fetches(worker, false);
    const startedAt = performance.now();
    for (let index = 0; index < 5; index += 1) {
      await producer.enqueue(task.definition, index);
      (await witness.call(index)).returns();
    }
    assert.ok(performance.now() - startedAt < 9_000, 'the tasks waited for the end of a wait');
    assert.equal(task.calls.length, 0);
  });

  it('does not run tasks of the fleet either, nor of shards that it finds later', async () => {
    const { worker, producer, keyPrefix, keys, log } = await start({ reconcileMs: 200, heartbeatMs: 1_000 });
    await until(
      () => fleet.client.hget(keys.reconcile, 'at'),
      (at) => at !== null,
    );
    await producer.workers.drain(worker.id);
    await fetches(worker, false);
    await until(
      () => fleet.client.llen(`${keys.jobs('maintenance')}active`),
      (active) => active === 0,
    );
    const at = await fleet.client.hget(keys.reconcile, 'at');
    const sharded = new ScriptedTask('drain.task', { shards: 2 });
    const { id } = await producer.enqueue(sharded.definition, 1, { id: await idOnShard(sharded, 1) });
    await log.waitFor(/^Fetching from a shard/);
    // The next run of the reconciler is long overdue.
    await until(
      () => Number(at) + 1_000 < Date.now(),
      (overdue) => overdue,
      { everyMs: 50 },
    );
    assert.equal(await fleet.client.hget(keys.reconcile, 'at'), at);
    assert.equal((await producer.get(id))?.state, 'queued');
    await producer.workers.resume(worker.id);
    await until(
      () => fleet.client.hget(keys.reconcile, 'at'),
      (now) => now !== at,
    );
    await until(
      () => fleet.client.hget(`${fleet.keys(keyPrefix).jobs('drain.shard-1')}${id}`, 'processedOn'),
      (started) => started !== null,
    );
  });

  it('learns of it by its heartbeat if the message is lost, and keeps it if Redis loses the record', async () => {
    const { worker, keys, producer, log } = await start({ heartbeatMs: 1_000 });
    await fleet.client.hset(keys.workerDrains, worker.id, '{"by":"ada","at":1,"reason":null}');
    await fetches(worker, false);
    await fleet.client.del(keys.workerDrains);
    await log.waitFor(/^Redis had lost the record/);
    assert.deepEqual([worker.status().fetching, (await producer.workers.list())[0]?.drained?.by], [false, 'ada']);
    await producer.workers.resume(worker.id);
    await fetches(worker, true);
  });

  it('follows a record that cannot be read, and is listed with it', async () => {
    const { worker, keys, producer } = await start({ heartbeatMs: 1_000 });
    for (const garbage of ['{"by":', '[]', 'null', '{"by":7,"at":"x"}', '"yes"']) {
      await fleet.client.hset(keys.workerDrains, worker.id, garbage);
      await fetches(worker, false);
      assert.deepEqual((await producer.workers.list())[0]?.drained, { by: null, at: null, reason: null }, garbage);
      await producer.workers.resume(worker.id);
      await fetches(worker, true);
    }
  });

  it('stays drained over a restart of Redis, and a drain fails clearly while Redis is away', async () => {
    const own = await TestFleet.onOneServer();
    try {
      const { worker, producer, task, log } = await start({}, own);
      await producer.workers.drain(worker.id, { reason: 'disk' });
      await fetches(worker, false);
      await own.redis.kill();
      await assert.rejects(producer.workers.resume(worker.id), (error) => isFleetError(error, 'REDIS_UNAVAILABLE'));
      await own.redis.restart();
      // The restarted Redis has no record: the worker writes it again after its first heartbeat.
      await until(
        () => producer.workers.list().catch(() => []),
        ([one]) => one?.drained?.reason === 'disk' && one.fetching === false,
      );
      const { id } = await producer.enqueue(task.definition, 1);
      await producer.workers.resume(worker.id);
      (await task.call(0)).returns(1);
      assert.equal(await producer.result(id), 1);
      assert.equal(log.find(/^Worker drained/).length, 1);
    } finally {
      await own.stop();
    }
  });

  it('is refused for a worker that does not exist or is dead, naming the live ones', async () => {
    const { worker, producer, keys } = await start();
    await fleet.client.zadd(keys.workers, Date.now() - 90_000, 'gone-1');
    for (const [id, pattern] of [
      ['gone-1', /^Worker "gone-1" is dead: its last heartbeat was 1 min 3\d s ago\./],
      ['nobody', /^Worker "nobody" does not exist\./],
    ] as const)
      for (const act of ['drain', 'resume'] as const)
        await assert.rejects(producer.workers[act](id), (error) => {
          assert.ok(isFleetError(error, 'WORKER_NOT_FOUND'));
          assert.match(messageOf(error), pattern);
          assert.ok(messageOf(error).endsWith(`Live workers: ${worker.id}.`));
          return true;
        });
    for (const id of ['', 7, 'x'.repeat(513)])
      await assert.rejects(producer.workers.drain(id as string), (error) => isFleetError(error, 'INVALID_OPTION'));
    await assert.rejects(producer.workers.drain(worker.id, { reason: 7 as unknown as string }), (error) =>
      isFleetError(error, 'INVALID_OPTION'),
    );
    assert.equal(await fleet.client.hlen(keys.workerDrains), 0);
  });
});

/** Returns an id that belongs to the given shard of a task's queue. */
async function idOnShard({ definition }: ScriptedTask, shard: number): Promise<string> {
  const { shardOf, shardsOf } = await import('../../../shared/task/shards.js');
  for (let n = 0; ; n += 1) if (shardOf(definition, `id-${n}`) === shardsOf(definition)[shard]) return `id-${n}`;
}
