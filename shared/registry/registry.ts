import { chunks } from '../chunks.js';
import { type Keys, isName, isShared, quote } from '../keys.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import type { KeyType, RecordReporter, RecordSource } from '../unreadable.js';
import type { FleetFacts } from './fleet-facts.js';
import { MergedWrites, type Registration } from './merged-writes.js';
import { readQueueNames } from './queue-names.js';
import { type ReadPast, readPast } from './read-past.js';

/** A live task as the registry has it. */
export interface Entry {
  readonly id: string;
  /** Of a foreign task, null for none. Null for one of ours, whose item is in its job: what the registry says of it is for open-webui. */
  readonly item: string | null;
  /** Null for a foreign task: one that is not on our queues. */
  readonly queue: string | null;
  /** Why nobody can say on which queue it is; null for an entry that is whole. */
  readonly problem?: string;
}

/** A place in the list of live tasks: everything at it and after it has been seen. */
export interface Position {
  readonly at: number;
  readonly id: string;
}

export interface RegistryOptions {
  readonly redis: ScriptedRedis;
  readonly keys: Keys;
  readonly facts: FleetFacts;
  readonly unreadable: RecordReporter;
}

/** Ids of one script: it holds up Redis. */
const IDS_AT_ONCE = 1_000;
/** The highest place in a list: what fits into the `next` of a page. */
const MAX_POSITION = 9_999_999_999_999;

type Expected = readonly (readonly [key: string, type: KeyType])[];

/**
 * The registry of live tasks. What is ours, and that it is live, is read from keys that nobody else writes; the hash of tasks and the
 * shared sets of items say only what other programs have.
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
    const { value, without } = await this.#readPast(this.#registryKeys(), (tasks, queues) => this.#redis.findTasks(tasks, queues, ...ids));
    return this.#entriesOf(ids, ...value, without);
  }

  /** The live tasks of an item, each with its entry, in one round trip. Null where a set of the item is wrong. */
  async findItem(item: string): Promise<Map<string, Entry | null>> {
    const {
      value: [ids, ...entries],
      without,
    } = await this.#readPast(this.#itemKeys(item), (...keys) => this.#redis.findItem(...keys));
    return new Map(this.#entriesOf(ids, ...entries, without).map((entry, index) => [ids[index] as string, entry]));
  }

  /** Whether anything of an item is live, ours or not. */
  async hasActive(item: string): Promise<boolean> {
    const { value } = await this.#readPast(this.#itemKeys(item), (...keys) => this.#redis.isBusy(...keys));
    return value === 1;
  }

  /**
   * Registers a task under its item, with `reject` only if nothing else of the item is live. Returns the ids of the item's other
   * live tasks, ours or not.
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
    const sets = [this.#keys.ownItem(item), this.#keys.item(item)];
    await Promise.all(sets.map((key) => this.#unreadable.read(key, 'set', this.#redis.srem(key, ...ids), 0)));
  }

  /** How many tasks are live, those of other programs included; roughly, while open-webui deletes entries of ours. */
  async count(): Promise<number> {
    return Math.max(...(await this.#lengths()));
  }

  /** Up to `limit` live tasks of ours, newest first, after a position. */
  async page(after: Position | null, limit: number): Promise<Position[]> {
    // Tasks of one millisecond share a score: those of the position's own millisecond that were seen are skipped.
    const skip = after === null ? 0 : await this.#countSeen(after);
    const from = after === null ? '+inf' : String(after.at);
    const flat = await this.#readLive(
      this.#redis.zrange(this.#keys.live, from, '-inf', 'BYSCORE', 'REV', 'LIMIT', skip, limit, 'WITHSCORES'),
    );
    const page: Position[] = [];
    for (let i = 0; i < flat.length; i += 2) page.push({ id: flat[i] as string, at: positionOf(flat[i + 1] as string) });
    return page;
  }

  /** How many tasks of the position's millisecond come at it or before it, in the order of a page. */
  async #countSeen({ at, id }: Position): Promise<number> {
    const same = await this.#readLive(this.#redis.zrangebyscore(this.#keys.live, at, at));
    return same.filter((other) => other >= id).length;
  }

  /** Live tasks of other programs. Costs the size of the registry, page by page, but only where there may be any. */
  async foreign(): Promise<Entry[]> {
    const [all, ours] = await this.#lengths();
    // Where open-webui is, an entry of ours may be missing for each one of its own.
    if (all === 0 || (all <= ours && !this.#facts.removed)) return [];
    const found = new Map<string, Entry>();
    for (let cursor = '0'; ;) {
      const {
        value: [next, ...flat],
        without,
      } = await this.#readPast(this.#registryKeys(), (...keys) => this.#redis.foreignTasks(...keys, cursor, IDS_AT_ONCE));
      // Without the queues of ours, ours would look like theirs.
      if (without.size > 0) return [];
      for (let i = 0; i < flat.length; i += 2)
        found.set(flat[i] as string, { id: flat[i] as string, item: flat[i + 1] || null, queue: null });
      if (next === '0') break;
      cursor = next;
    }
    if (found.size > 0) this.#facts.sawForeign();
    return [...found.values()];
  }

  /** Every queue that ever had a task or a worker: see {@link readQueueNames}. */
  queueNames(): Promise<string[]> {
    return readQueueNames(this.#source);
  }

  #registryKeys(): Expected {
    return [
      [this.#keys.tasks, 'hash'],
      [this.#keys.taskQueues, 'hash'],
    ];
  }

  /** Our tasks of the item, those that are shared, then as above. */
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

  /** Of the tasks, and of the queues of ours. */
  #lengths(): Promise<[all: number, ours: number]> {
    const lengthOf = (key: string): Promise<number> => this.#unreadable.read(key, 'hash', this.#redis.hlen(key), 0);
    return Promise.all([lengthOf(this.#keys.tasks), lengthOf(this.#keys.taskQueues)]);
  }

  /** Of entries whose queues cannot be read nothing is known: they are looked for on every queue. */
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
    const problem = `expected the name of its queue in ${this.#keys.taskQueues}, got ${quote(queue)}`;
    this.#unreadable.report({ key: this.#keys.taskQueues, id, problem });
    return { id, item: null, queue: null, problem };
  }
}

/** A score of a list of tasks as a place in it, in whole ms: somebody may have written any number. */
export function positionOf(score: string): number {
  return Math.trunc(Math.min(Math.max(Number(score), 0), MAX_POSITION));
}
