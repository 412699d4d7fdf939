import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import express from 'express';
import { z } from 'zod';
import { createDashboard } from '../../../dashboard/index.js';
import { samplesOf as samplesOfCounts } from '../../../dashboard/metrics/count-samples.js';
import { METRICS, formatSamples, sample } from '../../../dashboard/metrics/exposition.js';
import { createKeys } from '../../../shared/keys.js';
import { defineTask } from '../../../shared/task/definition.js';
import { metricsOf, samplesOf, valuesOf } from '../../support/fleet/metrics-page.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';
import { type Answer, type Served, serve, serveDashboard } from '../serve-dashboard.js';

const note = defineTask({ name: 'note.write', input: z.object({}), retention: KEEP });

describe('/metrics', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  const scrape = (served: Served): Promise<Answer> => served.send('GET', '/fleet/metrics');

  it('has every metric of the catalogue and of this process', async (t) => {
    const served = await serveDashboard(fleet.producer());
    t.after(() => served.close());
    const { status, type, text } = await scrape(served);
    assert.deepEqual([status, type], [200, 'text/plain; version=0.0.4; charset=utf-8']);
    const [ours, process] = [
      metricsOf(text).filter((name) => !name.startsWith('taskfleet_dashboard_')),
      metricsOf(text).filter((name) => name.startsWith('taskfleet_dashboard_')),
    ];
    assert.deepEqual(ours, Object.keys(METRICS));
    assert.ok(process.includes('taskfleet_dashboard_process_resident_memory_bytes'), process.join(' '));
    assert.deepEqual(Object.values(valuesOf(text, 'taskfleet_scrape_part_ok')), [1, 1, 1, 1, 1, 1]);
    assert.equal(samplesOf(text).get('taskfleet_redis_up'), 1);
  });

  it('has queues, open stops, workers and schedules', async (t) => {
    const keyPrefix = fleet.newPrefix();
    const keys = createKeys(keyPrefix);
    const producer = fleet.producer({ keyPrefix });
    const served = await serveDashboard(producer);
    t.after(() => served.close());
    const task = new ScriptedTask('slow.do');
    const worker = await fleet.worker(keyPrefix, [task.handler], { concurrency: 1, heartbeatMs: 2_000, stopGraceMs: 60_000 });
    const running = await producer.enqueue(task.definition, {});
    const call = await task.call();
    await producer.enqueueMany(note, [{ input: {} }, { input: {}, priority: 3 }, { input: {}, delay: 60_000 }, { input: {} }]);
    await fleet.client.hset(keys.tasks, 'foreign', '');
    await producer.schedules.upsert('nightly', note, {}, { every: 3_600_000 });
    await producer.stop(running.id);
    await until(
      () => fleet.client.hget(keys.worker(worker.id), 'running'),
      (list) => list?.includes(running.id) ?? false,
    );
    await until(
      () => fleet.client.exists(`${keys.jobs('maintenance')}repeat`),
      (there) => there === 1,
    );
    await fleet.client.zadd(keys.workers, Date.now(), 'gone');
    const waiting = await fleet.client.lindex(`${keys.jobs('note')}wait`, -1);
    await fleet.client.hset(`${keys.jobs('note')}${waiting}`, 'timestamp', Date.now() - 90_000);

    const { text } = await scrape(served);
    const jobs = valuesOf(text, 'taskfleet_queue_jobs');
    const ofNotes = Object.fromEntries(Object.entries(jobs).filter(([labels]) => /queue=(note|slow),/.test(labels)));
    assert.deepEqual(ofNotes, {
      ...{ 'queue=note,state=waiting': 2, 'queue=note,state=prioritized': 1, 'queue=note,state=delayed': 2, 'queue=slow,state=active': 1 },
    });
    const gauges = samplesOf(text);
    const at = (name: string): number | undefined => gauges.get(name);
    assert.deepEqual([at('taskfleet_tasks_live'), at('taskfleet_tasks_foreign')], [6, 1]);
    assert.deepEqual(
      [
        at('taskfleet_workers'),
        at('taskfleet_workers_silent'),
        at('taskfleet_workers_subscribed'),
        at('taskfleet_slots_busy'),
        at('taskfleet_zombies'),
      ],
      [1, 1, 1, 1, 0],
    );
    assert.ok((at('taskfleet_queue_oldest_wait_seconds{queue="note"}') ?? 0) >= 90);
    assert.equal(at('taskfleet_stops_open{queue="slow"}'), 1);
    assert.ok((at('taskfleet_stop_oldest_open_seconds') ?? -1) > 0);
    assert.deepEqual([at('taskfleet_schedules_without_next'), at('taskfleet_schedules_late')], [0, 0]);
    assert.ok((at('taskfleet_schedules') ?? 0) >= 1);
    assert.ok((at('taskfleet_redis_memory_used_bytes') ?? 0) > 100_000);
    assert.doesNotMatch(text, new RegExp(`${running.id}|foreign[^_]*"`));

    const [next = ''] = await fleet.client
      .zrange(`${keys.jobs('note')}repeat`, '0', '-1', 'WITHSCORES')
      .then(([id, due]) => [`repeat:${id}:${due}`]);
    await fleet.client.del(`${keys.jobs('note')}${next}`);
    assert.equal(samplesOf((await scrape(served)).text).get('taskfleet_schedules_without_next'), 1);
    call.returns();
  });

  it('reports an unavailable Redis within two seconds, and recovers with Redis', async (t) => {
    const own = await TestFleet.start();
    t.after(() => own.stop());
    const producer = own.producer();
    const served = await serveDashboard(producer);
    t.after(() => served.close());
    await producer.ping();
    const away = async (): Promise<void> => {
      const since = performance.now();
      const { status, text } = await scrape(served);
      const ms = performance.now() - since;
      assert.deepEqual([status, samplesOf(text).get('taskfleet_redis_up'), samplesOf(text).has('taskfleet_tasks_live')], [200, 0, false]);
      assert.ok(samplesOf(text).has('taskfleet_scrape_duration_seconds'));
      assert.ok(ms < 45_000, `${Math.round(ms)} ms`);
    };
    process.kill(own.redis.pid, 'SIGSTOP');
    await away().finally(() => process.kill(own.redis.pid, 'SIGCONT'));
    await until(
      () => scrape(served),
      ({ text }) => samplesOf(text).get('taskfleet_redis_up') === 1,
    );
    await own.redis.kill();
    await away();
    assert.deepEqual(
      served.logged.filter((line) => line.includes(String(own.redis.port))),
      [],
    );
  });

  it('omits only the unreadable part', async (t) => {
    const producer = fleet.producer();
    producer.schedules.list = () => Promise.reject(new Error('no reason'));
    const served = await serveDashboard(producer);
    t.after(() => served.close());
    const gauges = samplesOf((await scrape(served)).text);
    assert.deepEqual(
      [gauges.get('taskfleet_scrape_part_ok{part="schedules"}'), gauges.get('taskfleet_scrape_part_ok{part="queues"}')],
      [0, 1],
    );
    assert.deepEqual(
      [gauges.get('taskfleet_redis_up'), gauges.has('taskfleet_schedules'), gauges.get('taskfleet_tasks_live')],
      [1, false, 0],
    );
  });

  it('skips a key of the wrong type and counts it', async (t) => {
    const producer = fleet.producer();
    const { keys, counters } = producer.store;
    await fleet.client.set(keys.workers, 'not a sorted set');
    const served = await serveDashboard(producer);
    t.after(() => served.close());
    await scrape(served);
    await counters.flush();
    const gauges = samplesOf((await scrape(served)).text);
    assert.deepEqual([gauges.get('taskfleet_scrape_part_ok{part="workers"}'), gauges.get('taskfleet_workers')], [1, 0]);
    assert.equal(gauges.get('taskfleet_unreadable_records_total{kind="worker"}'), 1);
  });

  it('sends the same commands for any queue depth', async (t) => {
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const served = await serveDashboard(producer);
    t.after(() => served.close());
    const commands = async (): Promise<number> => {
      const watch = await fleet.monitor();
      await scrape(served);
      // Counters are flushed once a second.
      return (await watch.stop()).filter(
        (words) => words.some((word) => word.startsWith(`${keyPrefix}:`)) && !words.some((word) => word.includes(':metrics:')),
      ).length;
    };
    await producer.enqueue(note, {});
    await scrape(served);
    const few = await commands();
    await producer.enqueueMany(
      note,
      Array.from({ length: 1_000 }, () => ({ input: {} })),
    );
    assert.equal(await commands(), few);
  });

  it('has cumulative buckets, including counts of another version', async () => {
    const page = await formatSamples(
      samplesOfCounts({
        'wait|q|5': '2',
        'wait|q|7': '1',
        'wait|q|10': '4',
        'wait|q|inf': '1',
        'wait|q|sum': '9000',
        'of another version|x': '1',
        'wait|q': '7',
      }),
    );
    const buckets = valuesOf(page, 'taskfleet_task_wait_seconds_bucket');
    assert.deepEqual(
      [buckets['queue=q,le=0.005'], buckets['queue=q,le=0.01'], buckets['queue=q,le=3600'], buckets['queue=q,le=+Inf']],
      [2, 7, 7, 8],
    );
    assert.deepEqual(
      [valuesOf(page, 'taskfleet_task_wait_seconds_sum'), valuesOf(page, 'taskfleet_task_wait_seconds_count')],
      [{ 'queue=q': 9 }, { 'queue=q': 8 }],
    );
    assert.deepEqual(metricsOf(page), Object.keys(METRICS));
  });

  it('escapes labels', async () => {
    const page = await formatSamples([sample('taskfleet_stops_open', 1, { queue: 'a"b\\c\nd' })]);
    assert.ok(page.includes('taskfleet_stops_open{queue="a\\"b\\\\c\\nd"} 1'), page.slice(-200));
  });

  it('starts counters at 0', () => {
    const zeros = samplesOfCounts({ 'enqueued|q|n': '3' }).filter(({ value }) => value === 0);
    const names = new Set(zeros.map(({ metric, labels }) => `${metric} ${Object.values(labels).join(' ')}`));
    for (const one of [
      'taskfleet_tasks_finished_total q n failed',
      'taskfleet_stops_total cancelled kill',
      'taskfleet_reconciler_repairs_total removed',
    ])
      assert.ok(names.has(one), one);
  });

  it('is refused to callers with item patterns', async () => {
    const producer = fleet.producer();
    for (const [items, status] of [
      [null, 200],
      [['chat-*'], 403],
    ] as const) {
      const dashboard = createDashboard({ producer, auth: () => ({ name: 'p', role: 'viewer', items, via: 'token' }) });
      const served = await serve(express().use('/fleet', dashboard.router));
      assert.equal((await scrape(served)).status, status);
      await served.close();
    }
  });
});
