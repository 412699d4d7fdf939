import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Queue, UnrecoverableError, Worker } from 'bullmq';
import { z } from 'zod';
import { Scrape } from '../../../dashboard/metrics/scrape.js';
import type { Producer } from '../../../producer/index.js';
import { createKeys } from '../../../shared/keys.js';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import { defineTask } from '../../../shared/task/definition.js';
import { type TaskHandler, defineHandler } from '../../../shared/task/handler.js';
import { fleetCanary } from '../../../worker/builtin/definitions.js';
import type { FleetWorker, WorkerConfig } from '../../../worker/index.js';
import { valuesOf } from '../../support/fleet/metrics-page.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

const WAIT = { waitMs: 60_000 };
const logger = createLoggerFactory({ settings: resolveSettings({ logLevel: 'silent' }) })('dashboard');

const note = defineTask({ name: 'note.write', input: z.object({ fails: z.boolean().default(false) }), retention: KEEP });
const noteHandler = defineHandler(note, ({ input }) => {
  if (input.fails) throw new UnrecoverableError('no');
  return null;
});

describe('the totals of the fleet', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  function setUp() {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const worker = (handlers: readonly TaskHandler[], config: Partial<WorkerConfig> = {}): Promise<FleetWorker> =>
      fleet.worker(keyPrefix, handlers, config);
    return {
      keyPrefix,
      keys: createKeys(keyPrefix),
      producer,
      worker,
      bull: { connection: fleet.redis.client(), prefix: `${keyPrefix}:bull` },
    };
  }

  /** What two dashboards show, once all that counted have ended: they show the same. Without the fleet's own tasks, which come and go. */
  async function pages(keyPrefix: string, ended: readonly (Producer | FleetWorker)[]): Promise<(metric: string) => Record<string, number>> {
    await Promise.all(ended.map((one) => ('close' in one ? one.close() : one.stop())));
    const dashboards = [fleet.producer({ keyPrefix }), fleet.producer({ keyPrefix })].map(
      (producer) => new Scrape({ producer, store: producer.store }, logger),
    );
    const [one = '', other = ''] = await Promise.all(dashboards.map((dashboard) => dashboard.page()));
    return (metric) => {
      const users = (page: string): Record<string, number> =>
        Object.fromEntries(Object.entries(valuesOf(page, metric)).filter(([labels]) => !labels.includes('maintenance')));
      assert.deepEqual(users(one), users(other));
      return users(one);
    };
  }

  it('count completed, failed and retried tasks', async () => {
    const { keyPrefix, keys, producer, worker } = setUp();
    const twice = new ScriptedTask('twice.do', { retry: { attempts: 2, backoff: { type: 'fixed', delayMs: 0, jitter: 0 } } });
    const running = await worker([noteHandler, twice.handler]);
    const tasks = await producer.enqueueMany(note, [
      { input: {} },
      { input: {} },
      { input: {}, id: 'mine' },
      { input: { fails: true } },
      { input: { fails: true } },
      { input: {}, id: 'mine' },
    ]);
    assert.equal((await producer.enqueue(note, {}, { id: 'mine' })).duplicate, true);
    const both = await producer.enqueue(twice.definition, {});
    (await twice.call(0)).throws(new Error('once more'));
    (await twice.call(1)).returns(null);
    await Promise.allSettled([...tasks, both].map((task) => producer.result(task)));
    const [, , , failed] = tasks;
    assert.ok(failed);
    // Its wait began with the retry, not with the enqueue.
    await fleet.client.hset(keys.jobs('note') + failed.id, 'timestamp', Date.now() - 3_600_000);
    await producer.retry(failed);
    await producer.result(failed).catch(() => undefined);

    const show = await pages(keyPrefix, [running, producer]);
    assert.deepEqual(show('taskfleet_tasks_enqueued_total'), { 'queue=note,name=note.write': 5, 'queue=twice,name=twice.do': 1 });
    assert.deepEqual(show('taskfleet_tasks_retried_total'), { 'queue=note,name=note.write': 1 });
    assert.deepEqual(show('taskfleet_tasks_finished_total'), {
      ...{ 'queue=note,name=note.write,outcome=completed': 3, 'queue=note,name=note.write,outcome=failed': 3 },
      'queue=twice,name=twice.do,outcome=completed': 1,
    });
    assert.deepEqual(show('taskfleet_task_wait_seconds_count'), { 'queue=note': 6, 'queue=twice': 1 });
    assert.ok((show('taskfleet_task_wait_seconds_sum')['queue=note'] ?? 0) < 600);
    assert.deepEqual(show('taskfleet_task_run_seconds_count'), { 'queue=note,name=note.write': 6, 'queue=twice,name=twice.do': 2 });
    assert.deepEqual(show('taskfleet_stops_total'), {});
  });

  it('count stops by every route', async () => {
    const { keyPrefix, keys, producer, worker, bull } = setUp();
    const heeds = new ScriptedTask('stop.heeds');
    const deaf = new ScriptedTask('stop.deaf');
    const running = await worker([heeds.handler, deaf.handler], { stopGraceMs: 20, threads: 1 });

    const waiting = await producer.enqueue(note, {}, { delay: 60_000 });
    const orphan = await producer.enqueue(note, {});
    const dead = new Worker('note', null, { ...bull, autorun: false });
    assert.equal((await dead.getNextJob('of-the-dead', { block: false }))?.id, orphan.id);
    await dead.close();
    await fleet.client.del(`${keys.jobs('note')}${orphan.id}:lock`);

    const heeding = await producer.enqueue(heeds.definition, {});
    const call = await heeds.call();
    void call.aborted.then((cause) => call.throws(cause));
    const ignoring = await producer.enqueue(deaf.definition, {});
    await deaf.call();
    const spinning = await producer.enqueue(fleetCanary, { run_ms: 60_000, mode: 'spin' });
    await until(
      () => producer.get(spinning),
      (task) => task?.state === 'running',
    );

    const receipts = await producer.stop([waiting, orphan, heeding, ignoring], WAIT);
    assert.deepEqual(
      receipts.map(({ via }) => via),
      ['queue', 'fence', 'signal', 'abandon'],
    );
    const last = await producer.stop(spinning, WAIT);
    assert.equal(last.outcome, 'cancelled');
    assert.deepEqual(
      (await producer.stop([waiting.id, 'nobody'])).map(({ outcome }) => outcome),
      ['cancelled', 'not_found'],
    );

    const show = await pages(keyPrefix, [running, producer]);
    const how: Record<string, number> = { 'outcome=not_found,via=': 1 };
    for (const { via } of [...receipts, last]) how[`outcome=cancelled,via=${via}`] = (how[`outcome=cancelled,via=${via}`] ?? 0) + 1;
    assert.deepEqual(show('taskfleet_stops_total'), how);
    assert.deepEqual(show('taskfleet_tasks_finished_total'), {
      ...{ 'queue=fleet,name=fleet.canary,outcome=cancelled': 1, 'queue=note,name=note.write,outcome=cancelled': 2 },
      ...{ 'queue=stop,name=stop.deaf,outcome=cancelled': 1, 'queue=stop,name=stop.heeds,outcome=cancelled': 1 },
    });
    const { 'phase=delivered': delivered = 0, 'phase=settled': settled } = show('taskfleet_stop_latency_seconds_count');
    assert.equal(settled, 5);
    assert.equal(delivered, [...receipts, last].filter(({ via }) => via === 'signal' || via === 'abandon' || via === 'kill').length);
  });

  it('count a stop once if it settled while its worker still runs the task', async () => {
    const { keyPrefix, keys, producer, worker } = setUp();
    const task = new ScriptedTask('lost.lock');
    const running = await worker([task.handler]);
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    await fleet.client.del(`${keys.jobs('lost')}${id}:lock`);
    assert.equal((await producer.stop(id, WAIT)).via, 'fence');
    call.throws(await call.aborted);
    await until(
      () => running.status().running.length,
      (length) => length === 0,
    );

    const show = await pages(keyPrefix, [running, producer]);
    assert.deepEqual(show('taskfleet_tasks_finished_total'), { 'queue=lost,name=lost.lock,outcome=cancelled': 1 });
    assert.deepEqual(show('taskfleet_stops_total'), { 'outcome=cancelled,via=fence': 1 });
  });

  it('continue across a worker restart', async () => {
    const { keyPrefix, producer, worker } = setUp();
    const first = await worker([noteHandler]);
    await producer.result(await producer.enqueue(note, {}));
    await first.stop();
    const second = await worker([noteHandler]);
    await producer.result(await producer.enqueue(note, {}));
    const show = await pages(keyPrefix, [second, producer]);
    assert.deepEqual(show('taskfleet_tasks_finished_total'), { 'queue=note,name=note.write,outcome=completed': 2 });
  });

  it('include scheduled tasks and plain queues, without empty names', async () => {
    const { keyPrefix, producer, worker, bull } = setUp();
    const queue = new Queue('note', bull);
    await producer.schedules.upsert('nightly', note, {}, { every: 3_600_000 });
    const scheduled = await producer.schedules.runNow('nightly');
    await queue.add('note.write', {});
    const running = await worker([noteHandler]);
    await producer.result(scheduled);
    await until(
      () => queue.getCompletedCount(),
      (count) => count === 2,
    );
    const stranger = await queue.add('stranger-7', {}, { delay: 60_000 });
    await producer.stop(stranger.id as string);
    await queue.close();

    const show = await pages(keyPrefix, [running, producer]);
    assert.deepEqual(show('taskfleet_tasks_enqueued_total'), { 'queue=note,name=note.write': 2 });
    assert.deepEqual(show('taskfleet_tasks_finished_total'), {
      'queue=note,name=note.write,outcome=completed': 2,
      'queue=note,name=unknown,outcome=cancelled': 1,
    });
  });
});
