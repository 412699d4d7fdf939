import type { Keys } from '../keys.js';
import type { RedisConnection } from '../redis/connection.js';
import type { Unreadable } from '../unreadable.js';

/** Where it is read that a worker is dead. */
interface WorkerRecords {
  readonly redis: RedisConnection;
  readonly keys: Keys;
  readonly unreadable: Unreadable;
}

/** Ids of the workers that were alive within the last hour, said no farewell, and whose heartbeat has run out. */
export async function deadWorkers({ redis, keys, unreadable }: WorkerRecords): Promise<string[]> {
  const known = await unreadable.read(keys.workers, 'sorted set', redis.zrange(keys.workers, '0', '-1'), []);
  const alive = await Promise.all(known.map((id) => redis.exists(keys.worker(id))));
  return known.filter((_, index) => alive[index] === 0);
}
