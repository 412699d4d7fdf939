import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Command } from 'ioredis';
import { z } from 'zod';
import type { FleetStatus } from '../../../dashboard/api/routes/status.js';
import type { HistoryBody, OverviewBody } from '../../../dashboard/api/schemas/overview.js';
import { Overview } from '../../../dashboard/overview/overview.js';
import type { Producer } from '../../../producer/index.js';
import { type Keys } from '../../../shared/keys.js';
import { defineTask } from '../../../shared/task/definition.js';
import { defineHandler } from '../../../shared/task/handler.js';
import type { FleetWorker } from '../../../worker/worker.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';
import { type ServedApi, serveApi } from '../api/serve-api.js';

const fleet = await TestFleet.start();
const keyPrefix = fleet.newPrefix();
const keys: Keys = fleet.keys(keyPrefix);
const task = new ScriptedTask('report.write');
const pay = defineTask({ name: 'pay.send', input: z.object({ error: z.string().nullable() }), retention: KEEP });
const paying = defineHandler(pay, ({ input: { error } }) => {
  if (error !== null) throw new Error(error);
  return Promise.resolve(null);
});
let producer: Producer;
let api: ServedApi;
let worker: FleetWorker;
const startWorker = (): Promise<FleetWorker> =>
  // The reconciler would repair the records that a test spoils, and a poll would find its stop.
  fleet.worker(keyPrefix, [task.handler, paying], { heartbeatMs: 2_000, reconcileMs: 3_600_000, stopPollMs: 60_000 });
before(async () => {
  producer = fleet.producer({ keyPrefix });
  api = await serveApi({ producer, definitions: [task.definition, pay] });
  worker = await startWorker();
});
after(async () => {
  await api.close();
  await fleet.stop();
});

/** Reads without the cache of the API. */
const read = async (): Promise<OverviewBody> =>
  JSON.parse(JSON.stringify(await new Overview({ producer, store: producer.store, timeoutOf: () => null }).read())) as OverviewBody;
const history = async (query: string): Promise<HistoryBody> => (await api.send('GET', `/history${query}`)).body as HistoryBody;

test('the overview counts tasks, and names the failures with their most common error', async () => {
  const { id: running } = await producer.enqueue(task.definition, null);
  const call = await task.call();
  const errors = ['card 17 declined', 'card 18 declined', 'no route to bank', null];
  const ids = await Promise.all(errors.map(async (error) => (await producer.enqueue(pay, { error })).id));
  await producer.enqueue(pay, { error: null }, { delay: 3_600_000 });
  const {
    failures,
    states,
    workers,
    queues,
    last_hour: hour,
  } = await until(read, ({ last_hour: ended, workers: { busy } }) => ended.completed === 1 && ended.failed === 3 && busy > 0);
  const [of, ...others] = failures;
  assert.deepEqual([others, of?.name, of?.failed, of?.kept, of?.sampled], [[], 'pay.send', 3, 3, 3]);
  assert.deepEqual(
    of?.errors.map(({ error, count }) => [error, count]),
    [
      ['card N declined', 2],
      ['no route to bank', 1],
    ],
  );
  const example = of?.errors[0];
  const shown = await producer.get(example?.task ?? '');
  assert.ok(ids.includes(shown?.id ?? '') && shown?.error === example?.example, `${shown?.error} is not ${example?.example}`);
  assert.deepEqual([states.running, states.scheduled, states.completed, states.failed, states.queued], [1, 1, 1, 3, 0]);
  assert.deepEqual(
    queues
      .filter(({ completed, failed, running: run }) => completed + failed + run > 0)
      .map(({ name, running: run, failed }) => [name, run, failed]),
    [
      ['pay', 0, 3],
      ['report', 1, 0],
    ],
  );
  assert.deepEqual([workers.alive, workers.silent, workers.busy > 0, hour.run_p50_ms === null], [1, 0, true, hour.run_p50_ms === null]);
  const { failed_last_hour: failed } = (await api.send('GET', '/status')).body as FleetStatus;
  assert.equal(failed, 3);
  call.returns();
  await producer.result(running);
});

test('the history has the tasks of every range, of all names or one', async () => {
  // A worker sends its last counts when it stops.
  await worker.stop();
  worker = await startWorker();
  for (const [range, length] of [
    ['1h', 60],
    ['24h', 144],
    ['7d', 168],
  ] as const) {
    const { points, total, step_s: step, names } = await history(`?range=${range}&name=pay.send`);
    assert.deepEqual(
      [points.length, total.failed, total.completed, step * length],
      [length, 3, 1, { '1h': 3_600, '24h': 86_400, '7d': 604_800 }[range]],
    );
    assert.ok(names.some(({ name }) => name === 'report.write'));
    assert.ok((total.wait_p95_ms ?? -1) >= 1 && (total.run_p95_ms ?? -1) >= (total.run_p50_ms ?? 0));
  }
  const { name, total } = await history('');
  assert.deepEqual([name, total.completed], [null, 2]);
  assert.equal((await api.send('GET', '/history?range=2h')).status, 400);
});

