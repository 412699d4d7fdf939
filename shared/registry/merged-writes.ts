import { append } from '../groups.js';
import type { Keys } from '../keys.js';
import { chunks } from '../limits.js';
import { isShared } from '../reserved-ids.js';
import { FindIndex, type Findable } from './find-index.js';

/** The lists and indexes of a task besides the registry itself. */
export interface Memberships extends Findable {
  /** Id of the task whose handler enqueued this one. Default: none. */
  readonly parent?: string | undefined;
}

export interface Registration extends Memberships {
  readonly id: string;
  readonly queue: string;
  /** Time of the enqueue, in ms. */
  readonly at: number;
}

/** Whether entries of tasks have leases. */
export interface Leases {
  /** Whether live tasks have leases. */
  readonly written: boolean;
  /** Whether there may be leases to remove. */
  readonly removed: boolean;
}

export type Words = (string | number)[];

/**
 * A pipeline or a connection. A pipeline saves socket writes, but ioredis defines every script of the connection on each new
 * pipeline, BullMQ's too, which costs as much as ten commands.
 */
interface RegistryCommands extends RegistrationCommands {
  hdel(key: string, ...fields: string[]): unknown;
  zrem(key: string, ...members: string[]): unknown;
  srem(key: string, ...members: string[]): unknown;
  del(...keys: string[]): unknown;
  leaveItems(...keysAndArguments: Words): unknown;
}

/** The commands that register tasks. */
export interface RegistrationCommands {
  hset(key: string, ...fieldsAndValues: Words): unknown;
  zadd(key: string, ...scoresAndMembers: Words): unknown;
  sadd(key: string, ...members: string[]): unknown;
  pexpire(key: string, ms: number): unknown;
  mset(...keysAndValues: Words): unknown;
}

const NO_LEASES: Leases = Object.freeze({ written: false, removed: false });
/**
 * Arguments of one command, counting field and value each: 500 tasks, which block Redis for less than a millisecond. Even, so that pairs
 * stay together.
 */
const WORDS_AT_ONCE = 1_000;
/** Words of items and ids in one call of `leaveItems`, and tasks of one item: a call takes less than two milliseconds. */
const WORDS_OF_ITEMS = 900;
const TASKS_AT_ONCE = 500;
/** Expires a task's list of children, in case a crash leaves one in it. */
const CHILDREN_KEPT_MS = 24 * 3_600_000;

/**
 * Batches registry writes into a few commands with many fields each, since the command costs more than the field. All writes are
 * idempotent.
 *
 * A task's queue is written first and deleted last. So an id without a queue always belongs to another program, and an entry that
 * a crash left half written or half deleted still has its queue, where the reconciler looks. The list of live tasks is written last
 * and deleted first: a registration resent after the task has ended shows up there, and a task being removed is not relisted for
 * open-webui.
 *
 * The indexes of live tasks are written before the list and removed after it, so that a listed task can be found by its name, item and tags.
 *
 * The shared keys are written only for open-webui, which deletes our entries too. The fleet's own part is `p:tasks:queues`,
 * `p:tasks:live`, `p:items:<item>` and `p:find:…`.
 */
export class MergedWrites {
  readonly #keys: Keys;
  readonly #leases: Leases;
  #tasks: string[] = [];
  #queues: string[] = [];
  #live: (string | number)[] = [];
  #leased: string[] = [];
  #removed: string[] = [];
  #unleased: string[] = [];
  /** By key: the sets of items and of children. */
  readonly #joined = new Map<string, string[]>();
  /** By item. */
  readonly #left = new Map<string, string[]>();
  /** By key: the sets of children. */
  readonly #orphaned = new Map<string, string[]>();
  readonly #parents = new Set<string>();
  readonly #index: FindIndex;

  /** `leases` is read at each write; default: no leases. {@link Registry.writes} passes the fleet's. */
  constructor(keys: Keys, leases: Leases = NO_LEASES) {
    this.#keys = keys;
    this.#leases = leases;
    this.#index = new FindIndex(keys);
  }

