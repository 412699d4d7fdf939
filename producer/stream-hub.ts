import type { Redis } from 'ioredis';
import type { Logger } from '../shared/logger.js';
import { type RedisConnection, isCluster, slotOf } from '../shared/redis/connection.js';
import { type StreamListener, StreamReader } from './stream-reader.js';

/** How long a connection stays when nothing is followed over it: the next one will probably come soon. */
const LINGER_MS = 10_000;

/**
 * Follows any number of Redis streams: over one connection in all, on a cluster over one for each slot that has any, for a
 * read takes streams of one slot only.
 */
export class StreamHub {
  readonly #commands: RedisConnection;
  readonly #connect: (key: string) => Redis;
  readonly #logger: Logger;
  readonly #lingerMs: number;
  readonly #readers = new Map<number, StreamReader>();

  /**
   * `commands` is for short commands; `connect` opens a connection that blocks, to the server that has the key, when it is
   * first needed. It stays for `lingerMs` (default 10,000) when nothing is followed any more.
   */
  constructor(commands: RedisConnection, connect: (key: string) => Redis, logger: Logger, { lingerMs = LINGER_MS } = {}) {
    this.#commands = commands;
    this.#connect = connect;
    this.#logger = logger;
    this.#lingerMs = lingerMs;
  }

  /** Calls the listener with what is added to the stream from now on. Resolves, when that is so, with how to end it. */
  follow(key: string, listener: StreamListener): Promise<() => void> {
    const slot = isCluster(this.#commands) ? slotOf(key) : 0;
    let reader = this.#readers.get(slot);
    if (!reader) {
      reader = new StreamReader(this.#commands, () => this.#connect(key), this.#logger, this.#lingerMs);
      this.#readers.set(slot, reader);
    }
    return reader.follow(key, listener);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#readers.values()].map((reader) => reader.close()));
  }
}

/** Orders two stream ids, `<ms>-<sequence>`. */
export function compareStreamIds(a: string, b: string): number {
  const [aMs = '0', aSequence = '0'] = a.split('-');
  const [bMs = '0', bSequence = '0'] = b.split('-');
  return Number(aMs) - Number(bMs) || Number(aSequence) - Number(bSequence);
}
