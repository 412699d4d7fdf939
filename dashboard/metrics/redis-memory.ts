import type { Store } from '../../shared/store.js';
import { type Sample, sample } from './exposition.js';

export interface RedisMemory {
  readonly usedBytes: number;
  /** 0 for no limit. */
  readonly maxBytes: number;
  /** The eviction policy. */
  readonly policy: string;
}

export async function readMemory({ redis }: Store): Promise<RedisMemory> {
  const info = await redis.info('memory');
  const field = (name: string): string | undefined => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];
  return {
    usedBytes: Number(field('used_memory') ?? 0),
    maxBytes: Number(field('maxmemory') ?? 0),
    policy: field('maxmemory_policy') ?? 'unknown',
  };
}

export async function memorySamples(store: Store): Promise<Sample[]> {
  const { usedBytes, maxBytes } = await readMemory(store);
  return [sample('taskfleet_redis_memory_used_bytes', usedBytes), sample('taskfleet_redis_memory_max_bytes', maxBytes)];
}
