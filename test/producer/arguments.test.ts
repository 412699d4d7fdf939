import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { createDashboard } from '../../dashboard/index.js';
import { defineHandler, defineTask, fleetCanary } from '../../index.js';
import { type Producer, createProducer } from '../../producer/index.js';
import { type ErrorCode, isFleetError } from '../../shared/errors.js';
import { createWorker } from '../../worker/index.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';

/** Values that untyped code may pass by mistake. */
const BAD: readonly unknown[] = [
  null,
  7,
  -1,
  NaN,
  '',
  'x y',
  true,
  Symbol('s'),
  10n,
  () => 1,
  [],
  [null],
  [[]],
  {},
  Object.create(null),
  new Date(NaN),
  { id: null },
  { signal: 7 },
  { limit: Symbol('s') },
];
const OK: readonly ErrorCode[] = [
  'INVALID_ID',
  'INVALID_ITEM',
  'INVALID_OPTION',
  'INVALID_INPUT',
  'INVALID_DEFINITION',
  'TASK_NOT_FOUND',
  'SCHEDULE_NOT_FOUND',
  'TASK_NOT_RETRYABLE',
  'ITEM_BUSY',
];

type Call = (bad: never) => unknown;
/** Each argument of each public method in turn; the others are valid. */
const CALLS: Readonly<Record<string, (producer: Producer) => readonly Call[]>> = {
  enqueue: (producer) => [
    (bad) => producer.enqueue(bad, {}),
    (bad) => producer.enqueue(fleetCanary, bad, { delay: 60_000 }),
    (bad) => producer.enqueue(fleetCanary, {}, bad),
  ],
  'enqueue, each option': (producer) =>
    ['item', 'id', 'delay', 'priority', 'deadline', 'onBusy'].map((name) => (bad) => producer.enqueue(fleetCanary, {}, { [name]: bad })),
  enqueueMany: (producer) => [
    (bad) => producer.enqueueMany(bad, []),
    (bad) => producer.enqueueMany(fleetCanary, bad),
    (bad) => producer.enqueueMany(fleetCanary, [bad]),
  ],
  enqueueChild: (producer) => [
    (bad) => producer.enqueueChild({ queue: 'fleet', id: 'p', item: '' }, bad, {}, {}),
    (bad) => producer.enqueueChild({ queue: 'fleet', id: 'p', item: '' }, fleetCanary, {}, bad),
  ],
  get: (producer) => [(bad) => producer.get(bad)],
  list: (producer) => [
    (bad) => producer.list(bad),
    ...['item', 'state', 'name', 'queue', 'tag', 'worker', 'error', 'enqueuedAfter', 'finishedBefore', 'olderThanMs', 'search'].map(
      (name): Call =>
        (bad) =>
          producer.list({ [name]: bad }),
    ),
    ...['order', 'visibleItems', 'after', 'limit'].map(
      (name): Call =>
        (bad) =>
          producer.list({ [name]: bad }),
    ),
  ],
  count: (producer) => [
    (bad) => producer.count(bad),
    (bad) => producer.count({ name: bad }),
    (bad) => producer.count({}, bad),
    (bad) => producer.count({}, { atMost: bad }),
  ],
  hasActiveTasks: (producer) => [(bad) => producer.hasActiveTasks(bad)],
  stop: (producer) => [
    (bad) => producer.stop(bad),
    (bad) => producer.stop([bad]),
    (bad) => producer.stop('one', bad),
    ...['reason', 'by', 'waitMs'].map(
      (name): Call =>
        (bad) =>
          producer.stop('one', { [name]: bad }),
    ),
  ],
  stopItem: (producer) => [
    (bad) => producer.stopItem(bad),
    (bad) => producer.stopItem('item', bad),
    (bad) => producer.stopItem('item', { dryRun: true, reason: bad }),
  ],
  retry: (producer) => [(bad) => producer.retry(bad), (bad) => producer.retry([bad])],
  result: (producer) => [
    (bad) => producer.result(bad),
    (bad) => producer.result('nobody', bad),
    (bad) => producer.result('nobody', { timeoutMs: bad }),
    (bad) => producer.result('nobody', { signal: bad }),
  ],
  waitUntilFinished: (producer) => [(bad) => producer.waitUntilFinished(bad), (bad) => producer.waitUntilFinished('nobody', bad)],
  events: (producer) => [
    (bad) => producer.events(bad).next(),
    (bad) => producer.events('nobody', bad).next(),
    (bad) => producer.events('nobody', { after: bad }).next(),
  ],
  logs: (producer) => [
    (bad) => producer.logs(bad).next(),
    (bad) => producer.logs('nobody', bad).next(),
    (bad) => producer.logs('nobody', { after: bad }).next(),
    (bad) => producer.logs('nobody', { limit: bad }).next(),
    (bad) => producer.logs('nobody', { signal: bad }).next(),
  ],
  logPage: (producer) => [
    (bad) => producer.logPage(bad),
    (bad) => producer.logPage('nobody', bad),
    (bad) => producer.logPage('nobody', { after: bad, limit: bad }),
  ],
  'schedules.upsert': ({ schedules }) => [
    (bad) => schedules.upsert(bad, fleetCanary, {}, { every: 60_000 }),
    (bad) => schedules.upsert('nightly', bad, {}, { every: 60_000 }),
    (bad) => schedules.upsert('nightly', fleetCanary, bad, { every: 60_000 }),
    (bad) => schedules.upsert('nightly', fleetCanary, {}, bad),
    ...['every', 'cron', 'timeZone', 'jitter', 'overlap', 'item'].map(
      (name): Call =>
        (bad) =>
          schedules.upsert('nightly', fleetCanary, {}, { [name]: bad }),
    ),
  ],
  'schedules.remove': ({ schedules }) => [(bad) => schedules.remove(bad)],
  'schedules.runNow': ({ schedules }) => [(bad) => schedules.runNow(bad)],
  'usage.touch': ({ usage }) => [(bad) => usage.touch(bad, 'session'), (bad) => usage.touch('model', bad)],
};

