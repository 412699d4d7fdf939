import type { Redis } from 'ioredis';

/**
 * Lets a connection be ended once. With each reply that asks for a new connection ioredis ends the old one, and adds a
 * timer and a listener to it each time: after a failover these are as many as the commands that were on their way.
 */
export function endOnce(redis: Redis): void {
  const disconnect = redis.disconnect.bind(redis);
  let ending: Redis['stream'] | null = null;
  redis.disconnect = (reconnect = false) => {
    // Only what answers: a stream that is gone is still the last one while the next is being made.
    if (reconnect && redis.status === 'ready' && redis.stream === ending) return;
    if (reconnect) ending = redis.stream;
    disconnect(reconnect);
  };
}
