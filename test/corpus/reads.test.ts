import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { checkFleet } from '../../cli/doctor/fleet-checks.js';
import { checkRecords } from '../../cli/doctor/record-checks.js';
import { Findings } from '../../cli/doctor/record-checks.js';
import type { Producer } from '../../producer/index.js';
import { isFleetError } from '../../shared/errors.js';
import { resolveSettings } from '../../shared/settings/settings.js';
import { TestDashboard } from '../dashboard/test-dashboard.js';
import { LogLines } from '../support/fleet/log-lines.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { type Seeded, badKeys } from './corpus.js';
import { ITEM, seed, whileSpoilt } from './seeded-fleet.js';

/** `CORPUS=all`: every type for each key. */
const EVERY = process.env['CORPUS'] === 'all';

describe('A corrupt record affects no other record in reads', () => {
  let fleet: TestFleet;
  let producer: Producer;
  let dashboard: TestDashboard;
  let seeded: Seeded;
  const log = new LogLines();
  const settings = resolveSettings({});

  before(async () => {
    fleet = await TestFleet.onOneServer();
    producer = fleet.producer({ loggers: log.loggers });
    dashboard = await TestDashboard.start(producer);
    seeded = await seed(fleet, producer);
  });
  after(async () => {
    await dashboard.stop();
    await fleet.stop();
  });

  /** Calls that read everything; each must resolve. */
  function reads(): Promise<unknown>[] {
    return [
      producer.list({ limit: 1_000 }),
      ...(['completed', 'failed', 'unreadable'] as const).map((state) => producer.list({ state })),
      producer.list({ item: ITEM }),
      producer.list({ sees: () => true }),
      ...['good', 'one-waiting', 'one-completed', 'one-failed', 'nobody', 'wait', 'meta', 'events'].map((id) => producer.get(id)),
      producer.hasActiveTasks(ITEM),
      producer.stopItem(ITEM, { dryRun: true }),
      producer.stop(['nobody', 'wait']),
      producer.schedules.list(),
    ];
  }

  /** Calls about one key. */
  function readsOfOneKey(): Promise<unknown>[] {
    return [producer.usage.inUse(), producer.billing.plans()];
  }

  const PATHS = [
    ...['tasks', 'tasks/one-waiting', 'tasks/wait'].map((path) => `/api/v1/${path}`),
    ...['items/item-1/tasks', 'workers', 'schedules', 'stats', 'audit', 'usage'].map((path) => `/api/v1/${path}`),
    ...[
      '/api/tasks',
      '/api/tasks/chat/item-1',
      '/readyz',
      '/metrics',
      '/board/api/queues?activeQueue=corpus&status=latest',
      '/board/api/queues/corpus/one-failed',
    ],
  ];

  async function look(): Promise<void> {
    const settled = await Promise.allSettled(reads());
    for (const [index, one] of settled.entries()) if (one.status === 'rejected') throw new Error(`call ${index}: ${String(one.reason)}`);
    for (const one of await Promise.allSettled(readsOfOneKey()))
      assert.ok(one.status === 'fulfilled' || isFleetError(one.reason), String((one as PromiseRejectedResult).reason));
    const replies = await Promise.all(
      PATHS.map(async (path) => ({ path, reply: await dashboard.send('GET', path, { token: dashboard.tokens.admin }) })),
    );
    for (const { path, reply } of replies) assert.ok(reply.status < 500, `${path}: ${reply.status} ${reply.text.slice(0, 200)}`);
    const { keys, redis } = producer.store;
    const found = new Findings();
    await checkFleet({ redis, keys, unreadable: found }, settings);
    const records = await checkRecords({ redis, keys, unreadable: found });
    for (const { level, advice } of records)
      if (level !== 'ok' && !advice?.startsWith('redis-cli ')) throw new Error(`doctor prints no command: ${advice}`);
    const page = replies.find(({ path }) => path === '/metrics')?.reply.text ?? '';
    const odd = page.split('\n').filter((line) => /^taskfleet_(?!dashboard_)/.test(line) && /part_ok\{.*\} 0$|nan$|inf$/i.test(line));
    if (odd.length > 0) throw new Error(`/metrics: ${odd.join(', ')}`);
  }

  it('every list, page and look-up works with each record of the corpus', async () => {
    const failures: string[] = [];
    // Without corruption, everything is readable.
    await look();
    assert.deepEqual(log.find(/^Cannot read a record/), []);
    for (const bad of badKeys(producer.store.keys, seeded, EVERY)) {
      await whileSpoilt(fleet, bad, look).catch((error: Error) => failures.push(error.message));
    }
    assert.equal(failures.join('\n'), '');
    const records = log.lines
      .filter(({ msg }) => msg.startsWith('Cannot read a record in Redis'))
      .map(({ key, id }) => JSON.stringify([key, id]));
    assert.ok(records.length > 0);
    assert.equal(new Set(records).size, records.length, 'one line for each record');
  });
});
