import { Redis } from 'ioredis';

/** Keys removed at once. */
const AT_ONCE = 1_000;

/** Removes all keys that begin with a prefix. Rejects at once, without another attempt, if Redis cannot be reached. */
export async function removeKeys(redisUrl: string, prefix: string): Promise<void> {
  const redis = new Redis(redisUrl, { protocol: 2, retryStrategy: () => null });
  redis.on('error', () => undefined); // it rejects the commands, too
  try {
    let cursor = '0';
    do {
      const [next, found] = await redis.scan(cursor, 'MATCH', `${prefix}*`, 'COUNT', AT_ONCE);
      if (found.length > 0) await redis.unlink(...found);
      cursor = next;
    } while (cursor !== '0');
  } finally {
    redis.disconnect();
  }
}
