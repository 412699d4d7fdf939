import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Producer } from '../../../../producer/index.js';
import { readBulk, readReceipts } from '../../../../shared/bulk/redis-journal.js';
import { filterToJson } from '../../../../shared/task/filter/filter-json.js';
import type { TaskFilter } from '../../../../shared/task/filter/filter.js';
import { BULK_DEFINITIONS, type BulkInput } from '../../../../worker/builtin/definitions.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

const task = new ScriptedTask('invoice.send');

/** The input that the dashboard makes. */
function inputOf(filter: TaskFilter | null, more: Partial<BulkInput> = {}): BulkInput {
  const caller = { key: 'k', target: 'all', audit: { name: 'bob' } };
  const stored = filter && (filterToJson(filter) as Record<string, string>);
  return { filter: stored, ids: null, reason: null, by: 'bob', visible_items: null, caller, ...more };
}

async function setUp(many: number) {
  const keyPrefix = fleet.newPrefix();
  const producer = fleet.producer({ keyPrefix });
  const tasks = Array.from({ length: many }, () => ({ input: 1, tags: ['tenant:7'] }));
  const ids = (await producer.enqueueMany(task.definition, tasks)).map(({ id }) => id);
  return { keyPrefix, producer, store: fleet.store({ keyPrefix }), ids };
}

const inState = async (producer: Producer, state: 'cancelled' | 'queued' | 'failed'): Promise<number> =>
  (await producer.count({ state })).count;
const audited = async (keyPrefix: string): Promise<string[]> =>
  (await fleet.client.xrange(fleet.keys(keyPrefix).audit, '-', '+')).map(([, fields]) => fields[fields.indexOf('result') + 1] as string);

test('another worker continues a bulk, and each task has one receipt', async () => {
  const { keyPrefix, producer, store, ids } = await setUp(1_100);
  const { id } = await producer.enqueue(BULK_DEFINITIONS.stop, inputOf({ state: 'live', tag: 'tenant:7' }), { id: 'bulk.one' });
  const first = await fleet.worker(keyPrefix, []);
  const begun = await until(
    () => readBulk(store, id, 'stop'),
    ({ done }) => done > 0,
  );
  // A shutdown requeues the bulk between two pages.
  await first.stop();
  assert.ok(begun.done < 1_100);
  await fleet.worker(keyPrefix, []);
  assert.deepEqual(await producer.result(id), { matched: 1_100, outcomes: { cancelled: 1_100, requested: 0, finished: 0, not_found: 0 } });
  const { receipts, more } = await readReceipts(store, { id, action: 'stop', from: 0, limit: 1_200 });
  assert.deepEqual([receipts.length, more, new Set(receipts.map((receipt) => receipt.id))], [1_100, false, new Set(ids)]);
  assert.equal(await inState(producer, 'cancelled'), 1_100);
  assert.deepEqual((await producer.get(id))?.progress, {
    ...{ total: 1_100, done: 1_100, outcomes: { cancelled: 1_100, requested: 0, finished: 0, not_found: 0 } },
  });
  assert.deepEqual(await audited(keyPrefix), ['bulk.one completed: 1,100 tasks: 1,100 cancelled']);
});

test('a page that a dead worker began is done again, and its tasks have receipts', async () => {
  const { keyPrefix, producer, store, ids } = await setUp(3);
  await producer.stop(ids);
  const [one = '', two = '', three = ''] = ids;
  const journal = { run: 'dead', page: JSON.stringify([one, two]), after: '', last: '1', done: '1', total: '3', outcomes: '{"retried":1}' };
  await fleet.client.hset(fleet.keys(keyPrefix).bulk('bulk.two'), journal);
  // The dead worker had retried the first one of the page.
  const key = fleet.keys(keyPrefix).jobs('invoice') + one;
  await fleet.client.hset(
    key,
    'opts',
    JSON.stringify({ ...JSON.parse((await fleet.client.hget(key, 'opts')) ?? ''), retriedBy: 'bulk.two' }),
  );
  await fleet.worker(keyPrefix, []);
  await producer.enqueue(BULK_DEFINITIONS.retry, inputOf({ state: 'cancelled', tag: 'tenant:7' }), { id: 'bulk.two' });
  const outcomes = { retried: 3, not_retryable: 0, not_found: 0 };
  assert.deepEqual(await producer.result('bulk.two'), { matched: 3, outcomes });
  const states = await Promise.all([one, two, three].map(async (id) => (await producer.get(id))?.state));
  assert.deepEqual(states, ['cancelled', 'queued', 'cancelled'], 'the first had been retried, and the third was on no page left');
  const { receipts } = await readReceipts(store, { id: 'bulk.two', action: 'retry', from: 0, limit: 10 });
  assert.deepEqual(
    receipts.map(({ id, outcome }) => [id, outcome]),
    [
      [one, 'retried'],
      [two, 'retried'],
    ],
  );
});

