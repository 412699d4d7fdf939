import { chunks } from '../chunks.js';
import type { Keys } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';

/** A live task as the registry has it. */
export interface Entry {
  readonly id: string;
  readonly item: string | null;
  /** Null for a foreign task: one that is not on our queues. */
  readonly queue: string | null;
}

/** A place in the list of live tasks: everything at it and after it has been seen. */
export interface Position {
  readonly at: number;
  readonly id: string;
}

/** Ids of one script: it holds up Redis. */
const IDS_AT_ONCE = 1_000;

/** Reads the registry of live tasks. Writing is the business of MergedWrites. */
export class Registry {
  readonly #redis: ScriptedRedis;
  readonly #keys: Keys;

  constructor(redis: ScriptedRedis, keys: Keys) {
    this.#redis = redis;
    this.#keys = keys;
  }

  /** Item and queue of each id in one round trip; null for an id that is not live. */
  async find(ids: readonly string[]): Promise<(Entry | null)[]> {
    if (ids.length === 0) return [];
    if (ids.length > IDS_AT_ONCE) return (await Promise.all(chunks(ids, IDS_AT_ONCE).map((some) => this.find(some)))).flat();
    // Read at one moment. Writers set the queue before the item and delete it after: so no moment shows a task of ours
    // without its queue, like a foreign one.
    return entriesOf(ids, ...(await this.#redis.findTasks(this.#keys.tasks, this.#keys.taskQueues, ...ids)));
  }

  /** The live tasks of an item, each with its entry, in one round trip. Null where the item's set is wrong. */
  async findItem(item: string): Promise<Map<string, Entry | null>> {
    const [ids, ...entries] = await this.#redis.findItem(this.#keys.item(item), this.#keys.tasks, this.#keys.taskQueues);
    return new Map(entriesOf(ids, ...entries).map((entry, index) => [ids[index] as string, entry]));
  }

  /** The live tasks of an item. */
  idsOf(item: string): Promise<string[]> {
    return this.#redis.smembers(this.#keys.item(item));
  }

  async hasActive(item: string): Promise<boolean> {
    return (await this.#redis.scard(this.#keys.item(item))) > 0;
  }

  count(): Promise<number> {
    return this.#redis.hlen(this.#keys.tasks);
  }

  /** Up to `limit` live tasks of ours, newest first, after a position. */
  async page(after: Position | null, limit: number): Promise<Position[]> {
    // Tasks of one millisecond share a score: those of the position's own millisecond that were seen are skipped.
    const skip = after === null ? 0 : await this.#countSeen(after);
    const from = after === null ? '+inf' : String(after.at);
    const flat = await this.#redis.zrange(this.#keys.live, from, '-inf', 'BYSCORE', 'REV', 'LIMIT', skip, limit, 'WITHSCORES');
    const page: Position[] = [];
    for (let i = 0; i < flat.length; i += 2) page.push({ id: flat[i] as string, at: Number(flat[i + 1]) });
    return page;
  }

  /** How many tasks of the position's millisecond come at it or before it, in the order of a page. */
  async #countSeen({ at, id }: Position): Promise<number> {
    const same = await this.#redis.zrangebyscore(this.#keys.live, at, at);
    return same.filter((other) => other >= id).length;
  }

  /** Live ids of other programs. Costs the size of the registry, but only where there are any. */
  async foreign(): Promise<Entry[]> {
    const [all, ours] = await Promise.all([this.#redis.hlen(this.#keys.tasks), this.#redis.hlen(this.#keys.taskQueues)]);
    if (all <= ours) return [];
    const flat = await this.#redis.foreignTasks(this.#keys.tasks, this.#keys.taskQueues);
    return flat.flatMap((id, index) => (index % 2 === 0 ? [{ id, item: flat[index + 1] || null, queue: null }] : []));
  }

  /** Every queue that ever had a task or a worker. */
  async queueNames(): Promise<string[]> {
    return (await this.#redis.smembers(this.#keys.queues)).sort();
  }
}

function entriesOf(ids: readonly string[], items: readonly (string | null)[], queues: readonly (string | null)[]): (Entry | null)[] {
  return ids.map((id, index) => {
    const item = items[index] ?? null;
    const queue = queues[index] ?? null;
    return item === null && queue === null ? null : { id, item: item || null, queue };
  });
}