describe('arguments from untyped code', () => {
  let fleet: TestFleet;
  let producer: Producer;
  before(async () => {
    fleet = await TestFleet.start();
    producer = fleet.producer();
    await producer.enqueue(fleetCanary, { run_ms: 60_000 }, { id: 'one' });
  });
  after(() => fleet.stop());

  for (const [name, calls] of Object.entries(CALLS)) {
    test(`to ${name} are accepted or refused with a FleetError`, async () => {
      for (const [at, call] of calls(producer).entries()) {
        for (const bad of BAD) {
          try {
            await call(bad as never);
          } catch (error) {
            assert.ok(isFleetError(error, ...OK), `argument ${at}, ${typeof bad}: ${error instanceof Error ? error.stack : 'no error'}`);
          }
        }
      }
    });
  }

  test('null is refused as an argument, and undefined counts as omitted', async () => {
    const refuses = (code: ErrorCode, work: () => Promise<unknown>): Promise<void> =>
      assert.rejects(work, (error) => isFleetError(error, code));
    await refuses('INVALID_OPTION', () => producer.list(null as never));
    await refuses('INVALID_OPTION', () => producer.stop('one', null as never));
    await refuses('INVALID_OPTION', () => producer.enqueue(fleetCanary, {}, null as never));
    await refuses('INVALID_DEFINITION', () => producer.enqueue(null as never, {}));
    await refuses('INVALID_ID', () => producer.get(null as never));
    await refuses('INVALID_OPTION', () => producer.result('one', null as never));
    await refuses('INVALID_OPTION', () => producer.events('one', null as never).next());
    assert.ok((await producer.list(undefined)).tasks.length > 0);
  });
});

test('factories of producers, workers, dashboards, tasks and handlers refuse invalid settings with a code', async () => {
  const task = defineTask({ name: 'a.task', input: z.unknown(), retention: KEEP });
  const redisUrl = 'redis://127.0.0.1:1';
  const makers: Readonly<Record<string, readonly [codes: readonly ErrorCode[], calls: readonly Call[]]>> = {
    createProducer: [
      ['INVALID_SETTINGS'],
      [
        (bad) => createProducer(bad),
        (bad) => createProducer({ redisUrl: bad }),
        (bad) => createProducer({ redisUrl, maxInputBytes: bad }),
        (bad) => createProducer({ redisUrl, loggers: bad }),
      ],
    ],
    createWorker: [
      ['INVALID_SETTINGS', 'INVALID_DEFINITION', 'INVALID_TASK_MODULE'],
      [
        (bad) => createWorker(bad),
        (bad) => createWorker({ redisUrl: bad }),
        (bad) => createWorker({ redisUrl, handlers: bad }),
        (bad) => createWorker({ redisUrl, loggers: bad }),
        (bad) => createWorker({ redisUrl, handlers: [bad] }),
        (bad) => createWorker({ redisUrl, producer: bad }),
        (bad) => createWorker({ redisUrl, taskModules: bad }),
      ],
    ],
    createDashboard: [
      ['INVALID_SETTINGS', 'INVALID_DEFINITION'],
      [
        (bad) => createDashboard(bad),
        (bad) => createDashboard({ producer: bad, auth: false }),
        (bad) => createDashboard({ producer: { ping: () => 1 } as never, auth: bad }),
        (bad) => createDashboard({ producer: { ping: () => 1 } as never, auth: false, loggers: bad }),
      ],
    ],
    defineTask: [['INVALID_DEFINITION'], [(bad) => defineTask(bad)]],
    defineHandler: [
      ['INVALID_DEFINITION'],
      [(bad) => defineHandler(bad, () => 1), (bad) => defineHandler(task, bad), (bad) => defineHandler(task, () => 1, bad)],
    ],
  };
  for (const [name, [codes, calls]] of Object.entries(makers)) {
    for (const [at, call] of calls.entries()) {
      for (const bad of BAD) {
        try {
          const made = (await call(bad as never)) as { close?: () => Promise<void> } | undefined;
          await made?.close?.();
        } catch (error) {
          assert.ok(
            isFleetError(error, ...codes),
            `${name}, argument ${at}, ${typeof bad}: ${error instanceof Error ? error.stack : 'no error'}`,
          );
        }
      }
    }
  }
  await assert.rejects(
    createWorker({
      redisUrl,
      handlers: [defineHandler(defineTask({ name: 'maintenance.mine', input: z.unknown(), retention: KEEP }), () => 1)],
    }),
    /The queue maintenance of task .* is reserved/,
  );
});
