import type { Keys } from '../keys.js';
import type { Unreadable } from '../records/unreadable.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { type StopRecord, parseStop } from './receipt.js';

/** The parts of a store that pending stops need. */
interface PendingStopsSource {
  readonly redis: ScriptedRedis;
  readonly keys: Keys;
  readonly unreadable: Unreadable;
}

/**
 * Stops of tasks that are registered but have no job yet to record the stop with, because their enqueue is in progress. The stopper
 * leaves the stop here and then looks for the job again; the producer adds the job and then looks here. So one of them sees the
 * other. Workers and the reconciler look too, in case the producer died.
 */
export class PendingStops {
  readonly #redis: ScriptedRedis;
  readonly #keys: Keys;
  readonly #unreadable: Unreadable;

  constructor({ redis, keys, unreadable }: PendingStopsSource) {
    this.#redis = redis;
    this.#keys = keys;
    this.#unreadable = unreadable;
  }

  /** Leaves a stop; the first one of a task stays. Returns false if the key has the wrong type and nothing was written. */
  async leave(ids: readonly string[], stop: string): Promise<boolean> {
    const left = await this.#read(Promise.all(ids.map((id) => this.#redis.hsetnx(this.#keys.pendingStops, id, stop))), null);
    return left !== null;
  }

  /** Finds the stops left for these tasks. Usually there are none at all, which costs one short command. */
  async find(ids: readonly string[]): Promise<Map<string, StopRecord>> {
    const found = new Map<string, StopRecord>();
    if ((await this.#read(this.#redis.hlen(this.#keys.pendingStops), 0)) === 0 || ids.length === 0) return found;
    const stops = await this.#redis.hmget(this.#keys.pendingStops, ...ids);
    ids.forEach((id, index) => {
      const stop = parseStop(stops[index], null);
      if (stop) found.set(id, stop);
    });
    return found;
  }

  /** Returns up to `limit` ids of tasks with a pending stop. */
  async ids(limit: number): Promise<string[]> {
    const [, flat] = await this.#read(this.#redis.hscan(this.#keys.pendingStops, 0, 'COUNT', limit), ['0', []]);
    return flat.filter((_, index) => index % 2 === 0).slice(0, limit);
  }

  async clear(ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.#read(this.#redis.hdel(this.#keys.pendingStops, ...ids), 0);
  }

  #read<T>(reading: Promise<T>, fallback: T): Promise<T> {
    return this.#unreadable.read(this.#keys.pendingStops, 'hash', reading, fallback);
  }
}
