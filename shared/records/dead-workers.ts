import type { Keys } from '../keys.js';
import type { RedisConnection } from '../redis/connection.js';
import type { Unreadable } from './unreadable.js';

interface WorkerRecords {
  readonly redis: RedisConnection;
  readonly keys: Keys;
  readonly unreadable: Unreadable;
}

/** Returns the ids of workers that were alive within the last hour, did not sign off, and whose heartbeat has expired. */
export async function deadWorkers({ redis, keys, unreadable }: WorkerRecords): Promise<string[]> {
  const known = await unreadable.read(keys.workers, 'sorted set', redis.zrange(keys.workers, '0', '-1'), []);
  const alive = await Promise.all(known.map((id) => redis.exists(keys.worker(id))));
  return known.filter((_, index) => alive[index] === 0);
}
