import type { Redis } from 'ioredis';
import { FleetError } from '../errors.js';
import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { isCluster, serverOf } from './connection.js';
import { unavailable } from './connection-errors.js';
import { ReplicaWait, probeOf } from './replica-wait.js';

export interface ReplicasOptions {
  /** The connection that writes. */
  readonly redis: ScriptedRedis;
  readonly keys: Keys;
  /** Number of replicas that must have the writes. 0 disables the wait. */
  readonly count: number;
  /** Timeout in ms, at least 1. */
  readonly timeoutMs: number;
}

/** The result of a wait in which too few replicas acknowledged the writes. */
export interface Shortfall {
  readonly replicas: number;
  readonly wanted: number;
  readonly timeoutMs: number;
}

/** The writes since {@link Replicas.begin}. */
export interface Written {
  /**
   * Resolves with null once enough replicas have all data written to and read from these queues, or with the shortfall after
   * the timeout: up to twice the timeout if another wait is in progress.
   * @param queues on a cluster, each may be on another server; null is the registry
   * @throws FleetError `REDIS_UNAVAILABLE`, or an error that {@link isUnavailability} accepts, if the connection was lost or the
   *   master changed since: the writes may be lost and must be repeated
   */
  confirm(queues: Iterable<string | null>): Promise<Shortfall | null>;
}

const NOT_WAITED: Written = { confirm: () => Promise.resolve(null) };

/**
 * Waits until replicas have a connection's writes, so that a failover does not lose them. docs/adr/0015-replicas.md has the
 * reasons.
 */
export class Replicas {
  readonly #options: ReplicasOptions;
  /** How often each server's connection was lost since it was first checked. */
  readonly #losses = new WeakMap<Redis, number>();
  readonly #waits = new Map<Redis, ReplicaWait>();
  #closed = false;

  constructor(options: ReplicasOptions) {
    this.#options = options;
  }

  /** Whether waiting is enabled. */
  get wanted(): boolean {
    return this.#options.count > 0;
  }

  /** Call it before the first write that `confirm` is to cover. */
  begin(): Written {
    if (!this.wanted) return NOT_WAITED;
    const { redis } = this.#options;
    const seen = new Map((isCluster(redis) ? redis.nodes('master') : [redis]).map((server) => [server, this.#lossesOf(server)]));
    return { confirm: (queues) => this.#confirm(queues, seen) };
  }

  /** Closes all connections; pending waits fail with a connection error. */
  close(): void {
    this.#closed = true;
    for (const wait of this.#waits.values()) wait.close();
    this.#waits.clear();
  }

  async #confirm(queues: Iterable<string | null>, seen: ReadonlyMap<Redis, number>): Promise<Shortfall | null> {
    const { redis, keys, count: wanted, timeoutMs } = this.#options;
    const places = new Map<Redis, (string | null)[]>();
    // Without a cluster, the one server also has the registry.
    for (const queue of isCluster(redis) ? new Set(queues) : [null]) {
      const server = serverOf(redis, probeOf(keys, queue));
      if (server === null) throw unavailable(redis, new Error('the master of its slot is not known'));
      places.set(server, [...(places.get(server) ?? []), queue]);
    }
    const counts = await Promise.all([...places].map(([server, there]) => this.#waitAt(server).join(there)));
    for (const server of places.keys()) {
      // After a reconnect, the mark may have been set on another server than the writes.
      if (seen.get(server) !== this.#lossesOf(server))
        throw unavailable(redis, new Error('the connection was lost before the replicas had the writes'));
    }
    const replicas = Math.min(...counts);
    return replicas >= wanted ? null : { replicas, wanted, timeoutMs };
  }

  #waitAt(server: Redis): ReplicaWait {
    const known = this.#waits.get(server);
    if (known) return known;
    const wait = new ReplicaWait({ ...this.#options, server });
    this.#waits.set(server, wait);
    server.once('end', () => {
      this.#waits.delete(server);
      wait.close();
    });
    if (this.#closed) wait.close();
    return wait;
  }

  #lossesOf(server: Redis): number {
    const known = this.#losses.get(server);
    if (known !== undefined) return known;
    this.#losses.set(server, 0);
    server.on('close', () => this.#losses.set(server, (this.#losses.get(server) ?? 0) + 1));
    return 0;
  }
}

/** @param what the write, as a sentence without full stop: "Task a was added" */
export function notReplicated(
  what: string,
  { replicas, wanted, timeoutMs }: Shortfall,
  details: Readonly<Record<string, unknown>>,
): FleetError {
  const message =
    `${what}, but only ${replicas} of ${wanted} replicas acknowledged it within ${timeoutMs} ms: a failover may lose it. ` +
    'Until a failover it stands; repeating the call is safe.';
  return new FleetError('NOT_REPLICATED', message, { details: { ...details, replicas, wanted, timeoutMs } });
}
