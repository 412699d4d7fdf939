import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { formatMs } from '../shared/duration.js';
import { messageOf } from '../shared/errors.js';
import { quote } from '../shared/keys.js';
import type { Logger } from '../shared/logger.js';
import type { ScriptedRedis } from '../shared/scripts/define-scripts.js';

export interface CleanupLockOptions {
  readonly redis: ScriptedRedis;
  readonly key: string;
  /** It expires so many ms after it was taken or renewed last. */
  readonly ttlMs: number;
  /** The id of the task that cleans up. */
  readonly task: string;
  readonly logger: Logger;
}

const MOST_ATTEMPTS = 3;

/**
 * The lock of one run of a clean-up, which open-webui's instances take too: docs/adr/0009-the-cleanup-lock.md. Whoever
 * works under it gives `owner` to the script that does the work, which looks whether the lock is still its own.
 */
export class CleanupLock {
  readonly owner: string;
  readonly #options: CleanupLockOptions;
  readonly #task: string;

  constructor(options: CleanupLockOptions) {
    this.#options = options;
    // An id has no slash, so no other task's owner begins like this.
    this.#task = `${options.task}/`;
    this.owner = this.#task + randomUUID();
  }

  /**
   * Tries three times, with a random delay of half to all of its expiry in between. False if somebody else held it each
   * time. @throws the signal's reason
   */
  async take(signal: AbortSignal): Promise<boolean> {
    const { redis, key, ttlMs, logger } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      signal.throwIfAborted();
      const [what, holder, leftMs] = await redis.takeLock(key, this.owner, ttlMs, this.#task);
      const held = { key, attempt, ...(holder !== '' && { holder: quote(holder) }) };
      if (what === 'taken') {
        logger.debug(held, holder === '' ? 'Took the lock' : 'Took the lock over from an earlier run of this task');
        return true;
      }
      const left = leftMs < 0 ? 'for ever' : `for another ${formatMs(leftMs)}`;
      logger.debug({ ...held, left_ms: leftMs }, `Somebody else holds the lock ${left}`);
      if (attempt === MOST_ATTEMPTS) {
        logger.warn({ ...held, left_ms: leftMs }, 'Skips this clean-up: somebody else holds the lock');
        return false;
      }
      await delay(ttlMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  /** Lets go of it if it is still its own. Never rejects: it expires by itself. */
  async release(): Promise<void> {
    const { redis, key, logger } = this.#options;
    await redis
      .dropLock(key, this.owner)
      .catch((error: unknown) => logger.debug({ key, error: messageOf(error) }, 'Could not release the lock; it expires by itself'));
  }
}
