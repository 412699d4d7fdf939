import { type TestRedis, type TestRedisOptions, startTestRedis } from '../../support/redis/test-redis.js';
import type { Deployment } from './fault-fleet.js';

/** Starts one redis-server for the scenario. */
export interface SingleRedis extends Deployment {
  readonly redis: TestRedis;
}

export async function singleRedis(options: TestRedisOptions = {}): Promise<SingleRedis> {
  const redis = await startTestRedis(options);
  return { redis, config: { redisUrl: redis.url }, env: { REDIS_URL: redis.url }, stop: () => redis.stop() };
}

/** Returns the server of a scenario opened with `singleRedis`. */
export function redisOf({ options }: { readonly options: { readonly deployment: Deployment } }): TestRedis {
  return (options.deployment as SingleRedis).redis;
}
