import type { Redis } from 'ioredis';

/**
 * Makes a connection disconnect only once per stream. For every reply that requires a reconnect, ioredis disconnects again and
 * adds a timer and a listener: after a failover, one for each command in flight.
 */
export function endOnce(redis: Redis): void {
  const disconnect = redis.disconnect.bind(redis);
  let ending: Redis['stream'] | null = null;
  redis.disconnect = (reconnect = false) => {
    // Only while ready: a closed stream stays the current one until the next is connected.
    if (reconnect && redis.status === 'ready' && redis.stream === ending) return;
    if (reconnect) ending = redis.stream;
    disconnect(reconnect);
  };
}
