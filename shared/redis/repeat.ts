import { setTimeout as delay } from 'node:timers/promises';
import { isFleetError } from '../errors.js';
import { reconnectDelay } from './connect.js';
import { isUnavailability } from './connection-errors.js';
import type { ConnectedSettings } from './topology.js';

/**
 * Does again what failed for a reason that passes with a failover: REDIS_SENTINEL_MAX_RETRY_COUNT times, waiting as long
 * as before a reconnect. For what may be done twice.
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

/** How long all its waits take together, in ms. */
export function repetitionMs(settings: ConnectedSettings): number {
  return Array.from({ length: settings.maxRetries }, (_, index) => reconnectDelay(settings, index + 1)).reduce((sum, ms) => sum + ms, 0);
}
