import { usagePoolClean } from '../definitions.js';
import { type TaskHandler, defineHandler } from '../../../shared/task/handler.js';
import type { FleetResources } from '../fleet-resources.js';
import { PoolCleaner } from './pool-cleaner.js';

/** The handler of `usage-pool.clean`. */
export function usagePoolCleanHandler({ store: { pools }, settings, loggers }: FleetResources): TaskHandler {
  const { keys } = pools;
  const cleaner = new PoolCleaner({
    connection: () => pools.connection(),
    pool: { key: keys.usagePool, lock: keys.usageLock, channel: keys.usageChanges, shape: 'usage', timeoutMs: settings.usageTimeoutMs },
    lockMs: settings.cleanupLockMs,
    logger: loggers('cleanup'),
  });
  return defineHandler(usagePoolClean, ({ id, signal }) => cleaner.run(id, signal));
}
