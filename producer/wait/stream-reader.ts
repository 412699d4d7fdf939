import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Logger } from '../../shared/log/logger.js';
import { hangUp } from '../../shared/redis/connect.js';
import { isConnectionError } from '../../shared/redis/connection-errors.js';
import { type RedisConnection, isCluster, serverOf, slotOf } from '../../shared/redis/connection.js';
import { isWrongType } from '../../shared/redis/reply-errors.js';
import { BackOff } from '../../shared/time.js';

/** An auto-reset event for one waiter at a time. */
export class Notice {
  #raised = false;
  #wake: (() => void) | null = null;

  raise(): void {
    this.#raised = true;
    this.#wake?.();
  }

  /** Resolves with true when raised, or if raised since the last wait; false after `timeoutMs`. Rejects with the signal's reason. */
  wait(timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#wake = null;
        settle();
      };
      const raised = (): void => {
        this.#raised = false;
        finish(() => resolve(true));
      };
      const onAbort = (): void => finish(() => reject(signal?.reason as Error));
      const timer = setTimeout(() => finish(() => resolve(false)), timeoutMs);
      this.#wake = raised;
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted) onAbort();
      else if (this.#raised) raised();
    });
  }
}

export interface StreamEntry {
  readonly id: string;
  readonly fields: readonly string[];
}

/** Receives the entries added to a stream since the last call. */
type StreamListener = (entries: readonly StreamEntry[]) => void;

interface Stream {
  lastId: string;
  readonly listeners: Set<StreamListener>;
}

const BLOCK_MS = 5_000;
const READ_AT_ONCE = 1_000;
const RETRY_MS = 5;
/** Initial and maximum backoff after errors, in ms. */
const RETRY_AFTER_ERROR_MS = 100;
const LONGEST_RETRY_MS = 5_000;

/**
 * Follows any number of streams of one server over one connection, with one blocking read at a time. Resumes after a lost connection
 * at the last entry, so that no entry still in a stream is missed.
 */
class StreamReader {
  readonly #commands: RedisConnection;
  readonly #connect: () => Redis;
  readonly #logger: Logger;
  readonly #lingerMs: number;
  readonly #streams = new Map<string, Stream>();
  readonly #followed = new Notice();
  /** The streams of the read in progress; null if there is none. */
  #reading: ReadonlySet<string> | null = null;
  #blocking: Redis | null = null;
  #clientId: number | null = null;
  #loop: Promise<void> | null = null;
  #closed = false;

  /**
   * @param commands the connection for short commands
   * @param connect opens the connection for blocking reads; called on first use
   * @param lingerMs how long the idle connection stays open, in ms
   */
  constructor(commands: RedisConnection, connect: () => Redis, logger: Logger, lingerMs: number) {
    this.#lingerMs = lingerMs;
    this.#commands = commands;
    this.#connect = connect;
    this.#logger = logger;
  }

  /** Subscribes the listener to new entries. Resolves, once subscribed, with a function that unsubscribes. */
  async follow(key: string, listener: StreamListener): Promise<() => void> {
    let stream = this.#streams.get(key);
    if (!stream) {
      const newest = await this.#commands.xrevrange(key, '+', '-', 'COUNT', 1);
      stream = this.#streams.get(key) ?? { lastId: newest[0]?.[0] ?? '0-0', listeners: new Set() };
      this.#streams.set(key, stream);
    }
    const followed = stream;
    followed.listeners.add(listener);
    this.#followed.raise();
    this.#loop ??= this.#run();
    void this.#include(key);
    return () => {
      followed.listeners.delete(listener);
      if (followed.listeners.size === 0 && this.#streams.get(key) === followed) this.#streams.delete(key);
    };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#streams.clear();
    this.#followed.raise();
    if (this.#blocking) hangUp(this.#blocking);
    await this.#loop;
  }

  /** Unblocks a read without this stream, so that the next one includes it. Repeats, because a read may be sent but not blocked yet. */
  async #include(key: string): Promise<void> {
    while (!this.#closed && this.#streams.has(key) && this.#reading?.has(key) === false) {
      if (this.#clientId !== null)
        await serverOf(this.#commands, key)
          ?.client('UNBLOCK', this.#clientId)
          .catch(() => undefined);
      await delay(RETRY_MS);
    }
  }

  async #run(): Promise<void> {
    const redis = this.#connect();
    this.#blocking = redis;
    redis.on('close', () => {
      if (this.#blocking === redis) this.#clientId = null;
    });
    const backOff = new BackOff(RETRY_AFTER_ERROR_MS, LONGEST_RETRY_MS);
    while (await this.#wanted()) {
      try {
        await this.#read(redis);
        backOff.reset();
      } catch (error) {
        if (this.#closed) break;
        this.#logger.debug({ error }, 'Could not read streams; retrying');
        if (isWrongType(error)) await this.#dropOthers().catch(() => undefined);
        // The client has its own backoff for a lost connection.
        await delay(isConnectionError(error) ? RETRY_AFTER_ERROR_MS : backOff.next());
      }
    }
    this.#blocking = null;
    this.#clientId = null;
    this.#loop = null;
    const ended = redis.status === 'ready' ? once(redis, 'end') : null;
    hangUp(redis);
    await ended;
  }

  /** Drops keys that are not streams, since one of them would fail the read of all. */
  async #dropOthers(): Promise<void> {
    for (const key of [...this.#streams.keys()]) {
      const type = await this.#commands.type(key);
      if (type !== 'stream' && type !== 'none') this.#streams.delete(key);
    }
  }

  /** Returns whether there is a stream to follow, after waiting up to `lingerMs` for one. */
  async #wanted(): Promise<boolean> {
    while (!this.#closed && this.#streams.size === 0) if (!(await this.#followed.wait(this.#lingerMs))) return this.#streams.size > 0;
    return !this.#closed;
  }

  async #read(redis: Redis): Promise<void> {
    this.#clientId ??= await redis.client('ID');
    const keys = [...this.#streams.keys()];
    const ids = keys.map((key) => this.#streams.get(key)?.lastId ?? '0-0');
    if (keys.length === 0) return;
    this.#reading = new Set(keys);
    const reading = redis.xread('COUNT', READ_AT_ONCE, 'BLOCK', BLOCK_MS, 'STREAMS', ...keys, ...ids);
    const read = await reading.finally(() => {
      this.#reading = null;
    });
    for (const [key, entries] of read ?? []) this.#deliver(key, entries);
  }

  #deliver(key: string, raw: readonly [id: string, fields: string[]][]): void {
    const stream = this.#streams.get(key);
    const last = raw.at(-1);
    if (!stream || !last) return;
    stream.lastId = last[0];
    const entries = raw.map(([id, fields]) => ({ id, fields }));
    for (const listener of [...stream.listeners]) listener(entries);
  }
}

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
