import { type Keys, isShared } from '../keys.js';
import { chunks } from '../limits.js';

/** The lists of a task besides the registry itself. */
export interface Memberships {
  /** `''` for none. */
  readonly item: string;
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

type Words = (string | number)[];

/**
 * A pipeline or a connection. A pipeline saves socket writes, but ioredis defines every script of the connection on each new
 * pipeline, BullMQ's too, which costs as much as ten commands.
 */
interface RegistryCommands {
  hset(key: string, ...fieldsAndValues: Words): unknown;
  hdel(key: string, ...fields: string[]): unknown;
  zadd(key: string, ...scoresAndMembers: Words): unknown;
  zrem(key: string, ...members: string[]): unknown;
  sadd(key: string, ...members: string[]): unknown;
  srem(key: string, ...members: string[]): unknown;
  pexpire(key: string, ms: number): unknown;
  mset(...keysAndValues: Words): unknown;
  del(...keys: string[]): unknown;
}

const NO_LEASES: Leases = Object.freeze({ written: false, removed: false });
/** Arguments of one command, counting field and value each. Even, so that pairs stay together. */
const WORDS_AT_ONCE = 20_000;
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
 * The shared keys are written only for open-webui, which deletes our entries too. The fleet's own part is `p:tasks:queues`,
 * `p:tasks:live` and `p:items:<item>`.
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
  readonly #left = new Map<string, string[]>();
  readonly #parents = new Set<string>();

  /** `leases` is read at each write; default: no leases. {@link Registry.writes} passes the fleet's. */
  constructor(keys: Keys, leases: Leases = NO_LEASES) {
    this.#keys = keys;
    this.#leases = leases;
  }

  add({ id, item, parent, queue, at }: Registration): void {
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

  remove(id: string, { item, parent }: Memberships): void {
    this.#removed.push(id);
    if (item !== '') {
      append(this.#left, this.#keys.ownItem(item), id);
      append(this.#left, this.#keys.item(item), id);
    }
    if (this.#leases.removed && isShared(id)) this.#unleased.push(this.#keys.lease(id));
    if (parent) append(this.#left, this.#keys.children(parent), id);
  }

  /** Sends the batched writes, registrations first. Returns the result of each command. */
  flushInto(commands: RegistryCommands): unknown[] {
    return [...this.#flushAdded(commands), ...this.#flushRemoved(commands)];
  }

  #flushAdded(commands: RegistryCommands): unknown[] {
    if (this.#queues.length === 0) return [];
    const sent: unknown[] = [];
    for (const words of chunks(this.#queues, WORDS_AT_ONCE)) sent.push(commands.hset(this.#keys.taskQueues, ...words));
    for (const words of chunks(this.#tasks, WORDS_AT_ONCE)) sent.push(commands.hset(this.#keys.tasks, ...words));
    for (const [key, ids] of this.#joined) for (const words of chunks(ids, WORDS_AT_ONCE)) sent.push(commands.sadd(key, ...words));
    for (const words of chunks(this.#leased, WORDS_AT_ONCE)) sent.push(commands.mset(...words));
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
    for (const [key, ids] of this.#left) for (const words of chunks(ids, WORDS_AT_ONCE)) sent.push(commands.srem(key, ...words));
    for (const words of chunks(this.#unleased, WORDS_AT_ONCE)) sent.push(commands.del(...words));
    for (const words of chunks(this.#removed, WORDS_AT_ONCE)) {
      sent.push(commands.hdel(this.#keys.tasks, ...words));
      sent.push(commands.hdel(this.#keys.taskQueues, ...words));
    }
    this.#removed = [];
    this.#unleased = [];
    this.#left.clear();
    return sent;
  }
}

function append(map: Map<string, string[]>, key: string, id: string): void {
  const ids = map.get(key);
  if (ids) ids.push(id);
  else map.set(key, [id]);
}
