import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { type StopRecord, parseStop } from './record.js';

/**
 * Stops of tasks that are registered and have no job yet: their enqueue is under way, and a stop has no job to be
 * recorded with. Whoever stops such a task leaves the stop here and looks for the job once more; whoever enqueues looks
 * here once the job is there. So one of the two sees the other. Workers and the reconciler look too, in case the one who
 * enqueued did not live to.
 */
export class EarlyStops {
  readonly #redis: ScriptedRedis;
  readonly #keys: Keys;

  constructor(redis: ScriptedRedis, keys: Keys) {
    this.#redis = redis;
    this.#keys = keys;
  }

  /** The first stop of a task stays. */
  async leave(ids: readonly string[], stop: string): Promise<void> {
    await Promise.all(ids.map((id) => this.#redis.hsetnx(this.#keys.earlyStops, id, stop)));
  }

  /** The stops that were left for these tasks. Usually there are none at all, which costs one short command. */
  async find(ids: readonly string[]): Promise<Map<string, StopRecord>> {
    const found = new Map<string, StopRecord>();
    if ((await this.#redis.hlen(this.#keys.earlyStops)) === 0 || ids.length === 0) return found;
    const stops = await this.#redis.hmget(this.#keys.earlyStops, ...ids);
    ids.forEach((id, index) => {
      const stop = parseStop(stops[index], null);
      if (stop) found.set(id, stop);
    });
    return found;
  }

  /** Up to `limit` tasks for which a stop was left. */
  async ids(limit: number): Promise<string[]> {
    const [, flat] = await this.#redis.hscan(this.#keys.earlyStops, 0, 'COUNT', limit);
    return flat.filter((_, index) => index % 2 === 0).slice(0, limit);
  }

  async clear(ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.#redis.hdel(this.#keys.earlyStops, ...ids);
  }
}
