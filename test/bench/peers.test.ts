import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { PEERS } from '../../bench/peers/compared/catalog.js';
import type { PeerInfo, Run, Work, WorkKind } from '../../bench/peers/compared/peer.js';
import { info, open } from '../../bench/peers/compared/taskfleet.js';
import { JOBS, parseOptions } from '../../bench/peers/options.js';
import { csvOf } from '../../bench/peers/report/csv.js';
import { METRICS } from '../../bench/peers/report/metrics.js';
import { replaceBetween } from '../../bench/peers/report/page.js';
import { plotOf } from '../../bench/peers/report/plot.js';
import { type Sample, quantile, summarize } from '../../bench/peers/report/statistics.js';
import { capabilityTable, resultTables, runText, settingsTable } from '../../bench/peers/report/tables.js';
import { parseStat } from '../../bench/peers/servers/process-cpu.js';
import { deferred } from '../support/deferred.js';
import { startTestRedis } from '../support/redis/test-redis.js';

const root = new URL('../../', import.meta.url);
const json = async (path: string) => JSON.parse(await readFile(new URL(path, root), 'utf8')) as Record<string, Record<string, string>>;

/** A peer that stops nothing, beside taskfleet. */
const other: PeerInfo = {
  ...{ name: 'other', title: 'Other | <queue>', packages: ['other'], server: 'PostgreSQL', settings: 'defaults', source: 'README' },
  shares: { calls: 1, jobs: 1 },
  capabilities: {
    ...info.capabilities,
    stopRunning: { reason: 'no signal', source: 'README' },
    stopCpu: { reason: 'no signal', source: 'README' },
  },
};
const samples: Sample[] = [
  ...[900, 1_234, 1_100].map((value, index) => ({ peer: 'taskfleet', metric: 'enqueue.alone', round: index + 1, value })),
  { peer: 'taskfleet', metric: 'enqueue.alone.node', round: 1, value: 41.26 },
  { peer: 'taskfleet', metric: 'stop.running.told', round: 1, value: 0.654 },
  { peer: 'other', metric: 'enqueue.alone', round: 1, value: 12_345 },
];
const data = {
  machine: {
    ...{ cpu: 'Some CPU', cores: 2, memoryGiB: 4, system: 'Linux', node: 'v24.1.0', servers: ['Redis 7'], load: 0.5, date: '2026-01-02' },
    packages: { other: '1.2.3' },
  },
  infos: [info, other],
  result: { rounds: 3, jobs: JOBS, samples, failures: [] },
  minutes: 7.04,
};

