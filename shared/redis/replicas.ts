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
  /** How many replicas must have what was written. 0: nothing is waited for, and nothing is sent. */
  readonly count: number;
  /** How long they have, in ms. At least 1. */
  readonly timeoutMs: number;
}

/** Too few replicas had what was written in time. */
export interface Shortfall {
  readonly replicas: number;
  readonly wanted: number;
  readonly timeoutMs: number;
}

/** What was written since {@link Replicas.begin}. */
export interface Written {
  /**
   * Resolves with null once enough replicas have all that was written to, and read from, these queues, and with the
   * shortfall if they do not in time. That is at most twice the timeout, should one wait be under way.
   * @param queues on a cluster each may be on another server; null is the registry
   * @throws FleetError `REDIS_UNAVAILABLE`, or what {@link isUnavailability} knows, if the connection was lost since, or
   *   another server is the master now: what was written may be lost, and is to be written again
   */
  confirm(queues: Iterable<string | null>): Promise<Shortfall | null>;
}

const NOT_WAITED: Written = { confirm: () => Promise.resolve(null) };

/**
 * Waits until replicas have what a connection has written: what they do not have, a failover loses. docs/adr/0015-replicas.md
 * has the reasons.
 */
export class Replicas {
  readonly #options: ReplicasOptions;
  /** How often the connection to each server was lost, as far as was looked. */
  readonly #losses = new WeakMap<Redis, number>();
  readonly #waits = new Map<Redis, ReplicaWait>();
  #closed = false;

  constructor(options: ReplicasOptions) {
    this.#options = options;
  }

  /** Whether anything is waited for at all. */
  get wanted(): boolean {
    return this.#options.count > 0;
  }

  /** To be called before the first command whose effects are to be confirmed. */
  begin(): Written {
    if (!this.wanted) return NOT_WAITED;
    const { redis } = this.#options;
    const seen = new Map((isCluster(redis) ? redis.nodes('master') : [redis]).map((server) => [server, this.#lossesOf(server)]));
    return { confirm: (queues) => this.#confirm(queues, seen) };
  }

  /** Closes its connections. Who waits gets a connection error. */
  close(): void {
    this.#closed = true;
    for (const wait of this.#waits.values()) wait.close();
    this.#waits.clear();
  }

  async #confirm(queues: Iterable<string | null>, seen: ReadonlyMap<Redis, number>): Promise<Shortfall | null> {
    const { redis, keys, count: wanted, timeoutMs } = this.#options;
    const places = new Map<Redis, (string | null)[]>();
    // Without a cluster all of it is on one server, the registry too.
    for (const queue of isCluster(redis) ? new Set(queues) : [null]) {
      const server = serverOf(redis, probeOf(keys, queue));
      if (server === null) throw unavailable(redis, new Error('nobody is known to have its slot'));
      places.set(server, [...(places.get(server) ?? []), queue]);
    }
    const counts = await Promise.all([...places].map(([server, there]) => this.#waitAt(server).join(there)));
    for (const server of places.keys()) {
      // Else the mark was perhaps laid on another server than was written to.
      if (seen.get(server) !== this.#lossesOf(server))
        throw unavailable(redis, new Error('the connection was lost before its replicas had what was written'));
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

/** @param what was written, as a sentence without its full stop: "Task a was added" */
export function notReplicated(
  what: string,
  { replicas, wanted, timeoutMs }: Shortfall,
  details: Readonly<Record<string, unknown>>,
): FleetError {
  const message = `${what}, but of ${wanted} replicas ${replicas} had that within ${timeoutMs} ms: a failover may lose it. Until then it holds; repeating the call is harmless.`;
  return new FleetError('NOT_REPLICATED', message, { details: { ...details, replicas, wanted, timeoutMs } });
}
