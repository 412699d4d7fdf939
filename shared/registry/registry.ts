import { chunks } from '../chunks.js';
import { type Keys, isShared } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import type { FleetFacts } from './fleet-facts.js';
import { MergedWrites, type Registration } from './merged-writes.js';

/** A live task as the registry has it. */
export interface Entry {
  readonly id: string;
  /** Of a foreign task, null for none. Null for one of ours, whose item is in its job: what the registry says of it is for open-webui. */
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

/**
 * The registry of live tasks. What is ours, and that it is live, is read from keys that nobody else writes; the hash of tasks and the
 * shared sets of items say only what other programs have.
 */
export class Registry {
  readonly #redis: ScriptedRedis;
  readonly #keys: Keys;
  readonly #facts: FleetFacts;

  constructor(redis: ScriptedRedis, keys: Keys, facts: FleetFacts) {
    this.#redis = redis;
    this.#keys = keys;
    this.#facts = facts;
  }

  /** Gathers writes to it. */
  writes(): MergedWrites {
    return new MergedWrites(this.#keys, this.#facts);
  }

  /** Item and queue of each id in one round trip; null for an id that is not live. */
  async find(ids: readonly string[]): Promise<(Entry | null)[]> {
    if (ids.length === 0) return [];
    if (ids.length > IDS_AT_ONCE) return (await Promise.all(chunks(ids, IDS_AT_ONCE).map((some) => this.find(some)))).flat();
    // Read at one moment. Writers set the queue before the item and delete it after: so no moment shows a task of ours
    // without its queue, like a foreign one.
    return this.#entriesOf(ids, ...(await this.#redis.findTasks(this.#keys.tasks, this.#keys.taskQueues, ...ids)));
  }

  /** The live tasks of an item, each with its entry, in one round trip. Null where a set of the item is wrong. */
  async findItem(item: string): Promise<Map<string, Entry | null>> {
    const [ids, ...entries] = await this.#redis.findItem(...this.#itemKeys(item));
    return new Map(this.#entriesOf(ids, ...entries).map((entry, index) => [ids[index] as string, entry]));
  }

  /** Whether anything of an item is live, ours or not. */
  async hasActive(item: string): Promise<boolean> {
    return (await this.#redis.isBusy(...this.#itemKeys(item))) === 1;
  }

  /**
   * Registers a task under its item, with `reject` only if nothing else of the item is live. Returns the ids of the item's other
   * live tasks, ours or not.
   */
  claimItem({ id, item, queue, at }: Registration, mode: 'join' | 'reject'): Promise<string[]> {
    return this.#redis.claimItem(...this.#itemKeys(item), this.#keys.live, this.#keys.lease(id), id, item, queue, at, mode, Number(this.#facts.written));
  }

  /**
   * Lists live tasks of ours again, by id with their items, where open-webui has deleted them. Those that have ended are left alone.
   * Returns the ids of the others.
   */
  async relist(items: ReadonlyMap<string, string | null>): Promise<string[]> {
    const { tasks, taskQueues, live } = this.#keys;
    const leased = this.#facts.written;
    const words = [...items].flatMap(([id, item]) => (isShared(id) ? [id, item ?? '', leased ? this.#keys.lease(id) : ''] : []));
    return words.length === 0 ? [] : this.#redis.relist(tasks, taskQueues, live, this.#keys.item(''), ...words);
  }

  /** Takes from an item what turned out not to be live. */
  async leaveItem(item: string, ids: readonly string[]): Promise<void> {
    await Promise.all([this.#redis.srem(this.#keys.ownItem(item), ...ids), this.#redis.srem(this.#keys.item(item), ...ids)]);
  }

  /** How many tasks are live, those of other programs included; roughly, while open-webui deletes entries of ours. */
  async count(): Promise<number> {
    return Math.max(...(await Promise.all([this.#redis.hlen(this.#keys.tasks), this.#redis.hlen(this.#keys.taskQueues)])));
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

  /** Live tasks of other programs. Costs the size of the registry, page by page, but only where there may be any. */
  async foreign(): Promise<Entry[]> {
    const { tasks, taskQueues } = this.#keys;
    const [all, ours] = await Promise.all([this.#redis.hlen(tasks), this.#redis.hlen(taskQueues)]);
    // Where open-webui is, an entry of ours may be missing for each one of its own.
    if (all === 0 || (all <= ours && !this.#facts.removed)) return [];
    const found = new Map<string, Entry>();
    for (let cursor = '0'; ; ) {
      const [next, ...flat] = await this.#redis.foreignTasks(tasks, taskQueues, cursor, IDS_AT_ONCE);
      for (let i = 0; i < flat.length; i += 2) found.set(flat[i] as string, { id: flat[i] as string, item: flat[i + 1] || null, queue: null });
      if (next === '0') break;
      cursor = next;
    }
    if (found.size > 0) this.#facts.sawForeign();
    return [...found.values()];
  }

  /** Every queue that ever had a task or a worker. */
  async queueNames(): Promise<string[]> {
    return (await this.#redis.smembers(this.#keys.queues)).sort();
  }

  #itemKeys(item: string): [ours: string, shared: string, tasks: string, queues: string] {
    return [this.#keys.ownItem(item), this.#keys.item(item), this.#keys.tasks, this.#keys.taskQueues];
  }

  #entriesOf(ids: readonly string[], items: readonly (string | null)[], queues: readonly (string | null)[]): (Entry | null)[] {
    const entries = ids.map((id, index) => {
      const item = items[index] ?? null;
      const queue = queues[index] ?? null;
      if (queue !== null) return { id, item: null, queue };
      return item === null ? null : { id, item: item || null, queue };
    });
    if (entries.some((entry) => entry?.queue === null)) this.#facts.sawForeign();
    return entries;
  }
}
