import { MAX_SHARDS } from '../limits.js';
/** The part of a definition that determines the queues of its tasks. Older copies of this package have no `shards`. */
export interface Sharded {
  /** The logical queue, as named by the definition. */
  readonly queue: string;
  readonly shards?: number;
}

/** Longest name of a queue with shards, so that the names of its shards are valid too. */
export const MAX_SHARDED_LENGTH = 64 - `.shard-${MAX_SHARDS - 1}`.length;

const LIKE_SHARD = /\.shard-\d+$/i;
const SHARD = /^(.+)\.shard-([1-9]\d?)$/;

/** Returns what is wrong with a definition's queue, or null. */
export function problemOfQueue({ queue, shards = 1 }: Sharded): string | null {
  if (LIKE_SHARD.test(queue)) return 'expected the name of a logical queue; a name that ends in .shard-<n> is that of a shard';
  if (shards > 1 && queue.length > MAX_SHARDED_LENGTH)
    return `expected at most ${MAX_SHARDED_LENGTH} characters for a queue with shards, got ${queue.length}`;
  return null;
}

/** Returns the BullMQ queues of a definition. The first is the logical queue itself, so that its tasks stay there when shards are added. */
export function shardsOf({ queue, shards = 1 }: Sharded): string[] {
  return Array.from({ length: shards }, (_, index) => shardName(queue, index));
}

/** Returns the BullMQ queue of a task id, which changes only with the number of shards. */
export function shardOf({ queue, shards = 1 }: Sharded, id: string): string {
  return shards === 1 ? queue : shardName(queue, hashOf(id) % shards);
}

/** Returns the logical queue of a BullMQ queue: its own name, unless it is a shard. */
export function baseQueue(name: string): string {
  const [, base, index] = SHARD.exec(name) ?? [];
  return base !== undefined && Number(index) < MAX_SHARDS ? base : name;
}

/** Whether a BullMQ queue is `wanted`, or a shard of it. */
export function isOnQueue(name: string, wanted: string): boolean {
  return name === wanted || baseQueue(name) === wanted;
}

function shardName(queue: string, index: number): string {
  return index === 0 ? queue : `${queue}.shard-${index}`;
}

/** 32-bit FNV-1a with MurmurHash3's finalizer: without it, ids that differ in the last letter hash to neighbouring values. */
function hashOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < id.length; index += 1) hash = Math.imul(hash ^ id.charCodeAt(index), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
