import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../../shared/errors.js';
import { quote } from '../../../shared/keys.js';
import type { Logger } from '../../../shared/log/logger.js';
import type { ScriptedRedis } from '../../../shared/scripts/define-scripts.js';
import { formatMs } from '../../../shared/time.js';

interface CleanupLockOptions {
  readonly redis: ScriptedRedis;
  readonly key: string;
  /** Time to live after each acquisition and renewal, in ms. */
  readonly ttlMs: number;
  /** The id of the clean-up task. */
  readonly task: string;
  readonly logger: Logger;
}

const MAX_ATTEMPTS = 3;

/**
 * The lock of one clean-up run, shared with open-webui's instances: docs/explanation/adr/0009-the-cleanup-lock.md. The script
 * that does the work gets `owner` and checks that the lock still has that value.
 */
export class CleanupLock {
  readonly owner: string;
  readonly #task: string;

  constructor(private readonly options: CleanupLockOptions) {
    // Ids have no slash, so this prefix is unique to the task.
    this.#task = `${options.task}/`;
    this.owner = this.#task + randomUUID();
  }

  /**
   * Acquires the lock. Tries three times, with random delays of half to all of its time to live in between. Returns false if another owner
   * held the lock each time.
   * @throws the signal's reason
   */
  async take(signal: AbortSignal): Promise<boolean> {
    const { redis, key, ttlMs, logger } = this.options;
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted();
      const [what, holder, leftMs] = await redis.takeLock(key, this.owner, ttlMs, this.#task);
      const held = { key, attempt, ...(holder !== '' && { holder: quote(holder) }) };
      if (what === 'taken') {
        logger.debug(held, holder === '' ? 'Acquired the lock' : 'Took over the lock of an earlier run of this task');
        return true;
      }
      const expiry = leftMs < 0 ? 'never expires' : `expires in ${formatMs(leftMs)}`;
      logger.debug({ ...held, left_ms: leftMs }, `Another owner holds the lock, which ${expiry}`);
      if (attempt === MAX_ATTEMPTS) {
        logger.warn({ ...held, left_ms: leftMs }, 'Skipping this clean-up: another owner holds the lock');
        return false;
      }
      await delay(ttlMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  /** Releases the lock if this owner still holds it. Never rejects: the lock expires anyway. */
  async release(): Promise<void> {
    const { redis, key, logger } = this.options;
    await redis
      .dropLock(key, this.owner)
      .catch((error: unknown) => logger.debug({ key, error: messageOf(error) }, 'Could not release the lock; it will expire'));
  }
}
