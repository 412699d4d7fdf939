import { type RedisConnection, serverOf } from '../redis/connection.js';

/** Reads the time of the server that holds a key, in ms since the epoch: each cluster node has its own clock. Null while it is unknown. */
export function redisTime(redis: RedisConnection, key: string): Promise<number> | null {
  const time = serverOf(redis, key)?.time();
  return time?.then(([seconds, micros]) => Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)) ?? null;
}
