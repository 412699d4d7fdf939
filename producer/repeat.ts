import { setTimeout as delay } from 'node:timers/promises';
import { isFleetError } from '../shared/errors.js';
import { reconnectDelay } from '../shared/redis/connect.js';
import { isUnavailability } from '../shared/redis/connection-errors.js';
import type { ConnectedSettings } from '../shared/redis/topology.js';

/**
 * Retries idempotent work that a failover interrupted, up to REDIS_SENTINEL_MAX_RETRY_COUNT times, with the delays of
 * reconnects.
 */
export async function repeated<Value>(work: () => Promise<Value>, settings: ConnectedSettings): Promise<Value> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt > settings.maxRetries || !(isUnavailability(error) || isFleetError(error, 'REDIS_UNAVAILABLE'))) throw error;
      await delay(reconnectDelay(settings, attempt));
    }
  }
}

/** Returns the total delay of all retries, in ms. */
export function repetitionMs(settings: ConnectedSettings): number {
  return Array.from({ length: settings.maxRetries }, (_, index) => reconnectDelay(settings, index + 1)).reduce((sum, ms) => sum + ms, 0);
}
