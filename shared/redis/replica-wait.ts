import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { isCluster } from './connection.js';
import { CONNECTION_CLOSED_TEXT, unavailable } from './connection-errors.js';

export interface ReplicaWaitOptions {
  /** The connection that writes. */
  readonly redis: ScriptedRedis;
  /** The same to the server whose replicas are asked; of a cluster, one of its nodes. */
  readonly server: Redis;
  readonly keys: Keys;
  readonly count: number;
  readonly timeoutMs: number;
}

interface Round {
  readonly queues: Set<string | null>;
  readonly replicas: Promise<number>;
}

/** A mark of a process that has died goes by itself. Longer than a round may take. */
const MARK_KEPT_MS = 60_000;
/** A WAIT that has no answer for so much longer than its timeout has lost its connection. */
const SILENCE_MS = 2_000;

/**
 * WAITs for the replicas of one server, one at a time, each for all who asked before it began.
 *
 * WAIT speaks for what its own connection has written, and holds up what is sent behind it: so it has a connection of its
 * own. That this one goes to the server that was written to is not taken for granted: the connection that wrote lays a
 * mark, and this one removes it. A server that has the mark has everything before it, and a WAIT after its removal covers
 * that.
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

  /** How many replicas have what was written to these queues before the call; waits for `count` of them. Null is the registry. */
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
    // Nobody knows what a connection owes after an error, or to whom it goes.
    this.#last = replicas.catch(() => this.#hangUp());
    return { queues, replicas };
  }

  async #wait(queues: readonly (string | null)[]): Promise<number> {
    const { redis, keys, count, timeoutMs } = this.#options;
    const marks = queues.map((queue) => keys.replicaMark(randomUUID(), queue));
    const [own] = await Promise.all([this.#connected(), ...marks.map((mark) => redis.layMark(mark, MARK_KEPT_MS))]);
    const pipeline = own.pipeline();
    // While a slot moves, the mark may be here and what was written elsewhere by now: then this is answered by ASK.
    if (isCluster(redis)) for (const queue of queues) pipeline.exists(probeOf(keys, queue));
    for (const mark of marks) pipeline.del(mark);
    const answers = (await pipeline.wait(count, timeoutMs).exec()) ?? [];
    for (const [error] of answers) if (error) throw this.#elsewhere(error);
    const removed = answers.slice(-1 - marks.length, -1);
    if (!removed.every(([, found]) => found === 1))
      throw unavailable(redis, new Error('another server than was written to has answered for its replicas'));
    return answers.at(-1)?.[1] as number;
  }

  /** Connects when it is first needed, and after each failure. */
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
    // Its commands and `connect` fail too.
    own.on('error', () => undefined);
    this.#own = own;
    await own.connect();
    return own;
  }

  /** That a slot has moved is no error of the caller's. */
  #elsewhere(error: Error): unknown {
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

/** A key of a queue that has had a job; of the registry, for null. */
export function probeOf(keys: Keys, queue: string | null): string {
  return queue === null ? keys.queues : `${keys.jobs(queue)}meta`;
}
