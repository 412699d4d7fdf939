import { type TestRedis, type TestRedisOptions, startTestRedis } from '../../support/redis/test-redis.js';
import type { Deployment } from './fault-fleet.js';

/** One redis-server of the scenario's own. */
export interface SingleRedis extends Deployment {
  readonly redis: TestRedis;
}

export async function singleRedis(options: TestRedisOptions = {}): Promise<SingleRedis> {
  const redis = await startTestRedis(options);
  return { redis, config: { redisUrl: redis.url }, env: { REDIS_URL: redis.url }, stop: () => redis.stop() };
}

/** The server that the fleet of a scenario opened with `singleRedis` works on. */
export function redisOf({ options }: { readonly options: { readonly deployment: Deployment } }): TestRedis {
  return (options.deployment as SingleRedis).redis;
}
