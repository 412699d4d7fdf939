/**
 * `npm run bench [-- --tasks N --rounds N --only leases]`: compares the fleet with bare BullMQ and bare Redis, alternating each pair in
 * one run, on a separate redis-server. Machines are noisy: read the ratios.
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { startTestRedis } from '../test/support/redis/test-redis.js';
import { runMix } from './emptiness.js';
import { type LeaseSide, measureLeases } from './leases.js';
import { measureList } from './list-api.js';
import { weighTasks } from './memory.js';
import { measureReplicas } from './replicas.js';
import { stopInTurn, stopQueued, stopRunning } from './stops/item-stops.js';
import { measureStops } from './stops/stop-latency.js';
import { type Throughput, measureBullMq, measureFleet } from './throughput.js';
import { type Phase, cleanLargePool, raceTouches, weighTouch } from './usage-pool.js';

const { values: chosen } = parseArgs({
  options: {
    tasks: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '7' },
    stops: { type: 'string', default: '500' },
    only: { type: 'string', default: '' },
    help: { type: 'boolean', default: false },
  },
});
if (chosen.help) {
  console.log(
    'npm run bench [-- --tasks 20000] [--rounds 7] [--stops 500] [--only throughput|replicas|stops|items|memory|leases|mix|usagePool|list]',
  );
  process.exit(0);
}
const load = { tasks: Number(chosen.tasks), inFlight: 500, concurrency: 64 };
const rounds = Number(chosen.rounds);

const redis = await startTestRedis();
const client = redis.client();
try {
  console.log(
    `Node ${process.version}, ${cpus().length} cores, Redis on loopback; ${load.tasks} tasks, ${rounds} rounds after one to warm up\n`,
  );
  const parts = { throughput, replicas, stops, items, memory, leases, mix, usagePool, list };
  for (const [name, measure] of Object.entries(parts)) if (chosen.only === '' || chosen.only === name) await measure();
} finally {
  await redis.stop();
}

async function throughput(): Promise<void> {
  const sides = [
    { name: 'bare BullMQ', measure: () => measureBullMq(redis.url, load, { uuids: false }), measured: [] as Throughput[] },
    { name: 'bare, our ids', measure: () => measureBullMq(redis.url, load, { uuids: true }), measured: [] as Throughput[] },
    { name: 'fleet', measure: () => measureFleet(redis.url, load), measured: [] as Throughput[] },
  ] as const;
  for (let round = 0; round <= rounds; round += 1) {
    // Each round starts with another side; the first round is the warm-up and does not count.
    for (let turn = 0; turn < sides.length; turn += 1) {
      const side = sides[(round + turn) % sides.length] as (typeof sides)[number];
      await client.flushall();
      const measured = await side.measure();
      if (round > 0) side.measured.push(measured);
    }
  }
  console.log(
    [
      'median jobs/s'.padEnd(26),
      ...sides.map(({ name }) => name.padStart(15)),
      'ratio to bare'.padStart(16),
      'to our ids'.padStart(13),
    ].join(''),
  );
  for (const [name, phase] of [
    [`enqueue, ${load.inFlight} in flight`, 'enqueue'],
    [`process, concurrency ${load.concurrency}`, 'process'],
  ] as const) {
    const rates = sides.map(({ measured }) => measured.map((one) => one[phase]));
    const [bare = [], ours = [], fleet = []] = rates;
    const columns = rates.map((all) => String(Math.round(median(all))).padStart(15)).join('');
    console.log(`${name.padEnd(26)}${columns}${pairedRatio(fleet, bare).padStart(16)}${pairedRatio(fleet, ours).padStart(13)}`);
  }
}

/** Returns the median over the rounds of the ratio between two sides in the same round. */
function pairedRatio(rates: readonly number[], beside: readonly number[]): string {
  return median(rates.map((rate, round) => rate / (beside[round] as number))).toFixed(2);
}

async function replicas(): Promise<void> {
  const { off, on } = await measureReplicas(load, rounds);
  console.log(
    `\n${'enqueue to a master with a replica'.padEnd(36)}${'as it is'.padStart(10)}${'WAIT on'.padStart(10)}${'ratio'.padStart(8)}`,
  );
  for (const [name, phase, digits] of [
    [`jobs/s, ${load.inFlight} in flight`, 'rate', 0],
    ['ms, one after the other, p50', 'alone', 2],
  ] as const) {
    const columns = [off, on].map((side) => median(side[phase]).toFixed(digits).padStart(10)).join('');
    console.log(name.padEnd(36) + columns + pairedRatio(on[phase], off[phase]).padStart(8));
  }
}

async function stops(): Promise<void> {
  for (const workers of [1, 10, 50]) {
    await client.flushall();
    const { hop, abort, receipt } = await measureStops(redis.url, { rounds: Number(chosen.stops), workers });
    console.log(`\n${`ms, ${hop.length} rounds, ${workers} subscribed`.padEnd(30)}       p50      p99`);
    for (const [name, all] of [
      ['bare pub/sub hop', hop],
      ['stop → abort, other process', abort],
      ['stop → receipt: cancelled', receipt],
    ] as const) {
      console.log(name.padEnd(30) + quantile(all, 0.5).toFixed(2).padStart(10) + quantile(all, 0.99).toFixed(2).padStart(9));
    }
    console.log(`stop → abort is ${(quantile(abort, 0.5) / quantile(hop, 0.5)).toFixed(1)} hops at p50`);
  }
}

