import { FleetError } from '../../../shared/errors.js';
import { quote } from '../../../shared/keys.js';
import type { Logger } from '../../../shared/log/logger.js';
import type { ScriptedRedis } from '../../../shared/scripts/define-scripts.js';
import { type TaskHandler, defineHandler } from '../../../shared/task/handler.js';
import { type PoolCleanOutput, sessionPoolClean, usagePoolClean } from '../definitions.js';
import type { FleetResources } from '../fleet-resources.js';
import { CleanupLock } from './cleanup-lock.js';

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

/** A pool shared with open-webui, and its expiry rules. */
export interface Pool {
  readonly key: string;
  readonly lock: string;
  /** The channel on which changes are published. */
  readonly channel: string;
  /** The form of the entries: see cleanPool-2.lua. */
  readonly shape: 'usage' | 'session';
  readonly timeoutMs: number;
}

interface PoolCleanerOptions {
  /** Connects to the Redis of the pool. */
  readonly connection: () => Promise<ScriptedRedis>;
  readonly pool: Pool;
  readonly lockMs: number;
  readonly logger: Logger;
}

type Counts = { -readonly [Name in keyof PoolCleanOutput]: PoolCleanOutput[Name] };

/** Bytes that one script examines, fewer if many entries are removed: half a millisecond of Redis' time (`npm run bench`). */
const BATCH_BYTES = 65_536;
const MAX_LOGGED_NAMES = 5;

/**
 * Removes expired entries from a pool, batch by batch, under its lock. Each batch is one script that also renews the lock and does nothing
 * without it, so a run may end anywhere: the pool stays consistent, and the next run starts over.
 */
export class PoolCleaner {
  /** The last warning about invalid entries: repeated only when they change. */
  #reported = '';

  /** @param afterBatch called and awaited after each batch; tests pass one */
  constructor(
    private readonly options: PoolCleanerOptions,
    private readonly afterBatch: (() => Promise<void>) | null = null,
  ) {}

  /**
   * Runs one clean-up for the task with this id.
   * @throws the signal's reason; entries removed by then stay removed. FleetError `MALFORMED_DATA` if the pool is not a hash,
   *   `REDIS_UNAVAILABLE` if its Redis is unreachable.
   */
  async run(task: string, signal: AbortSignal): Promise<PoolCleanOutput> {
    const startedAt = performance.now();
    const { connection, pool, lockMs, logger } = this.options;
    const redis = await connection();
    const counts: Counts = { skipped: false, lost: false, entries: 0, removed: 0, sessions: 0, invalid: 0, batches: 0, took_ms: 0 };
    const lock = new CleanupLock({ redis, key: pool.lock, ttlMs: Math.round(lockMs), task, logger });
    if (await lock.take(signal)) await this.#cleanAndRelease(redis, lock, counts, signal);
    else counts.skipped = true;
    counts.took_ms = Math.round(performance.now() - startedAt);
    if (counts.removed + counts.sessions > 0) logger.debug({ pool: pool.key, ...counts }, 'Cleaned a pool');
    return counts;
  }

  async #cleanAndRelease(redis: ScriptedRedis, lock: CleanupLock, counts: Counts, signal: AbortSignal): Promise<void> {
    try {
      await this.#clean(redis, lock.owner, counts, signal);
    } finally {
      await lock.release();
    }
  }

  async #clean(redis: ScriptedRedis, owner: string, counts: Counts, signal: AbortSignal): Promise<void> {
    const { pool, lockMs, logger } = this.options;
    const { key, lock, channel, shape, timeoutMs } = pool;
    const invalid: string[] = [];
    let cursor = '0';
    do {
      signal.throwIfAborted();
      const batch = await redis.cleanPool(key, lock, owner, Math.round(lockMs), cursor, BATCH_BYTES, timeoutMs / 1_000, shape, channel);
      if (batch[0] === 'wrong-type')
        throw new FleetError('MALFORMED_DATA', `Bad pool ${key}: expected a hash, got a ${batch[1]}.`, { details: { key } });
      if (batch[0] === 'lost') {
        counts.lost = true;
        logger.warn({ key: lock, ...counts }, 'Lost the lock; ending this clean-up');
        return;
      }
      const [, next, entries, removed, sessions, wrong, ...names] = batch;
      counts.batches += 1;
      counts.entries += entries;
      counts.removed += removed;
      counts.sessions += sessions;
      counts.invalid += wrong;
      invalid.push(...names.slice(0, MAX_LOGGED_NAMES - invalid.length));
      cursor = next;
      await this.afterBatch?.();
    } while (cursor !== '0');
    this.#report(invalid, counts.invalid);
  }

  #report(names: readonly string[], count: number): void {
    const { pool, logger } = this.options;
    const entries = names.map(quote).join(', ');
    if (count > 0 && entries !== this.#reported)
      logger.warn({ pool: pool.key, invalid: count }, `Ignoring invalid pool entries: ${entries}`);
    this.#reported = entries;
  }
}