  add(registration: Registration): void {
    const { id, item, parent, queue, at } = registration;
    this.index(registration);
    this.#queues.push(id, queue);
    this.#live.push(at, id);
    if (item !== '') append(this.#joined, this.#keys.ownItem(item), id);
    if (isShared(id)) {
      this.#tasks.push(id, item);
      if (item !== '') append(this.#joined, this.#keys.item(item), id);
      if (this.#leases.written) this.#leased.push(this.#keys.lease(id), '1');
    }
    if (!parent) return;
    append(this.#joined, this.#keys.children(parent), id);
    this.#parents.add(parent);
  }

  /** Indexes a task that is registered by other means. */
  index({ id, queue, at, ...found }: Registration): void {
    this.#index.add(id, queue, at, found);
  }

  remove(id: string, memberships: Memberships): void {
    const { item, parent } = memberships;
    this.#index.remove(id, memberships);
    this.#removed.push(id);
    if (item !== '') append(this.#left, item, id);
    if (this.#leases.removed && isShared(id)) this.#unleased.push(this.#keys.lease(id));
    if (parent) append(this.#orphaned, this.#keys.children(parent), id);
  }

  /** Sends the batched writes, registrations first. Returns the result of each command. */
  flushInto(commands: RegistryCommands): unknown[] {
    return [...this.flushAddedInto(commands), ...this.#flushRemoved(commands)];
  }

  /** Sends the batched registrations. Returns the result of each command. */
  flushAddedInto(commands: RegistrationCommands): unknown[] {
    const indexed = this.#index.takeAdded();
    if (this.#queues.length === 0 && indexed.members.length === 0) return [];
    const sent: unknown[] = [];
    for (const words of chunks(this.#queues, WORDS_AT_ONCE)) sent.push(commands.hset(this.#keys.taskQueues, ...words));
    for (const words of chunks(this.#tasks, WORDS_AT_ONCE)) sent.push(commands.hset(this.#keys.tasks, ...words));
    for (const [key, ids] of this.#joined) for (const words of chunks(ids, WORDS_AT_ONCE)) sent.push(commands.sadd(key, ...words));
    for (const words of chunks(this.#leased, WORDS_AT_ONCE)) sent.push(commands.mset(...words));
    for (const [key, members] of indexed.members)
      for (const words of chunks(members, WORDS_AT_ONCE)) sent.push(commands.zadd(key, ...words));
    for (const words of chunks(indexed.names, WORDS_AT_ONCE)) sent.push(commands.sadd(this.#keys.findNames, ...words));
    for (const words of chunks(this.#live, WORDS_AT_ONCE)) sent.push(commands.zadd(this.#keys.live, ...words));
    for (const parent of this.#parents) sent.push(commands.pexpire(this.#keys.children(parent), CHILDREN_KEPT_MS));
    this.#tasks = [];
    this.#queues = [];
    this.#live = [];
    this.#leased = [];
    this.#parents.clear();
    this.#joined.clear();
    return sent;
  }

  #flushRemoved(commands: RegistryCommands): unknown[] {
    if (this.#removed.length === 0) return [];
    const sent: unknown[] = [];
    for (const words of chunks(this.#removed, WORDS_AT_ONCE)) sent.push(commands.zrem(this.#keys.live, ...words));
    for (const [key, members] of this.#index.takeRemoved())
      for (const words of chunks(members, WORDS_AT_ONCE)) sent.push(commands.zrem(key, ...words));
    for (const words of wordsOfItems(this.#left)) sent.push(commands.leaveItems(...leaveItemsKeys(this.#keys), ...words));
    for (const [key, ids] of this.#orphaned) for (const words of chunks(ids, WORDS_AT_ONCE)) sent.push(commands.srem(key, ...words));
    for (const words of chunks(this.#unleased, WORDS_AT_ONCE)) sent.push(commands.del(...words));
    for (const words of chunks(this.#removed, WORDS_AT_ONCE)) {
      sent.push(commands.hdel(this.#keys.tasks, ...words));
      sent.push(commands.hdel(this.#keys.taskQueues, ...words));
    }
    this.#removed = [];
    this.#unleased = [];
    this.#left.clear();
    this.#orphaned.clear();
    return sent;
  }
}

/** Returns the keys and first arguments of `leaveItems`. */
export function leaveItemsKeys(keys: Keys): [items: string, texts: string, own: string, shared: string] {
  return [keys.findItems, keys.findTexts, keys.ownItem(''), keys.item('')];
}

/** Returns the arguments of `leaveItems` about tasks by item, in as many calls as it takes. */
function wordsOfItems(left: ReadonlyMap<string, readonly string[]>): Words[] {
  const calls: Words[] = [];
  let words: Words = [];
  for (const [item, all] of left)
    for (const ids of chunks(all, TASKS_AT_ONCE)) {
      if (words.length === 0 || words.length + 2 + ids.length > WORDS_OF_ITEMS) calls.push((words = []));
      words.push(item, ids.length, ...ids);
    }
  return calls;
}
