import type { ChainableCommander } from 'ioredis';
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
  #itemsAdded = new Map<string, string[]>();
  #itemsRemoved = new Map<string, string[]>();

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

  get empty(): boolean {
    return this.#tasks.length === 0 && this.#removed.length === 0;
  }

  /** Adds the gathered writes to a pipeline, registrations first, and forgets them. Returns how many commands it added. */
  flushInto(pipeline: ChainableCommander): number {
    const before = pipeline.length;
    if (this.#tasks.length > 0) {
      // The queue first: an id without one is a foreign task.
      for (const words of chunks(this.#queues, WORDS_AT_ONCE)) pipeline.hset(this.#keys.taskQueues, ...words);
      for (const words of chunks(this.#tasks, WORDS_AT_ONCE)) pipeline.hset(this.#keys.tasks, ...words);
      for (const words of chunks(this.#live, WORDS_AT_ONCE)) pipeline.zadd(this.#keys.live, ...words);
      for (const [item, ids] of this.#itemsAdded) {
        for (const words of chunks(ids, WORDS_AT_ONCE)) pipeline.sadd(this.#keys.item(item), ...words);
      }
      this.#tasks = [];
      this.#queues = [];
      this.#live = [];
      if (this.#itemsAdded.size > 0) this.#itemsAdded = new Map();
    }
    if (this.#removed.length > 0) {
      for (const words of chunks(this.#removed, WORDS_AT_ONCE)) {
        pipeline.hdel(this.#keys.tasks, ...words);
        pipeline.hdel(this.#keys.taskQueues, ...words);
        pipeline.zrem(this.#keys.live, ...words);
      }
      for (const [item, ids] of this.#itemsRemoved) {
        for (const words of chunks(ids, WORDS_AT_ONCE)) pipeline.srem(this.#keys.item(item), ...words);
      }
      this.#removed = [];
      if (this.#itemsRemoved.size > 0) this.#itemsRemoved = new Map();
    }
    return pipeline.length - before;
  }
}

function append(map: Map<string, string[]>, key: string, id: string): void {
  const ids = map.get(key);
  if (ids) ids.push(id);
  else map.set(key, [id]);
}