test('a paused queue and its oldest task are shown', async () => {
  await producer.queues.pause('pay', { by: 'ann', reason: 'bank is down' });
  const { id } = await producer.enqueue(pay, { error: null });
  const { attention, oldest_wait: oldest, queues } = await until(read, ({ oldest_wait: wait }) => wait !== null);
  assert.deepEqual([oldest?.queue, oldest?.task, oldest?.name], ['pay', id, 'pay.send']);
  assert.equal(queues.find(({ name }) => name === 'pay')?.paused, true);
  assert.match(
    attention.find(({ kind }) => kind === 'paused_queue')?.text ?? '',
    /^Queue pay has been paused by ann for \d+ s \(bank is down\); 1 task waits$/,
  );
  await producer.queues.resume('pay');
  await producer.result(id);
});

test('a task that runs for long, and a stop that does not settle, need attention', async () => {
  const { id } = await producer.enqueue(task.definition, null);
  const call = await task.call(1);
  const job = keys.jobs('report') + id;
  await fleet.client.hset(job, 'processedOn', Date.now() - 2 * 3_600_000);
  const { attention: slow } = await read();
  assert.deepEqual(
    slow.filter(({ kind }) => kind === 'slow_task').map(({ text, link }) => [text, link]),
    [['A task of report.write has been running for 2 h', `/tasks/${id}`]],
  );
  await fleet.client.hset(job, 'stop', JSON.stringify({ reason: 'x', by: null, at: Date.now() - 60_000 }));
  const { attention: stopping, stops } = await read();
  assert.deepEqual(
    [stopping.find(({ kind }) => kind === 'slow_stop')?.link, stops.open, (stops.oldest_open_ms ?? 0) >= 60_000],
    [`/tasks/${id}`, 1, true],
  );
  await fleet.client.hdel(job, 'stop');
  call.returns();
  await producer.result(id);
});

test('the number of commands does not grow with the tasks, and callers share a reading', async () => {
  const { redis } = producer.store;
  const send = redis.sendCommand.bind(redis);
  let sent = 0;
  const counting: typeof send = (...words: [command: Command]) => {
    sent += 1;
    return send(...words);
  };
  Object.assign(redis, { sendCommand: counting });
  const commands = async (callers: number): Promise<number> => {
    const overview = new Overview({ producer, store: producer.store, timeoutOf: () => null });
    const start = sent;
    await Promise.all(Array.from({ length: callers }, () => overview.read()));
    return sent - start;
  };
  const few = await commands(1);
  await producer.enqueueMany(
    pay,
    Array.from({ length: 300 }, (_, index) => ({ input: { error: `card ${index} declined` } })),
  );
  await producer.enqueueMany(
    pay,
    Array.from({ length: 300 }, () => ({ input: { error: null }, options: { delay: 3_600_000 } })),
  );
  const { failures } = await until(read, ({ states, last_hour: { failed } }) => states.failed === 303 && failed === 303);
  assert.deepEqual([failures[0]?.failed, failures[0]?.sampled, failures[0]?.errors[0]?.count], [303, 50, 50]);
  const many = await commands(20);
  // The process also counts, and learns what others know of the fleet.
  assert.ok(many <= few + 5, `${many} commands instead of ${few}`);
  Object.assign(redis, { sendCommand: send });
});

test('unreadable records are left out', async () => {
  const failed = keys.kept('pay', 'failed', 'pay.send');
  const [latest = ''] = await fleet.client.zrange(failed, '+inf', '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 1);
  await fleet.client.set(`${keys.jobs('pay')}odd`, 'no job');
  await fleet.client.zadd(failed, Date.now(), 'odd', Date.now(), 'gone');
  await fleet.client.hset(keys.jobs('pay') + latest, 'failedReason', `\u0000\n${'x'.repeat(100_000)}`);
  await fleet.client.lpush(`${keys.jobs('report')}active`, 'odd', 'gone');
  await fleet.client.set(`${keys.jobs('elsewhere')}active`, 'no list');
  await fleet.client.set(keys.keptLimits('elsewhere'), 'no hash');
  await fleet.client.sadd(keys.queues, 'elsewhere');
  await fleet.client.hset(keys.worker('odd'), { host: 'h', running: '{not json' });
  await fleet.client.zadd(keys.workers, Date.now(), 'odd');
  await fleet.client.set(keys.losses, 'no list');
  await fleet.client.hset(keys.reconcile, 'at', 'yesterday');
  const { failures, attention } = await read();
  assert.deepEqual([failures[0]?.kept, failures[0]?.sampled], [305, 48]);
  assert.ok(attention.some(({ kind, text }) => kind === 'unreadable_queue' && text.includes('elsewhere')));
  for (const path of ['/overview', '/history']) assert.equal((await api.send('GET', path)).status, 200, path);
  await fleet.client.lrem(`${keys.jobs('report')}active`, 0, 'gone');
  await fleet.client.lrem(`${keys.jobs('report')}active`, 0, 'odd');
});

test('callers with item patterns see no figures of the fleet', async () => {
  for (const path of ['/overview', '/history']) {
    const { status, body } = await api.send('GET', path, { as: 'guest' });
    assert.deepEqual([status, (body as { code: string }).code], [403, 'FORBIDDEN']);
    assert.equal((await api.send('GET', path, { as: 'viewer' })).status, 200);
  }
});
