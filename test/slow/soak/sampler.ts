import type { Redis } from 'ioredis';
import { createKeys } from '../../../shared/keys.js';
import { now } from '../faults/load/clock.js';
import { loadTask } from '../faults/load/load-task.js';
import { KEY_PREFIX, type SoakDeployment } from './load/deployment.js';
import { type ProcessFigures, figuresOf } from './proc.js';

/** The process at a place: `producer`, `worker 1` … A successor at the same place has another pid. */
export interface ProcessSample extends ProcessFigures {
  readonly place: string;
  readonly pid: number;
}

export interface RedisSample {
  /** used_memory of all masters in bytes. */
  readonly memory: number;
  /** connected_clients of all servers, the sampler's constant number included. */
  readonly clients: number;
  /** DBSIZE of all masters. */
  readonly keys: number;
  /** Tasks in the registry. */
  readonly live: number;
  /** Items with live tasks and the other entries of the registry. */
  readonly registry: number;
  /** Retained tasks. */
  readonly kept: number;
}

export interface Sample {
  /** Time from the start of the load. */
  readonly atMs: number;
  /** Whether no fault was active, with time to reconnect since the last one. */
  readonly calm: boolean;
  readonly processes: readonly ProcessSample[];
  /** Null while a server is down. */
  readonly redis: RedisSample | null;
}

export interface SamplerOptions {
  readonly deployment: SoakDeployment;
  /** The pid at each place, null without a process. */
  readonly pids: () => ReadonlyMap<string, number | null>;
  readonly calm: () => boolean;
  readonly everyMs: number;
}

const ANSWER_LIMIT_MS = 5_000;

/** Measures every few seconds, over separate connections to the servers. */
export class Sampler {
  readonly samples: Sample[] = [];
  readonly #options: SamplerOptions;
  readonly #clients: readonly Redis[];
  readonly #ports: ReadonlySet<number>;
  #startedAt = 0;
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;

  constructor(options: SamplerOptions) {
    this.#options = options;
    const { nodes } = options.deployment;
    this.#ports = new Set(nodes.map(({ port }) => port));
    this.#clients = nodes.map((node) =>
      node.client({ maxRetriesPerRequest: 0, commandTimeout: ANSWER_LIMIT_MS, enableOfflineQueue: false }),
    );
  }

  start(): void {
    this.#startedAt = now();
    this.#timer = setInterval(() => {
      this.#running ??= this.#take().finally(() => {
        this.#running = null;
      });
    }, this.#options.everyMs);
  }

  async stop(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    await this.#running;
  }

  /** Returns the number of keys in Redis by kind: the names without ids and times. For a fleet at rest. */
  async kindsOfKeys(): Promise<Record<string, number>> {
    const kinds: Record<string, number> = {};
    for (const client of this.#clients) {
      if (!(await client.info('replication')).includes('role:master')) continue;
      for await (const keys of client.scanStream({ count: 1_000 })) {
        for (const key of keys as string[]) {
          const kind = key
            .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '<id>')
            .replaceAll(/\d{5,}/g, '<number>')
            .replace(/(workers:).*/, '$1<id>')
            .replace(/(item:).*/, '$1<item>');
          kinds[kind] = (kinds[kind] ?? 0) + 1;
        }
      }
    }
    return kinds;
  }

  /** Reads the current values of Redis. */
  async redis(): Promise<RedisSample | null> {
    const parts = await Promise.all(this.#clients.map((client) => partOf(client).catch(() => null)));
    if (parts.includes(null)) return null;
    const sum = (read: (part: Part) => number): number => (parts as Part[]).reduce((total, part) => total + read(part), 0);
    return {
      ...{ memory: sum((part) => part.memory), clients: sum((part) => part.clients), keys: sum((part) => part.keys) },
      ...{ live: sum((part) => part.live), registry: sum((part) => part.registry), kept: sum((part) => part.kept) },
    };
  }

  async #take(): Promise<void> {
    const atMs = now() - this.#startedAt;
    const processes: ProcessSample[] = [];
    for (const [place, pid] of this.#options.pids()) {
      const figures = pid === null ? null : figuresOf(pid, this.#ports);
      if (pid !== null && figures !== null) processes.push({ place, pid, ...figures });
    }
    const calm = this.#options.calm();
    const redis = await this.redis();
    // A fault may begin during the measurement.
    this.samples.push({ atMs: Math.round(atMs), calm: calm && this.#options.calm(), processes, redis });
  }
}

type Part = RedisSample;

/** Reads one server: a replica counts only for its connections. */
async function partOf(client: Redis): Promise<Part> {
  const info = await client.info();
  const clients = Number(/^connected_clients:(\d+)/m.exec(info)?.[1]);
  if (!info.includes('role:master')) return { memory: 0, clients, keys: 0, live: 0, registry: 0, kept: 0 };
  const memory = Number(/^used_memory:(\d+)/m.exec(info)?.[1]);
  const isCluster = info.includes('cluster_enabled:1');
  const keys = createKeys(KEY_PREFIX, isCluster);
  const jobs = keys.jobs(loadTask.queue);
  // In a cluster, each key is on one master; the others redirect.
  const here = (read: Promise<number>): Promise<number> => (isCluster ? read.catch((error: Error) => elsewhere(error)) : read);
  const [size, live, queues, ids, early, completed, failed] = await Promise.all([
    client.dbsize(),
    here(client.hlen(keys.tasks)),
    here(client.hlen(keys.taskQueues)),
    here(client.zcard(keys.live)),
    here(client.hlen(keys.pendingStops)),
    here(client.zcard(`${jobs}completed`)),
    here(client.zcard(`${jobs}failed`)),
  ]);
  return { memory, clients, keys: size, live, registry: live + queues + ids + early, kept: completed + failed };
}

function elsewhere(error: Error): number {
  if (/^(MOVED|ASK|CLUSTERDOWN|TRYAGAIN)/.test(error.message)) return 0;
  throw error;
}