describe('the report of the benchmark of peers', () => {
  test('takes medians and quantiles, and has none of no values', () => {
    assert.equal(quantile([3, 1, 2], 0.5), 2);
    assert.equal(quantile([4, 1, 2, 3], 0.5), 2.5);
    assert.equal(
      quantile(
        Array.from({ length: 100 }, (_, index) => index + 1),
        0.99,
      ),
      99,
    );
    assert.ok(Number.isNaN(quantile([], 0.5)));
    assert.deepEqual(summarize(samples, 'taskfleet', 'enqueue.alone'), { count: 3, median: 1_100, p99: 1_234, min: 900, max: 1_234 });
    assert.equal(summarize(samples, 'other', 'latency'), null);
  });

  test('tells a value, a failure and a job that is not offered apart', () => {
    const tables = resultTables(data);
    assert.match(tables, /^\| taskfleet \| 1,100 \(900–1,230\) \| failed \| failed \|$/m);
    assert.match(tables, /^\| Other \\\| <queue> \| 12,300 \(12,300–12,300\) \|/m);
    assert.match(tables, /^\| taskfleet \| 41\.3 \+ \? \|/m);
    assert.match(tables, /^\| taskfleet \| failed \| 0\.65 \(0\.65–0\.65\) \|/m);
    assert.match(tables, /^\| Other .* \| failed \| not offered \| not offered \| not offered \| not offered \|$/m);
    const stops = resultTables({ ...data, result: { ...data.result, jobs: ['stop'] } });
    assert.match(stops, /^### Stop/);
    assert.doesNotMatch(stops, /Enqueue|CPU per job/);
    assert.match(capabilityTable(data), /^\| Other .* \| stop running \| not offered: no signal \(README\) \|$/m);
    assert.match(settingsTable(data), /^\| Other .* \| PostgreSQL \| defaults \| README \|$/m);
    assert.match(
      runText(data),
      /^2026-01-02: Some CPU, 2 cores, 4 GiB; Linux; Node\.js 24\.1\.0 .* other 1\.2\.3\. Load 0\.50 .* 3 interleaved rounds in 7\.0 minutes\.$/,
    );
  });

  test('draws and lists what was measured', () => {
    const plot = plotOf(data.infos, data.result);
    assert.match(plot, /Other \| &lt;queue&gt;/);
    assert.match(plot, />1,100</);
    assert.match(plot, />not offered</);
    assert.doesNotMatch(plot, /NaN|Infinity|undefined/);
    assert.deepEqual(
      csvOf(samples, new Map([['other', '1,2']]))
        .split('\n')
        .slice(-3, -1),
      ['taskfleet,,stop.running.told,ms,1,0.654', 'other,"1,2",enqueue.alone,jobs/s,1,12345'],
    );
  });

  test('replaces its parts of the page, and nothing else', async () => {
    const page = await readFile(new URL('docs/benchmarks.md', root), 'utf8');
    for (const name of ['run', 'results', 'capabilities', 'settings']) {
      const once = replaceBetween(page, name, 'NEW');
      assert.match(once, new RegExp(`<!-- peers:${name} -->\\nNEW\\n<!-- /peers:${name} -->`));
      assert.equal(replaceBetween(once, name, 'NEW'), once);
    }
    assert.throws(() => replaceBetween('no marker', 'run', 'NEW'), /Expected <!-- peers:run -->/);
  });

  test('reads the CPU times of a process with a strange name', () => {
    const line = '42 (post) gres: a b) S 7 42 42 0 -1 4194560 100 200 0 0 11 12 13 14 20 0 1 0 99 1000 10';
    assert.deepEqual(parseStat(line), { parent: 7, own: 23, ended: 27 });
  });
});

describe('the benchmark of peers', () => {
  test('takes options, and says what it expected', () => {
    assert.equal(parseOptions(['--help']), null);
    assert.deepEqual(parseOptions([])?.peers, PEERS);
    assert.equal(parseOptions([])?.write, true);
    assert.deepEqual(parseOptions(['--only', 'bullmq,taskfleet'])?.peers, ['taskfleet', 'bullmq']);
    assert.equal(parseOptions(['--quick'])?.write, false);
    assert.throws(() => parseOptions(['--only', 'celery']), /--only: expected taskfleet, bullmq, .*; got "celery"/);
    assert.throws(() => parseOptions(['--rounds', '0']), /whole number from 1/);
  });

  test('pins exact versions, the same BullMQ and ioredis as the fleet among them', async () => {
    const [peers, own] = await Promise.all([json('bench/peers/package.json'), json('package.json')]);
    for (const [name, version] of Object.entries({ ...peers['dependencies'], ...peers['optionalDependencies'] }))
      assert.match(version, /^\d+\.\d+\.\d+$/, name);
    for (const name of ['bullmq', 'ioredis']) assert.equal(peers['dependencies']?.[name], own['dependencies']?.[name]);
    assert.equal(new Set(METRICS.map(({ id }) => id)).size, METRICS.length);
  });

  test('enqueues, runs and stops tasks of taskfleet', async (t) => {
    const redis = await startTestRedis();
    t.after(() => redis.stop());
    const peer = await open({ redisUrl: redis.url, postgresUrl: '' });
    t.after(() => peer.close());
    const work = (kind: WorkKind, key: string): Work => ({ kind, key, ms: 0, file: '' });
    const ran: string[] = [];
    const held = deferred<AbortSignal>();
    const run: Run = async ({ kind, key }, signal) => {
      ran.push(key);
      if (kind !== 'hold') return;
      held.resolve(signal);
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    };

    const stopped = await peer.enqueueOne(work('noop', 'stopped'));
    assert.equal(await peer.stop(stopped, 'waiting'), true);
    assert.equal(await peer.isSettled(stopped), true);
    await peer.enqueueMany(Array.from({ length: 19 }, (_, index) => work('noop', `n${index}`)));
    const running = await peer.enqueueOne(work('hold', 'hold'));
    assert.equal(await peer.unfinished(), 20);
    await peer.work(run, { concurrency: 4 });
    const signal = await held.promise;
    assert.equal(await peer.isSettled(running), false);
    assert.equal(await peer.stop(running, 'running'), true);
    assert.equal(signal.aborted, true);
    assert.equal(await peer.isSettled(running), true);
    while ((await peer.unfinished()) > 0);
    assert.equal(new Set(ran).size, 20);
    assert.ok(!ran.includes('stopped'));
  });
});
