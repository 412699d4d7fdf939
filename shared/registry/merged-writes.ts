import { chunks } from '../chunks.js';
import type { Keys } from '../keys.js';

export interface Registration {
  readonly id: string;
  /** `''` for none. */
  readonly item: string;
  readonly queue: string;
  /** When it was enqueued, in ms. */
  readonly at: number;
}

type Words = (string | number)[];

/**
 * What takes the writes: a pipeline, or a connection. A pipeline saves writes to the socket; but each one is a new object
 * that ioredis gives every script of its connection, BullMQ's too, which costs as much as ten commands.
 */
export interface RegistryCommands {
  hset(key: string, ...fieldsAndValues: Words): unknown;
  hdel(key: string, ...fields: string[]): unknown;
  zadd(key: string, ...scoresAndMembers: Words): unknown;
  zrem(key: string, ...members: string[]): unknown;
  sadd(key: string, ...members: string[]): unknown;
  srem(key: string, ...members: string[]): unknown;
}

/** Words of one command, field and value each one. Even, so that pairs stay together. */
const WORDS_AT_ONCE = 20_000;

/**
 * Writes to the registry, gathered and written as a few commands of many fields each: what costs is the command, not
 * the field. All of them may be repeated without harm.
 */
export class MergedWrites {
  readonly #keys: Keys;
  #tasks: string[] = [];
  #queues: string[] = [];
  #live: (string | number)[] = [];
  #removed: string[] = [];
  readonly #itemsAdded = new Map<string, string[]>();
  readonly #itemsRemoved = new Map<string, string[]>();

  constructor(keys: Keys) {
    this.#keys = keys;
  }

  add({ id, item, queue, at }: Registration): void {
    this.#tasks.push(id, item);
    this.#queues.push(id, queue);
    this.#live.push(at, id);
    if (item !== '') append(this.#itemsAdded, item, id);
  }

  remove(id: string, item: string): void {
    this.#removed.push(id);
    if (item !== '') append(this.#itemsRemoved, item, id);
  }

  /** Hands over the gathered writes, registrations first, and forgets them. Returns what each command returned. */
  flushInto(commands: RegistryCommands): unknown[] {
    return [...this.#flushAdded(commands), ...this.#flushRemoved(commands)];
  }

  #flushAdded(commands: RegistryCommands): unknown[] {
    if (this.#tasks.length === 0) return [];
    const sent: unknown[] = [];
    // The queue first: an id without one is a foreign task.
    for (const words of chunks(this.#queues, WORDS_AT_ONCE)) sent.push(commands.hset(this.#keys.taskQueues, ...words));
    for (const words of chunks(this.#tasks, WORDS_AT_ONCE)) sent.push(commands.hset(this.#keys.tasks, ...words));
    for (const words of chunks(this.#live, WORDS_AT_ONCE)) sent.push(commands.zadd(this.#keys.live, ...words));
    for (const [item, ids] of this.#itemsAdded) {
      for (const words of chunks(ids, WORDS_AT_ONCE)) sent.push(commands.sadd(this.#keys.item(item), ...words));
    }
    this.#tasks = [];
    this.#queues = [];
    this.#live = [];
    this.#itemsAdded.clear();
    return sent;
  }

  #flushRemoved(commands: RegistryCommands): unknown[] {
    if (this.#removed.length === 0) return [];
    const sent: unknown[] = [];
    for (const words of chunks(this.#removed, WORDS_AT_ONCE)) {
      sent.push(commands.hdel(this.#keys.tasks, ...words));
      sent.push(commands.hdel(this.#keys.taskQueues, ...words));
      sent.push(commands.zrem(this.#keys.live, ...words));
    }
    for (const [item, ids] of this.#itemsRemoved) {
      for (const words of chunks(ids, WORDS_AT_ONCE)) sent.push(commands.srem(this.#keys.item(item), ...words));
    }
    this.#removed = [];
    this.#itemsRemoved.clear();
    return sent;
  }
}

function append(map: Map<string, string[]>, key: string, id: string): void {
  const ids = map.get(key);
  if (ids) ids.push(id);
  else map.set(key, [id]);
}
