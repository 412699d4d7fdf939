import { type Keys, isName, quote } from '../keys.js';
import { chunks } from '../limits.js';
import type { KeyType, RecordReporter, RecordSource } from '../records/unreadable.js';
import { isShared } from '../reserved-ids.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import type { JobAddress } from '../task/job-options.js';
import { FindIndex } from './find-index.js';
import type { FleetFacts } from './fleet-facts.js';
import { type Memberships, MergedWrites, type Registration, leaveItemsKeys } from './merged-writes.js';
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

/** An entry of an ended task, as it was read. */
export interface ReadEntry extends Memberships {
  readonly id: string;
  /** Its score in the list of live tasks; `''` for none. */
  readonly score: string;
}

interface RegistryOptions {
  readonly redis: ScriptedRedis;
  readonly keys: Keys;
  readonly facts: FleetFacts;
  readonly unreadable: RecordReporter;
}

/** Ids per script, because a script blocks Redis. */
const IDS_AT_ONCE = 1_000;
/** Tasks of an item that one script finds. */
const FOUND_AT_ONCE = 2_000;
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

  /**
   * Finds the live tasks of an item, in one round trip unless it has thousands. An entry is null if the hash of queues has the wrong type.
   */
  async findItem(item: string): Promise<Map<string, Entry | null>> {
    const { value, without } = await this.#readPast(this.#itemKeys(item), (...keys) => this.#redis.findItem(...keys, FOUND_AT_ONCE));
    if (value === null) return this.#findMany(item);
    const [ids, ...entries] = value;
    return new Map(this.#entriesOf(ids, ...entries, without).map((entry, index) => [ids[index] as string, entry]));
  }

  /** Finds the tasks of an item in pages: one script for all of them would block Redis. */
  async #findMany(item: string): Promise<Map<string, Entry | null>> {
    const ids = new Set<string>();
    for (const key of [this.#keys.ownItem(item), this.#keys.item(item)]) {
      let cursor = '0';
      do {
        const scanning = this.#redis.sscan(key, cursor, 'COUNT', IDS_AT_ONCE);
        const [next, page] = await this.#unreadable.read(key, 'set', scanning, ['0', []]);
        for (const id of page) ids.add(id);
        cursor = next;
      } while (cursor !== '0');
    }
    const found = [...ids];
    return new Map((await this.find(found)).map((entry, index) => [found[index] as string, entry]));
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

  /** Returns the score of a task's entry, by which {@link removeUnchanged} recognises it; `''` for none. */
  async scoreOf(id: string): Promise<string> {
    return (await this.#redis.zscore(this.#keys.live, id)) ?? '';
  }

  /** Removes the entries of ended tasks, unless they were registered again since they were read. Returns the removed ids. */
  async removeUnchanged(entries: readonly ReadEntry[]): Promise<Set<string>> {
    if (entries.length === 0) return new Set();
    const { tasks, taskQueues, live } = this.#keys;
    const words = entries.flatMap(({ id, item, score }) => [id, item, score, isShared(id) ? this.#keys.lease(id) : '']);
    const removed = new Set(await this.#redis.dropEntries(tasks, taskQueues, live, this.#keys.item(''), this.#keys.ownItem(''), ...words));
    const children = entries.filter(({ id, parent }) => parent && removed.has(id));
    await Promise.all(
      children.map(({ id, parent = '' }) => {
        const key = this.#keys.children(parent);
        return this.#unreadable.read(key, 'set', this.#redis.srem(key, id), 0);
      }),
    );
    return removed;
  }

  /** Moves a live task to another item and other tags. A crash in between is repaired by the reconciler. */
  async changeMemberships({ id, queue }: JobAddress, from: Memberships, to: Memberships): Promise<void> {
    // The set of an item comes before its index.
    if (from.item !== to.item && to.item !== '') await this.#redis.sadd(this.#keys.ownItem(to.item), id);
    await this.#changeIndex({ id, queue }, from, to);
    if (from.item === to.item) return;
    await this.relist(new Map([[id, to.item]]));
    if (from.item !== '') await this.leaveItem(from.item, [id]);
  }

  async #changeIndex({ id, queue }: JobAddress, from: Memberships, to: Memberships): Promise<void> {
    const stays = [to.item, ...(to.tags ?? [])];
    const isSame = [from.item, ...(from.tags ?? [])].every((text, index) => text === stays[index]);
    if (isSame && stays.length === 1 + (from.tags ?? []).length) return;
    const [removed, added] = [new FindIndex(this.#keys), new FindIndex(this.#keys)];
    removed.remove(id, from);
    added.add(id, queue, positionOf(await this.scoreOf(id)), to);
    await Promise.all(removed.takeRemoved().map(([key, members]) => this.#redis.zrem(key, ...members)));
    await Promise.all(added.takeAdded().members.map(([key, words]) => this.#redis.zadd(key, ...words)));
  }

  /** Removes tasks that are not live from their item. */
  async leaveItem(item: string, ids: readonly string[]): Promise<void> {
    await this.#redis.leaveItems(...leaveItemsKeys(this.#keys), item, ids.length, ...ids);
  }

  /** Counts live tasks, foreign ones included; approximate while open-webui deletes our entries. */
  async count(): Promise<number> {
    return Math.max(...(await this.#lengths()));
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
