import { messageOf } from '../../shared/errors.js';
import { isCluster } from '../../shared/redis/connection.js';
import { isRefusal } from '../../shared/redis/reply-errors.js';
import type { Store } from '../../shared/store.js';
import { type RedisMemory, memoryOf } from '../metrics/fleet-samples.js';

/** Whether Redis can take writes. */
export interface RedisState {
  /** Of the fullest server. */
  readonly memory: RedisMemory;
  /** Why it refuses writes now, apart from memory; null if it takes them. */
  readonly refusal: string | null;
}

export async function readRedisState({ redis, keys }: Pick<Store, 'redis' | 'keys'>): Promise<RedisState> {
  const servers = isCluster(redis) ? redis.nodes('master') : [redis];
  const [refusal, ...infos] = await Promise.all([
    // A write command that Redis refuses as any other, and that changes nothing.
    redis.pexpire(keys.nothing, 1).then(() => null, refusalOf),
    ...servers.map((server) => server.info('memory')),
  ]);
  const memories = infos.map(memoryOf).toSorted((a, b) => shareUsed(b) - shareUsed(a));
  return { memory: memories[0] ?? { usedBytes: 0, maxBytes: 0, policy: 'unknown' }, refusal };
}

/** Returns the share of its memory limit that a server uses; 0 without a limit. */
export function shareUsed({ usedBytes, maxBytes }: RedisMemory): number {
  return maxBytes === 0 ? 0 : usedBytes / maxBytes;
}

function refusalOf(error: unknown): string | null {
  if (isRefusal(error)) return messageOf(error);
  // Without the right to this command, nothing is known.
  if (error instanceof Error && error.message.startsWith('NOPERM')) return null;
  throw error;
}
