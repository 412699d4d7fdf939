import { sessionPoolClean } from '../definitions.js';
import { type TaskHandler, defineHandler } from '../../../shared/task/handler.js';
import type { FleetResources } from '../fleet-resources.js';
import { PoolCleaner } from './pool-cleaner.js';

/** The handler of `session-pool.clean`. */
export function sessionPoolCleanHandler({ store: { pools }, settings, loggers }: FleetResources): TaskHandler {
  const { keys } = pools;
  const cleaner = new PoolCleaner({
    connection: () => pools.connection(),
    pool: {
      key: keys.sessionPool,
      lock: keys.sessionLock,
      channel: keys.sessionChanges,
      shape: 'session',
      timeoutMs: settings.sessionTimeoutMs,
    },
    lockMs: settings.cleanupLockMs,
    logger: loggers('cleanup'),
  });
  return defineHandler(sessionPoolClean, ({ id, signal }) => cleaner.run(id, signal));
}
