import { type Keys, isName, isShared, quote } from '../keys.js';
import { chunks } from '../limits.js';
import type { KeyType, RecordReporter, RecordSource } from '../records/unreadable.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import type { FleetFacts } from './fleet-facts.js';
import { MergedWrites, type Registration } from './merged-writes.js';
import { type ReadPast, readPast, readQueueNames } from './reads.js';

/** A live task in the registry. */
export interface Entry {
  readonly id: string;
  /** The item of a foreign task. Null for our own tasks: their item is in the job, and the registry's copy is for open-webui. */
  readonly item: string | null;
  /** Null for a foreign task, which is not on our queues. */
  readonly queue: string | null;
  /** Why the queue is unreadable; absent if it is not. */
  readonly problem?: string;
}

/** A position in the list of live tasks: newer tasks were already listed. */
export interface Position {
  readonly at: number;
  readonly id: string;
}

interface RegistryOptions {
  readonly redis: ScriptedRedis;
  readonly keys: Keys;
  readonly facts: FleetFacts;
  readonly unreadable: RecordReporter;
}

/** Ids per script, because a script blocks Redis. */
const IDS_AT_ONCE = 1_000;
/** The highest position that fits into the `next` of a page. */
const MAX_POSITION = 9_999_999_999_999;

type Expected = readonly (readonly [key: string, type: KeyType])[];

/**
 * The registry of live tasks. Our own tasks are read from keys that only the fleet writes; the shared hash of tasks and sets of items
 * only tell the tasks of other programs.
 */
export class Registry {
  readonly #redis: ScriptedRedis;
  readonly #keys: Keys;
  readonly #facts: FleetFacts;
  readonly #unreadable: RecordReporter;

  constructor({ redis, keys, facts, unreadable }: RegistryOptions) {
    this.#redis = redis;
    this.#keys = keys;
    this.#facts = facts;
    this.#unreadable = unreadable;
  }

