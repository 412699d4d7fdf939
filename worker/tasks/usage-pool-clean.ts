import { usagePoolClean } from '../../shared/task/builtin/index.js';
import { type TaskHandler, defineHandler } from '../../shared/task/handler.js';
import type { FleetResources } from '../fleet-resources.js';
import { PoolCleaner } from '../pool-cleaner.js';

/** The handler of `usage-pool.clean`. */
export function usagePoolCleanHandler({ store: { redis, keys }, settings, loggers }: FleetResources): TaskHandler {
  const cleaner = new PoolCleaner({
    redis,
    pool: { key: keys.usagePool, lock: keys.usageLock, channel: keys.usageChanges, shape: 'usage', timeoutMs: settings.usageTimeoutMs },
    lockMs: settings.cleanupLockMs,
    logger: loggers('cleanup'),
  });
  return defineHandler(usagePoolClean, ({ id, signal }) => cleaner.run(id, signal));
}
