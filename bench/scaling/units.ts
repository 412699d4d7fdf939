import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { type Producer, createProducer } from 'taskfleet/producer';
import type { TestRedis } from '../../test/support/redis/test-redis.js';
import { until } from '../../test/support/until.js';
import { type Cpu, CpuMeter, redisCpuUs } from '../harness/cpu.js';
import { weighTasks } from '../memory/memory.js';
import { noop } from '../throughput/fleet.js';
import { keepInFlight, measureEnqueue } from '../throughput/load.js';
import { type FleetConfig, loadOf } from './load.js';
import type { WorkerProcesses } from './processes.js';
import { SLOTS, type Servers, TASK_MS } from './window.js';

/** The costs from which a fleet is sized, but for the processing of a task. CPU times in µs. */
export interface UnitCosts {
  readonly enqueue: Cpu;
  /** A stop of a running task. */
  readonly stop: Cpu;
  /** Redis CPU of an idle worker process per second. */
  readonly idle: number;
  /** Redis memory of a live task with an item. */
  readonly bytes: number;
}

const IN_FLIGHT = 20;
const ENQUEUED = 10_000;
const STOPPED = 1_000;
const WEIGHED = 20_000;
const IDLE_WORKERS = 6;
const IDLE_MS = 3_000;
/** Lets the workers finish their start. */
const SETTLE_MS = 1_000;
const NEVER_MS = 3_600_000;

export async function measureUnits(redis: TestRedis, { config }: Servers, workers: WorkerProcesses): Promise<UnitCosts> {
  const client = redis.client();
  await client.flushall();
  const producer = createProducer({ ...config, logLevel: 'error' });
  try {
    await producer.ping();
    const load = { tasks: ENQUEUED, inFlight: IN_FLIGHT, concurrency: 0 };
    const enqueue = await measureEnqueue(redis.url, load, () => keepInFlight(load, (n) => producer.enqueue(noop, { n })));
    await client.flushall();
    const bytes = (await weighTasks(redis.url, client, WEIGHED)).total;
    await client.flushall();
    const idle = await measureIdle(client, workers, config);
    const stop = await measureStop(client, workers, producer, config);
    return { enqueue: enqueue.cpu, stop, idle, bytes };
  } finally {
    await producer.close();
  }
}

async function measureIdle(client: Redis, workers: WorkerProcesses, config: FleetConfig): Promise<number> {
  await workers.all(IDLE_WORKERS, { what: 'start', config, shards: 1, taskMs: TASK_MS, concurrency: SLOTS });
  await delay(SETTLE_MS);
  const before = await redisCpuUs(client);
  await delay(IDLE_MS);
  const us = (await redisCpuUs(client)) - before;
  await workers.all(IDLE_WORKERS, { what: 'stop' });
  return us / (IDLE_MS / 1_000) / IDLE_WORKERS;
}

/** Stops running tasks of another process, whose CPU time counts too. */
async function measureStop(client: Redis, workers: WorkerProcesses, producer: Producer, config: FleetConfig): Promise<Cpu> {
  await workers.all(1, { what: 'start', config, shards: 1, taskMs: NEVER_MS, concurrency: STOPPED });
  const inputs = Array.from({ length: STOPPED }, (_, n) => ({ input: { n } }));
  const tasks = await producer.enqueueMany(loadOf(1), inputs);
  await until(
    () => workers.all(1, { what: 'report' }),
    ({ ran }) => ran === STOPPED,
    { everyMs: 50 },
  );
  const [meter, from] = [await CpuMeter.start(client), await workers.all(1, { what: 'report' })];
  await keepInFlight({ tasks: STOPPED, inFlight: IN_FLIGHT, concurrency: 0 }, async (n) => {
    const { outcome } = await producer.stop((tasks[n] as { id: string }).id, { waitMs: 10_000 });
    if (outcome !== 'cancelled') throw new Error(`a stop of a running task was not settled: ${outcome}`);
  });
  const { redis, node } = await meter.perJob(STOPPED);
  const to = await workers.all(1, { what: 'report' });
  await workers.all(1, { what: 'stop' });
  return { redis, node: node + (to.cpuUs - from.cpuUs) / STOPPED };
}
