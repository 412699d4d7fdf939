import type { FleetClock } from '../clock/fleet-clock.js';
import type { Keys } from '../keys.js';
import type { RecordReporter } from '../records/unreadable.js';
import { readQueueNames } from '../registry/reads.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import type { Queues } from '../task/queues.js';
import { baseQueue } from '../task/shards.js';
import { type PauseRecord, type StoredPause, formatPause, readPause, readPauses } from './pause.js';

interface PausesOptions {
  readonly redis: ScriptedRedis;
  readonly keys: Keys;
  readonly queues: Queues;
  readonly clock: Pick<FleetClock, 'now'>;
  readonly unreadable: RecordReporter;
}

/**
 * Pauses and resumes logical queues with BullMQ's own flag on each shard, which every BullMQ worker obeys, and keeps a record of who did
 * so. The record is written first and names the shards that are paused: after a crash in between, the reconciler pauses the rest. A
 * recorded shard that is not paused was resumed by another client; a paused shard without a record was paused by one.
 */
export class Pauses {
  constructor(private readonly options: PausesOptions) {}

  /**
   * Pauses all shards of a queue. A queue that a recorded pause holds entirely keeps its record.
   * @param shards the queue's BullMQ queues
   */
  async pause(queue: string, shards: readonly string[], { by, reason }: Pick<PauseRecord, 'by' | 'reason'>): Promise<void> {
    const { redis, keys, clock } = this.options;
    const [record, paused] = await Promise.all([readPause(this.options, queue), this.#pausedOf(shards)]);
    if (record !== null && shards.every((shard) => paused.has(shard) && record.shards.includes(shard))) return;
    const made: PauseRecord = { by, reason, at: new Date(clock.now()), shards: [] };
    const text = formatPause(made);
    await redis.hset(keys.pausedQueues, queue, text);
    await this.#cover(queue, { record: made, text }, shards);
  }

  /** Resumes all shards of a queue, no matter who paused them. */
  async resume(queue: string, shards: readonly string[]): Promise<void> {
    const { redis, keys, queues } = this.options;
    await Promise.all(shards.map((shard) => queues.get(shard).resume()));
    await redis.hdel(keys.pausedQueues, queue);
  }

  /**
   * Compares the records with the queues: completes interrupted pauses, pauses new shards of paused queues, and removes the records of
   * queues that another client resumed.
   * @param names BullMQ queues, which must be listed in `p:queues`. Default: all of these
   */
  async tend(names?: readonly string[]): Promise<void> {
    const { redis, keys } = this.options;
    const records = await readPauses(this.options);
    if (records.size === 0) return;
    const all = names ?? (await readQueueNames(this.options));
    for (const [queue, stored] of records) {
      const { record, text } = stored;
      const shards = all.filter((name) => baseQueue(name) === queue);
      const paused = await this.#pausedOf([...shards, ...record.shards]);
      if (record.shards.length > 0 && !record.shards.some((shard) => paused.has(shard)))
        await redis.replaceField(keys.pausedQueues, queue, text, '');
      else if (shards.some((shard) => !record.shards.includes(shard))) await this.#cover(queue, stored, shards);
    }
  }

  /** Pauses the shards that the record lacks, and adds them to it. If the queue was resumed meanwhile, takes that back. */
  async #cover(queue: string, { record, text }: StoredPause, shards: readonly string[]): Promise<void> {
    const { redis, keys, queues } = this.options;
    const added = shards.filter((shard) => !record.shards.includes(shard));
    await Promise.all(added.map((shard) => queues.get(shard).pause()));
    const covering = formatPause({ ...record, shards: [...record.shards, ...added] });
    if ((await redis.replaceField(keys.pausedQueues, queue, text, covering)) === 1) return;
    if ((await redis.hexists(keys.pausedQueues, queue)) === 0) await Promise.all(added.map((shard) => queues.get(shard).resume()));
  }

  /** Returns which BullMQ queues are paused. */
  async #pausedOf(shards: readonly string[]): Promise<Set<string>> {
    const { redis, keys, unreadable } = this.options;
    const flags = await Promise.all(
      shards.map((shard) => {
        const key = `${keys.jobs(shard)}meta`;
        return unreadable.read(key, 'hash', redis.hexists(key, 'paused'), 0);
      }),
    );
    return new Set(shards.filter((_, index) => flags[index] === 1));
  }
}
