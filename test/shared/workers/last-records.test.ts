import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Store } from '../../../shared/store.js';
import { readLastRecords, trimLastRecords, writeLastLine } from '../../../shared/workers/last-records.js';
import { readWorkerList } from '../../../shared/workers/worker-view.js';
import { LogLines } from '../../support/fleet/log-lines.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { until } from '../../support/until.js';

const NOBODY: ReadonlySet<string> = new Set();

describe('The records of dead workers', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  async function newStore(): Promise<Store> {
    const store = fleet.store();
    await store.redis.ping();
    return store;
  }

  it('have the last words that the process could leave', async () => {
    const store = await newStore();
    const records: readonly (readonly [fields: Record<string, string | number>, words: string | null])[] = [
      [{}, null],
      [{ line: 'Uncaught exception', line_level: 'fatal', line_age_ms: 90_000 }, 'Uncaught exception'],
      [{ line: 'Could not write', line_level: 'error', line_age_ms: 59_000 }, 'Could not write'],
      [{ line: 'Could not write', line_level: 'error', line_age_ms: 61_000 }, null],
      [{ heap_bytes: 96 * 1_048_576, heap_limit_bytes: 100 * 1_048_576 }, 'heartbeats stopped; its heap was almost full (96 of 100 MB)'],
      [{ heap_bytes: 50 * 1_048_576, heap_limit_bytes: 100 * 1_048_576 }, null],
    ];
    for (const [index, [fields]] of records.entries()) {
      await store.redis.zadd(store.keys.lastWorkers, 1_000 - index, `w${index}`);
      await store.redis.hset(store.keys.lastWorker(`w${index}`), { host: 'h', ...fields });
    }
    const read = await readLastRecords(store, NOBODY);
    assert.deepEqual(
      read.map(({ worker, words }) => [worker.id, words]),
      records.map(([, words], index) => [`w${index}`, words]),
    );
    const { workers } = await readWorkerList(store);
    assert.deepEqual([workers[0]?.alive, workers[0]?.lastWords, workers[0]?.host], [false, 'heartbeats stopped', 'h']);
    await writeLastLine(store, 'w0', 'the end');
    assert.equal((await readLastRecords(store, NOBODY))[0]?.words, 'the end');
  });

  it('are read although some are garbage', async () => {
    const store = await newStore();
    const { redis, keys } = store;
    await redis.zadd(keys.lastWorkers, 5, 'gone', 4, 'list', 3, 'odd', 2, '\0\n', 1, 'fine');
    await redis.lpush(keys.lastWorker('list'), 'a list');
    await redis.hset(keys.lastWorker('odd'), {
      pid: 'x',
      running: '{}',
      beat_at: 'soon',
      definitions: '7',
      heap_bytes: '-1',
      line_age_ms: 'x',
    });
    await redis.hset(keys.lastWorker('\0\n'), { host: '\0' });
    await redis.hset(keys.lastWorker('fine'), { host: 'h', pid: 7, running: '["t1"]' });
    const records = await readLastRecords(store, NOBODY);
    assert.deepEqual(
      records.map(({ worker: { id, pid, running }, words }) => ({ id, pid, running, words })),
      [
        { id: 'odd', pid: null, running: [], words: null },
        { id: '\0\n', pid: null, running: [], words: null },
        { id: 'fine', pid: 7, running: ['t1'], words: null },
      ],
    );
    assert.match(records[0]?.worker.problem ?? '', /pid: expected a whole number/);
    await trimLastRecords(store);
    await redis.del(keys.lastWorkers);
    await redis.set(keys.lastWorkers, 'no sorted set');
    await redis.set(keys.workerDrains, 'no hash');
    const { workers } = await readWorkerList(store);
    assert.deepEqual(workers, []);
  });

  it('are at most 200; a worker that starts removes the oldest, and drains of workers that are gone', async () => {
    const keyPrefix = fleet.newPrefix();
    const keys = fleet.keys(keyPrefix);
    const pipeline = fleet.client.pipeline();
    for (let index = 0; index < 205; index += 1)
      pipeline.zadd(keys.lastWorkers, Date.now() - 60_000 + index, `w${index}`).hset(keys.lastWorker(`w${index}`), { host: 'h' });
    await pipeline.hset(keys.workerDrains, 'w204', '{}').exec();
    const worker = await fleet.worker(keyPrefix, []);
    await until(
      () => fleet.client.hexists(keys.workerDrains, 'w204'),
      (exists) => exists === 0,
    );
    assert.equal(await fleet.client.zcard(keys.lastWorkers), 201);
    assert.deepEqual(await fleet.client.zrange(keys.lastWorkers, '0', '0'), ['w5']);
    assert.deepEqual([await fleet.client.exists(keys.lastWorker('w4')), await fleet.client.exists(keys.lastWorker('w5'))], [0, 1]);
    assert.equal(await fleet.client.exists(keys.lastWorker(worker.id)), 1);
  });

  it('go with a worker that signs off, and stay with the last error of one that a fault ended', async () => {
    const keyPrefix = fleet.newPrefix();
    const keys = fleet.keys(keyPrefix);
    const producer = fleet.producer({ keyPrefix });
    const fine = await fleet.worker(keyPrefix, []);
    const log = new LogLines();
    const broken = await fleet.worker(keyPrefix, [], { loggers: log.loggers });
    await fine.stop();
    assert.equal(await fleet.client.exists(keys.lastWorker(fine.id)), 0);
    log.loggers('worker').fatal({ error: new Error('boom') }, 'Uncaught exception; shutting down');
    log.loggers('worker').error('A later error, of the shutdown');
    log.loggers('task').fatal('What a handler logs');
    await broken.stop({ failed: true });
    const [listed, ...others] = await producer.workers.list();
    assert.deepEqual(
      [listed?.id, listed?.alive, listed?.lastWords, others.length],
      [broken.id, false, 'Uncaught exception; shutting down: boom', 0],
    );
    assert.equal(await fleet.client.zcard(keys.workers), 0);
  });
});
