import type { Redis } from 'ioredis';

/**
 * PINGs a subscribed connection at intervals, to tell a quiet connection from a dead one. Returns a function that stops it.
 * @param everyMs REDIS_HEALTH_CHECK_INTERVAL; 0 for no PING, which leaves detection to TCP keep-alive
 */
export function checkHealth(redis: Redis, everyMs: number): () => void {
  if (everyMs === 0) return () => undefined;
  const timer = setInterval(() => {
    if (redis.status === 'ready') redis.ping().catch(() => undefined);
  }, everyMs);
  return () => clearInterval(timer);
}
