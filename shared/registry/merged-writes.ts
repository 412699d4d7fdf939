import type { ChainableCommander } from 'ioredis';
import type { Keys } from '../keys.js';

export interface Registration {
  readonly id: string;
  /** `''` for none. */
  readonly item: string;
  readonly queue: string;
  /** When it was enqueued, in ms. */
  readonly at: number;
}

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
      pipeline.hset(this.#keys.taskQueues, ...this.#queues);
      pipeline.hset(this.#keys.tasks, ...this.#tasks);
      pipeline.zadd(this.#keys.live, ...this.#live);
      for (const [item, ids] of this.#itemsAdded) pipeline.sadd(this.#keys.item(item), ...ids);
      this.#tasks = [];
      this.#queues = [];
      this.#live = [];
      if (this.#itemsAdded.size > 0) this.#itemsAdded = new Map();
    }
    if (this.#removed.length > 0) {
      pipeline.hdel(this.#keys.tasks, ...this.#removed);
      pipeline.hdel(this.#keys.taskQueues, ...this.#removed);
      pipeline.zrem(this.#keys.live, ...this.#removed);
      for (const [item, ids] of this.#itemsRemoved) pipeline.srem(this.#keys.item(item), ...ids);
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
