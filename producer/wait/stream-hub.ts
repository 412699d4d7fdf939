import type { Redis } from 'ioredis';
import type { Logger } from '../../shared/logger.js';
import { type RedisConnection, isCluster, slotOf } from '../../shared/redis/connection.js';
import { type StreamListener, StreamReader } from './stream-reader.js';

/** How long an idle connection stays open, in ms, because the next follower will probably come soon. */
const LINGER_MS = 10_000;

/**
 * Follows any number of Redis streams over one connection, or on a cluster over one for each slot, because a read is limited to
 * one slot.
 */
export class StreamHub {
  readonly #commands: RedisConnection;
  readonly #connect: (key: string) => Redis;
  readonly #logger: Logger;
  readonly #lingerMs: number;
  readonly #readers = new Map<number, StreamReader>();

  /**
   * @param commands the connection for short commands
   * @param connect opens a connection for blocking reads, to the server that has the key; called on first use
   * @param options.lingerMs how long an idle connection stays open, in ms. Default 10,000
   */
  constructor(commands: RedisConnection, connect: (key: string) => Redis, logger: Logger, { lingerMs = LINGER_MS } = {}) {
    this.#commands = commands;
    this.#connect = connect;
    this.#logger = logger;
    this.#lingerMs = lingerMs;
  }

  /** Subscribes the listener to new entries. Resolves, once subscribed, with a function that unsubscribes. */
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

/** Compares two stream ids, `<ms>-<sequence>`. */
export function compareStreamIds(a: string, b: string): number {
  const [aMs = '0', aSequence = '0'] = a.split('-');
  const [bMs = '0', bSequence = '0'] = b.split('-');
  return Number(aMs) - Number(bMs) || Number(aSequence) - Number(bSequence);
}