test('a stop ends a bulk between two pages, and a retry of the bulk continues it', async () => {
  const { keyPrefix, producer, store } = await setUp(1_100);
  await fleet.worker(keyPrefix, [], { stopGraceMs: 30_000 });
  const { id } = await producer.enqueue(BULK_DEFINITIONS.stop, inputOf({ state: 'live', name: 'invoice.send' }), { id: 'bulk.three' });
  await until(
    () => readBulk(store, id, 'stop'),
    ({ done }) => done > 0,
  );
  const receipt = await producer.stop(id, { waitMs: 60_000, by: 'eve' });
  assert.deepEqual([receipt.outcome, receipt.via], ['cancelled', 'signal']);
  const { done } = await readBulk(store, id, 'stop');
  assert.ok(done < 1_100, `${done}`);
  assert.equal(await inState(producer, 'cancelled'), done + 1, 'the bulk too');
  await producer.retry(id);
  assert.deepEqual((await producer.result<{ matched: number }>(id)).matched, 1_100);
  assert.deepEqual(
    (await audited(keyPrefix)).map((result) => result.replace(/: [\d,]+ tasks: [\d,]+/, ': n')),
    ['bulk.three stopped: n cancelled', 'bulk.three completed: n cancelled'],
  );
});

test('a bulk leaves itself and other bulks out, and a run that lost its journal writes nothing', async () => {
  const { keyPrefix, producer, store } = await setUp(2);
  await producer.enqueue(BULK_DEFINITIONS.retry, inputOf({ state: 'failed', name: 'x' }), { id: 'bulk.other', delay: 3_600_000 });
  const worker = await fleet.worker(keyPrefix, []);
  const { id } = await producer.enqueue(BULK_DEFINITIONS.stop, inputOf({ state: 'live' }), { id: 'bulk.all' });
  assert.deepEqual((await producer.result<{ matched: number }>(id)).matched, 2);
  assert.equal((await producer.get('bulk.other'))?.state, 'scheduled');
  const { redis, keys } = store;
  const journal = keys.bulk(id);
  const write = (run: string, taking: 0 | 1): Promise<0 | 1> =>
    redis.writeBulk(journal, `${journal}:receipts`, run, taking, 60_000, 3, 2, 'done', 99, '{"id":"late"}', '{"id":"later"}');
  assert.equal(await write('frozen', 0), 0);
  assert.deepEqual([await redis.hget(journal, 'done'), await redis.llen(`${journal}:receipts`)], ['2', 2]);
  assert.equal(await write('next', 1), 1);
  assert.deepEqual([await redis.hget(journal, 'done'), await redis.llen(`${journal}:receipts`)], ['99', 3], 'receipts are bounded');
  assert.ok((await redis.pttl(journal)) > 0 && (await redis.pttl(`${journal}:receipts`)) > 0);
  await worker.stop();
});

test('the journal is written while Redis is out of memory', async () => {
  const { redis, keys } = fleet.store();
  const write = (id: string) =>
    redis.writeBulk(keys.bulk(id), keys.bulk(`${id}:receipts`), 'run', 1, 60_000, 9, 2, 'done', 1, '{"id":"a"}');
  assert.equal(await write('before'), 1);
  const limit = (bytes: string) => fleet.onEach((client) => client.config('SET', 'maxmemory', bytes));
  await limit('1');
  try {
    await assert.rejects(redis.hset(keys.bulk('before'), 'done', 2), /OOM/);
    assert.deepEqual([await write('before'), await write('new')], [1, 1]);
  } finally {
    await limit('0');
  }
});
