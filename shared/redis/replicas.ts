import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { FleetError } from '../errors.js';
import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { CONNECTION_CLOSED_TEXT, unavailable } from './connection-errors.js';
import { isCluster, serverOf } from './connection.js';

interface ReplicasOptions {
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
 * Waits until replicas have a connection's writes, so that a failover does not lose them. docs/explanation/adr/0015-replicas.md has the
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

interface ReplicaWaitOptions {
  /** The connection that writes. */
  readonly redis: ScriptedRedis;
  /** The connection to the server whose replicas are awaited: `redis` itself, or a node of a cluster. */
  readonly server: Redis;
  readonly keys: Keys;
  readonly count: number;
  readonly timeoutMs: number;
}

interface Round {
  readonly queues: Set<string | null>;
  readonly replicas: Promise<number>;
}

/** Expires the mark of a process that died. Longer than a round. */
const MARK_KEPT_MS = 60_000;
/** A WAIT unanswered for this long after its timeout has lost its connection. */
const SILENCE_MS = 2_000;

/**
 * WAITs for the replicas of one server, in consecutive rounds; a round covers all calls made before it began.
 *
 * WAIT covers the writes of its own connection and blocks later commands, so it has a separate connection. To prove that both
 * connections reach the same server, the writing connection sets a mark and this one deletes it: a server with the mark has
 * every earlier write, and a WAIT after the deletion covers them.
 */
class ReplicaWait {
  readonly #options: ReplicaWaitOptions;
  #own: Redis | null = null;
  #next: Round | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: ReplicaWaitOptions) {
    this.#options = options;
  }

  /** Waits until `count` replicas have all earlier writes to these queues. Returns how many do. Null is the registry. */
  join(queues: Iterable<string | null>): Promise<number> {
    this.#next ??= this.#newRound();
    for (const queue of queues) this.#next.queues.add(queue);
    return this.#next.replicas;
  }

  close(): void {
    this.#closed = true;
    this.#hangUp();
  }

  #newRound(): Round {
    const queues = new Set<string | null>();
    const replicas = this.#last.then(() => {
      this.#next = null;
      return this.#wait([...queues]);
    });
    // After an error, neither the connection's pending replies nor its server are certain.
    this.#last = replicas.catch(() => this.#hangUp());
    return { queues, replicas };
  }

  async #wait(queues: readonly (string | null)[]): Promise<number> {
    const { redis, keys, count, timeoutMs } = this.#options;
    const marks = queues.map((queue) => keys.replicaMark(randomUUID(), queue));
    const [own] = await Promise.all([this.#connected(), ...marks.map((mark) => redis.layMark(mark, MARK_KEPT_MS))]);
    const pipeline = own.pipeline();
    // While a slot migrates, the mark may be here and the writes on another node: EXISTS then answers ASK.
    if (isCluster(redis)) for (const queue of queues) pipeline.exists(probeOf(keys, queue));
    for (const mark of marks) pipeline.del(mark);
    const answers = (await pipeline.wait(count, timeoutMs).exec()) ?? [];
    for (const [error] of answers) if (error) throw this.#asMoved(error);
    const removed = answers.slice(-1 - marks.length, -1);
    if (!removed.every(([, found]) => found === 1)) throw unavailable(redis, new Error('WAIT reached another server than the writes did'));
    return answers.at(-1)?.[1] as number;
  }

  /** Connects on first use, and again after a failure. */
  async #connected(): Promise<Redis> {
    if (this.#closed) throw new Error(CONNECTION_CLOSED_TEXT);
    if (this.#own?.status === 'ready') return this.#own;
    this.#hangUp();
    const { server, timeoutMs } = this.#options;
    const own = server.duplicate({
      connectionName: `${server.options.connectionName ?? 'taskfleet'}:replicas`,
      lazyConnect: true,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      socketTimeout: timeoutMs + SILENCE_MS,
      retryStrategy: () => null,
      sentinelRetryStrategy: () => null,
      reconnectOnError: null,
      failoverDetector: false,
    });
    // Commands and `connect` report the same error.
    own.on('error', () => undefined);
    this.#own = own;
    await own.connect();
    return own;
  }

  /** Turns the error of a moved slot into one that callers retry. */
  #asMoved(error: Error): unknown {
    const { redis } = this.#options;
    if (!/^(MOVED|ASK)\b/.test(error.message)) return error;
    if (isCluster(redis)) redis.refreshSlotsCache();
    return unavailable(redis, error);
  }

  #hangUp(): void {
    this.#own?.disconnect();
    this.#own = null;
  }
}

/** Returns a key that exists in every used queue or, for null, in the registry. */
function probeOf(keys: Keys, queue: string | null): string {
  return queue === null ? keys.queues : `${keys.jobs(queue)}meta`;
}
