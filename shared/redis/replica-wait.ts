import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { isCluster } from './connection.js';
import { CONNECTION_CLOSED_TEXT, unavailable } from './connection-errors.js';

export interface ReplicaWaitOptions {
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
export class ReplicaWait {
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
export function probeOf(keys: Keys, queue: string | null): string {
  return queue === null ? keys.queues : `${keys.jobs(queue)}meta`;
}
