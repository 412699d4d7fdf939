import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { createProducer } from 'taskfleet/producer';
import { redisCpuUs } from '../harness/cpu.js';
import { type FleetConfig, QUEUE, loadOf } from './load.js';
import type { WorkerProcesses } from './processes.js';
import { Throttle } from './throttle.js';

/** The masters of a fleet, and a connection to each. */
export interface Servers {
  readonly config: FleetConfig;
  readonly pids: readonly number[];
  readonly clients: readonly Redis[];
}

export interface WindowOptions {
  readonly processes: number;
  readonly shards: number;
  /** The share of a core that each redis-server gets. */
  readonly share: number;
  /** Tasks queued before the workers start. */
  readonly backlog: number;
  readonly windowMs: number;
}

/** What a fleet did in a window of steady work. */
export interface Window {
  readonly rate: number;
  /** CPU of each redis-server, and of all worker processes, in cores. */
  readonly redis: readonly number[];
  readonly node: number;
  /** The share of the time during which the servers were let run. */
  readonly allowed: number;
  /** Commands of all servers per task, those of scripts included. */
  readonly commands: number;
  /** Connections of the workers to all servers. */
  readonly connections: number;
}

/** Each task waits, in one of few slots: so a process runs at most 1,200 tasks a second, and more processes are needed for more. */
export const TASK_MS = 10;
export const SLOTS = 12;
const BATCH = 1_000;
const RAMP_MS = 400;
const LOOK_MS = 100;
/** The window ends when this share of the backlog has run. */
const MOST_RUN = 0.9;

/** Queues a backlog, starts the workers at once and measures them while they work on it. */
export async function measureWindow(servers: Servers, workers: WorkerProcesses, options: WindowOptions): Promise<Window> {
  const { processes, shards, share, backlog, windowMs } = options;
  const { config, clients } = servers;
  await Promise.all(clients.map((client) => client.flushall()));
  const producer = createProducer({ ...config, logLevel: 'error' });
  let throttle: Throttle | null = null;
  try {
    const definition = loadOf(shards);
    for (let from = 0; from < backlog; from += BATCH) {
      const some = Array.from({ length: Math.min(BATCH, backlog - from) }, (_, index) => ({ input: { n: from + index } }));
      await producer.enqueueMany(definition, some);
    }
    await producer.queues.pause(QUEUE);
    const before = await connectionsOf(clients);
    await workers.all(processes, { what: 'start', config, shards, taskMs: TASK_MS, concurrency: SLOTS });
    const connections = (await connectionsOf(clients)) - before;
    await producer.queues.resume(QUEUE);
    throttle = new Throttle(servers.pids, share);
    await delay(RAMP_MS);
    const [from, start] = [await workers.all(processes, { what: 'report' }), await countersOf(clients)];
    throttle.reset();
    const startedAt = performance.now();
    let to = from;
    while (performance.now() - startedAt < windowMs && to.ran < backlog * MOST_RUN) {
      await delay(LOOK_MS);
      to = await workers.all(processes, { what: 'report' });
    }
    const end = await countersOf(clients);
    const us = (performance.now() - startedAt) * 1_000;
    const allowed = throttle.allowed;
    const ran = to.ran - from.ran;
    if (ran === 0) throw new Error(`${processes} worker processes ran no task in the window: enlarge --backlog`);
    return {
      rate: (ran * 1e6) / us,
      redis: end.map(({ cpuUs }, index) => (cpuUs - (start[index]?.cpuUs ?? 0)) / us),
      node: (to.cpuUs - from.cpuUs) / us,
      allowed,
      commands: end.reduce((sum, { commands }, index) => sum + commands - (start[index]?.commands ?? 0), 0) / ran,
      connections,
    };
  } finally {
    await throttle?.stop();
    await workers.all(processes, { what: 'stop' });
    await producer.close();
  }
}

async function connectionsOf(clients: readonly Redis[]): Promise<number> {
  const counts = await Promise.all(
    clients.map(async (client) => Number(/connected_clients:(\d+)/.exec(await client.info('clients'))?.[1])),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

async function countersOf(clients: readonly Redis[]): Promise<{ cpuUs: number; commands: number }[]> {
  return Promise.all(
    clients.map(async (client) => ({
      cpuUs: await redisCpuUs(client),
      commands: Number(/total_commands_processed:(\d+)/.exec(await client.info('stats'))?.[1]),
    })),
  );
}
