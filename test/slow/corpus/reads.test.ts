import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { checkFleet } from '../../../cli/doctor/fleet-checks.js';
import { checkRecords } from '../../../cli/doctor/record-checks.js';
import { Findings } from '../../../cli/doctor/record-checks.js';
import { Overview } from '../../../dashboard/overview/overview.js';
import type { Producer } from '../../../producer/index.js';
import { isFleetError } from '../../../shared/errors.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import { type BadKey, type Seeded, badKeys } from '../../corpus/corpus.js';
import { ITEM, seed, whileSpoilt } from '../../corpus/seeded-fleet.js';
import { TestDashboard } from '../../dashboard/test-dashboard.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { until } from '../../support/until.js';

/** `CORPUS=all`: every type for each key, and one corrupt key at a time. */
const EVERY = process.env['CORPUS'] === 'all';
/** The keys with garbage during one look. A key of a wrong type is alone: it hides others. */
const GARBAGE_AT_ONCE = EVERY ? 1 : 5;

/** Returns the corpus in groups of different keys. */
function grouped(all: readonly BadKey[]): BadKey[][] {
  const groups: BadKey[][] = [];
  for (const bad of all) {
    const fits = (group: BadKey[]): boolean => group.length < GARBAGE_AT_ONCE && group.every(({ key, hides }) => !hides && key !== bad.key);
    const group = bad.hides ? undefined : groups.find(fits);
    if (group) group.push(bad);
    else groups.push([bad]);
  }
  return groups;
}

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
      producer.list({ visibleItems: ['*'] }),
      ...['good', 'one-waiting', 'one-completed', 'one-failed', 'nobody', 'wait', 'meta', 'events'].map((id) => producer.get(id)),
      producer.hasActiveTasks(ITEM),
      producer.stopItem(ITEM, { dryRun: true }),
      producer.stop(['nobody', 'wait']),
      producer.schedules.list(),
      // The API caches its own.
      new Overview({ producer, store: producer.store, timeoutOf: () => null }).read(),
    ];
  }

  /** Calls about one key. */
  function readsOfOneKey(): Promise<unknown>[] {
    return [producer.usage.inUse(), producer.billing.plans()];
  }

  const PATHS = [
    ...['tasks', 'tasks/one-waiting', 'tasks/wait'].map((path) => `/api/v1/${path}`),
    ...['items/item-1/tasks', 'workers', 'schedules', 'stats', 'overview', 'history', 'audit', 'usage'].map((path) => `/api/v1/${path}`),
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
      PATHS.map(async (path) => ({
        path,
        // A busy machine may not reach Redis within the time that /readyz has.
        reply: await until(
          () => dashboard.send('GET', path, { token: dashboard.tokens.admin }),
          ({ text }) => !text.includes('did not answer in time'),
        ),
      })),
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
    for (const group of grouped(badKeys(producer.store.keys, seeded, EVERY))) {
      const lookAmid = group.reduce((work, bad) => () => whileSpoilt(fleet, bad, work), look);
      await lookAmid().catch((error: Error) => failures.push(error.message));
    }
    assert.equal(failures.join('\n'), '');
    const records = log.lines
      .filter(({ msg }) => msg.startsWith('Cannot read a record in Redis'))
      .map(({ key, id }) => JSON.stringify([key, id]));
    assert.ok(records.length > 0);
    assert.equal(new Set(records).size, records.length, 'one line for each record');
  });
});
