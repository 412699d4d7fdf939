import type { Redis } from 'ioredis';

/**
 * PINGs a subscribed connection at intervals: such a connection is silent by nature, and only an answer tells a quiet one
 * from a dead one. Returns what ends it.
 * @param everyMs REDIS_HEALTH_CHECK_INTERVAL; 0 for no PING. A dead connection is noticed by TCP keep-alive alone then
 */
export function checkHealth(redis: Redis, everyMs: number): () => void {
  if (everyMs === 0) return () => undefined;
  const timer = setInterval(() => {
    if (redis.status === 'ready') redis.ping().catch(() => undefined);
  }, everyMs);
  return () => clearInterval(timer);
}
