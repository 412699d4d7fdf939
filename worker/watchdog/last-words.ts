import { createKeys } from '../../shared/keys.js';
import { createLoggerFactory } from '../../shared/log/logger.js';
import { connect, hangUp, ready } from '../../shared/redis/connect.js';
import type { ConnectedSettings } from '../../shared/redis/topology.js';
import { writeLastLine } from '../../shared/workers/last-records.js';

/**
 * Writes why a worker ends into its record, on a connection of this thread: the worker's event loop hangs.
 * @param limitMs longest wait for a connection
 * @throws if Redis does not accept it in time
 */
export async function writeLastWords(settings: ConnectedSettings, worker: string, text: string, limitMs: number): Promise<void> {
  const logger = createLoggerFactory({ settings, destination: { write: () => undefined } })('redis');
  const redis = connect({ settings, policy: 'fail-fast', logger, name: 'taskfleet:worker:watchdog' });
  try {
    await ready(redis, limitMs);
    await writeLastLine({ redis, keys: createKeys(settings.keyPrefix, settings.cluster) }, worker, text);
  } finally {
    hangUp(redis);
  }
}
