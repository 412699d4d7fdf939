import type { Keys } from '../keys.js';
import type { RedisConnection } from '../redis/connection.js';

/** Ids of the workers that were alive within the last hour, said no farewell, and whose heartbeat has run out. */
export async function deadWorkers(redis: RedisConnection, keys: Keys): Promise<string[]> {
  const known = await redis.zrange(keys.workers, '0', '-1');
  const alive = await Promise.all(known.map((id) => redis.exists(keys.worker(id))));
  return known.filter((_, index) => alive[index] === 0);
}
