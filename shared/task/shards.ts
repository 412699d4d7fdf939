/** What decides where tasks of a definition are. One of another copy of this package may not know of shards. */
export interface Sharded {
  /** The logical queue: what the definition names. */
  readonly queue: string;
  readonly shards?: number;
}

export const MAX_SHARDS = 64;
/** So that the names of its shards are names too. */
export const MAX_SHARDED_LENGTH = 64 - `.shard-${MAX_SHARDS - 1}`.length;

const LIKE_SHARD = /\.shard-\d+$/i;
const SHARD = /^(.+)\.shard-([1-9]\d?)$/;

/** What is wrong with the queue that a definition names, or null. */
export function problemOfQueue({ queue, shards = 1 }: Sharded): string | null {
  if (LIKE_SHARD.test(queue)) return 'expected the name of the whole queue; one that ends in .shard-<n> is a shard of another';
  if (shards > 1 && queue.length > MAX_SHARDED_LENGTH)
    return `expected at most ${MAX_SHARDED_LENGTH} characters for a queue with shards, got ${queue.length}`;
  return null;
}

/** The BullMQ queues of a definition. The first is the logical queue itself: with more shards, what was there stays there. */
export function shardsOf({ queue, shards = 1 }: Sharded): string[] {
  return Array.from({ length: shards }, (_, index) => shardName(queue, index));
}

/** The BullMQ queue of a definition that a task with this id goes to: always the same, as long as the number of shards is. */
export function shardOf({ queue, shards = 1 }: Sharded, id: string): string {
  return shards === 1 ? queue : shardName(queue, hashOf(id) % shards);
}

/** The logical queue of a BullMQ queue: its own name, unless it is a shard. */
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

/** FNV-1a of 32 bits, then the last steps of MurmurHash3: without them ids that differ in their last letter lie in a row. */
function hashOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < id.length; index += 1) hash = Math.imul(hash ^ id.charCodeAt(index), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