  /** Starts a batch of writes. */
  writes(): MergedWrites {
    return new MergedWrites(this.#keys, this.#facts);
  }

  /** Finds the entries of ids in one round trip; null for an id that is not live. */
  async find(ids: readonly string[]): Promise<(Entry | null)[]> {
    if (ids.length === 0) return [];
    if (ids.length > IDS_AT_ONCE) return (await Promise.all(chunks(ids, IDS_AT_ONCE).map((some) => this.find(some)))).flat();
    // Read atomically. Writers set the queue before the item and delete it after, so our own task never looks like a foreign
    // one without a queue.
    const { value, without } = await this.#readPast(this.#registryKeys(), (tasks, queues) => this.#redis.findTasks(tasks, queues, ...ids));
    return this.#entriesOf(ids, ...value, without);
  }

  /** Finds the live tasks of an item in one round trip. An entry is null if the hash of queues has the wrong type. */
  async findItem(item: string): Promise<Map<string, Entry | null>> {
    const {
      value: [ids, ...entries],
      without,
    } = await this.#readPast(this.#itemKeys(item), (...keys) => this.#redis.findItem(...keys));
    return new Map(this.#entriesOf(ids, ...entries, without).map((entry, index) => [ids[index] as string, entry]));
  }

  /** Whether an item has a live task, ours or foreign. */
  async hasActive(item: string): Promise<boolean> {
    const { value } = await this.#readPast(this.#itemKeys(item), (...keys) => this.#redis.isBusy(...keys));
    return value === 1;
  }

  /**
   * Registers a task under its item; with `reject`, only if the item has no other live task. Returns the ids of the item's other
   * live tasks, ours or foreign.
   */
  claimItem({ id, item, queue, at }: Registration, mode: 'join' | 'reject'): Promise<string[]> {
    return this.#redis.claimItem(
      ...this.#itemKeys(item).map(([key]) => key),
      this.#keys.live,
      this.#keys.lease(id),
      id,
      item,
      queue,
      at,
      mode,
      Number(this.#facts.written),
    );
  }

  /**
   * Restores the shared entries of our live tasks, given as id → item, after open-webui has deleted them. Returns the ids that are
   * still live.
   */
  async relist(items: ReadonlyMap<string, string | null>): Promise<string[]> {
    const { tasks, taskQueues, live } = this.#keys;
    const leased = this.#facts.written;
    const words = [...items].flatMap(([id, item]) => (isShared(id) ? [id, item ?? '', leased ? this.#keys.lease(id) : ''] : []));
    return words.length === 0 ? [] : this.#redis.relist(tasks, taskQueues, live, this.#keys.item(''), ...words);
  }

  /** Removes tasks that are not live from their item. */
  async leaveItem(item: string, ids: readonly string[]): Promise<void> {
    const sets = [this.#keys.ownItem(item), this.#keys.item(item)];
    await Promise.all(sets.map((key) => this.#unreadable.read(key, 'set', this.#redis.srem(key, ...ids), 0)));
  }

  /** Counts live tasks, foreign ones included; approximate while open-webui deletes our entries. */
  async count(): Promise<number> {
    return Math.max(...(await this.#lengths()));
  }

  /** Returns up to `limit` of our live tasks after a position, newest first. */
  async page(after: Position | null, limit: number): Promise<Position[]> {
    // Tasks of the same millisecond share a score: skip those already listed.
    const skip = after === null ? 0 : await this.#countSeen(after);
    const from = after === null ? '+inf' : String(after.at);
    const flat = await this.#readLive(
      this.#redis.zrange(this.#keys.live, from, '-inf', 'BYSCORE', 'REV', 'LIMIT', skip, limit, 'WITHSCORES'),
    );
    const page: Position[] = [];
    for (let i = 0; i < flat.length; i += 2) page.push({ id: flat[i] as string, at: positionOf(flat[i + 1] as string) });
    return page;
  }

  /** Counts the tasks of the position's millisecond that were already listed. */
  async #countSeen({ at, id }: Position): Promise<number> {
    const same = await this.#readLive(this.#redis.zrangebyscore(this.#keys.live, at, at));
    return same.filter((other) => other >= id).length;
  }

  /** Returns live tasks of other programs. Scans the whole registry, but only if there may be any. */
  async foreign(): Promise<Entry[]> {
    const [all, ours] = await this.#lengths();
    // Equal counts prove nothing beside open-webui, which may have deleted as many of our entries as it added.
    if (all === 0 || (all <= ours && !this.#facts.removed)) return [];
    const found = new Map<string, Entry>();
    for (let cursor = '0'; ;) {
      const {
        value: [next, ...flat],
        without,
      } = await this.#readPast(this.#registryKeys(), (...keys) => this.#redis.foreignTasks(...keys, cursor, IDS_AT_ONCE));
      // Without the hash of queues, our own tasks would look foreign.
      if (without.size > 0) return [];
      for (let i = 0; i < flat.length; i += 2)
        found.set(flat[i] as string, { id: flat[i] as string, item: flat[i + 1] || null, queue: null });
      if (next === '0') break;
      cursor = next;
    }
    if (found.size > 0) this.#facts.sawForeign();
    return [...found.values()];
  }

  /** Returns all queues that ever had a task or worker: see {@link readQueueNames}. */
  queueNames(): Promise<string[]> {
    return readQueueNames(this.#source);
  }

  #registryKeys(): Expected {
    return [
      [this.#keys.tasks, 'hash'],
      [this.#keys.taskQueues, 'hash'],
    ];
  }

  /** The item's own and shared sets, then the registry's keys. */
  #itemKeys(item: string): Expected {
    return [[this.#keys.ownItem(item), 'set'], [this.#keys.item(item), 'set'], ...this.#registryKeys()];
  }

  get #source(): RecordSource {
    return { redis: this.#redis, keys: this.#keys, unreadable: this.#unreadable };
  }

  #readPast<T>(expected: Expected, read: (...keys: string[]) => Promise<T>): Promise<ReadPast<T>> {
    return readPast(this.#source, expected, read);
  }

  #readLive(reading: Promise<string[]>): Promise<string[]> {
    return this.#unreadable.read(this.#keys.live, 'sorted set', reading, []);
  }

  #lengths(): Promise<[all: number, ours: number]> {
    const lengthOf = (key: string): Promise<number> => this.#unreadable.read(key, 'hash', this.#redis.hlen(key), 0);
    return Promise.all([lengthOf(this.#keys.tasks), lengthOf(this.#keys.taskQueues)]);
  }

  /** If the hash of queues is unreadable, all entries are null: their tasks are then searched on every queue. */
  #entriesOf(
    ids: readonly string[],
    items: readonly (string | null)[],
    queues: readonly (string | null)[],
    without: ReadonlySet<string>,
  ): (Entry | null)[] {
    if (without.has(this.#keys.taskQueues)) return ids.map(() => null);
    const entries = ids.map((id, index) => {
      const item = items[index] ?? null;
      const queue = queues[index] ?? null;
      if (queue !== null) return isName(queue) ? { id, item: null, queue } : this.#badQueue(id, queue);
      return item === null ? null : { id, item: item || null, queue };
    });
    if (entries.some((entry) => entry?.queue === null && entry.problem === undefined)) this.#facts.sawForeign();
    return entries;
  }

  #badQueue(id: string, queue: string): Entry {
    const problem = `expected a queue name in ${this.#keys.taskQueues}, got ${quote(queue)}`;
    this.#unreadable.report({ key: this.#keys.taskQueues, id, problem });
    return { id, item: null, queue: null, problem };
  }
}

/** Turns a score into a position, in whole ms. Another program may have written any number. */
export function positionOf(score: string): number {
  return Math.trunc(Math.min(Math.max(Number(score), 0), MAX_POSITION));
}