async function items(): Promise<void> {
  await client.flushall();
  const running = await stopRunning(redis.url, 1_000);
  await client.flushall();
  const queued = await stopQueued(redis.url, 10_000);
  await client.flushall();
  const inTurn = await stopInTurn(redis.url, 1_000);
  console.log(`\n${'ms, an item of'.padEnd(36)}${'stopItem'.padStart(10)}${'all settled'.padStart(13)}`);
  for (const [name, { call, settled }] of [
    ['1,000 running tasks', running],
    ['10,000 queued tasks', queued],
  ] as const) {
    console.log(name.padEnd(36) + call.toFixed(0).padStart(10) + settled.toFixed(0).padStart(13));
  }
  console.log(
    `1,000 in turn, four round trips each${inTurn.toFixed(0).padStart(10)}: ` +
      `${(inTurn / running.call).toFixed(1)} times the call for 1,000 running`,
  );
}

async function memory(): Promise<void> {
  await client.flushall();
  const { total, registry } = await weighTasks(redis.url, client, 100_000);
  console.log(`\n100,000 live tasks: ${total.toFixed(0)} bytes each in Redis, ${registry.toFixed(0)} of them in the registry`);
}

async function leases(): Promise<void> {
  const { off, on } = await measureLeases(redis.url, client, load, rounds);
  console.log(`\n${'leases (OPEN_WEBUI)'.padEnd(36)}${'off'.padStart(10)}${'on'.padStart(10)}${'ratio'.padStart(8)}`);
  for (const [name, of] of [
    ['enqueue, jobs/s', ({ throughput: all }) => all.map(({ enqueue }) => enqueue)],
    ['process, jobs/s', ({ throughput: all }) => all.map(({ process: rate }) => rate)],
    ['CPU of both, µs/task', ({ cpu }) => cpu],
    ['bytes/live task with an item', ({ memory: { total } }) => [total]],
  ] as [name: string, of: (side: LeaseSide) => number[]][]) {
    const columns = [off, on].map((side) => median(of(side)).toFixed(0).padStart(10)).join('');
    console.log(name.padEnd(36) + columns + pairedRatio(of(on), of(off)).padStart(8));
  }
}

async function mix(): Promise<void> {
  await client.flushall();
  const { completed, failed, cancelled, left } = await runMix(redis.url, client, load.tasks);
  console.log(
    `\n${load.tasks} tasks mixed: ${completed} completed, ${failed} failed, ${cancelled} cancelled; ` +
      `left in the registry: ${left.join(', ') || 'nothing'}`,
  );
  if (left.length > 0 || completed + failed + cancelled !== load.tasks) process.exitCode = 1;
}

async function usagePool(): Promise<void> {
  const size = { models: 10_000, sessions: 100 };
  await client.flushall();
  const phases: Phase[] = await cleanLargePool(redis.url, client, size);
  await client.flushall();
  const { phase, lost } = await raceTouches(redis.url, client, 50_000);
  await client.flushall();
  const { refreshed, added } = await weighTouch(redis.url, client, size.sessions);
  console.log(
    `\n${`usage pool, ${size.models} × ${size.sessions}`.padEnd(44)}` +
      `${'ms'.padStart(8)}${'script p99'.padStart(12)}${'slowest'.padStart(9)}`,
  );
  for (const { name, did, tookMs, p99Ms, slowestMs } of [...phases, phase]) {
    console.log(
      name.padEnd(44) + tookMs.toFixed(0).padStart(8) + p99Ms.toFixed(2).padStart(12) + slowestMs.toFixed(2).padStart(9) + `  ${did}`,
    );
  }
  console.log(
    `lost in the race: ${lost}; a touch of a model with ${size.sessions} sessions: ` +
      `${refreshed.toFixed(0)} µs in Redis, ${added.toFixed(0)} if the session is new`,
  );
  if (lost > 0) process.exitCode = 1;
}

async function list(): Promise<void> {
  await client.flushall();
  const { api, bare, own } = await measureList(redis.url, client, { tasks: 50_000, rounds: 50 });
  console.log(`\n${'ms, a list of 50,000 live tasks'.padEnd(36)}       p50      p99`);
  for (const [name, all] of [
    ['first page of 100 over HTTP', api],
    ['the bare reads that it needs', bare],
    ['all 50 of a caller with few items', own],
  ] as const) {
    console.log(name.padEnd(36) + quantile(all, 0.5).toFixed(1).padStart(10) + quantile(all, 0.99).toFixed(1).padStart(9));
  }
  console.log(`the page takes ${(median(api) / median(bare)).toFixed(1)} times its bare reads at p50`);
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}
