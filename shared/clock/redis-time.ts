import { type RedisConnection, serverOf } from '../redis/connection.js';

/** The time of the server that has a key, in ms since the epoch: on a cluster each node has a clock. Null while that server is not known. */
export function redisTime(redis: RedisConnection, key: string): Promise<number> | null {
  const time = serverOf(redis, key)?.time();
  return time?.then(([seconds, micros]) => Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)) ?? null;
}
