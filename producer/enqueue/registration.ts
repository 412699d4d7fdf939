import { messageOf } from '../../shared/errors.js';
import { type Logger, RepeatedLines } from '../../shared/logger.js';
import { isRefusal, isReplyError, isWrongType, keysOfReply } from '../../shared/redis/reply-errors.js';
import type { Store } from '../../shared/store.js';

/**
 * Registers tasks on a best-effort basis: a task exists even if Redis refuses its registration. Refusals are logged once per key and
 * hour; the reconciler later registers the task from its job.
 */
export class Registration {
  readonly #store: Pick<Store, 'unreadable'>;
  readonly #lines: RepeatedLines;

  constructor(store: Pick<Store, 'unreadable'>, logger: Logger) {
    this.#store = store;
    this.#lines = new RepeatedLines(logger);
  }

  /** Waits for all replies. @throws the error of a command without a reply, or a refusal that may be temporary */
  async settle(sent: readonly unknown[]): Promise<void> {
    const passing: unknown[] = [];
    for (const one of await Promise.allSettled(sent)) {
      if (one.status === 'fulfilled') continue;
      if (isReplyError(one.reason) && !isRefusal(one.reason)) this.report(one.reason);
      else passing.push(one.reason);
    }
    if (passing.length > 0) throw passing[0];
  }

  /** Logs that an existing task could not be registered. */
  report(error: unknown): void {
    const [key = ''] = keysOfReply(error);
    if (isWrongType(error))
      this.#store.unreadable.report({ key, problem: 'Wrong type: tasks are added but cannot be registered in this key' });
    else this.#lines.warn(key, { key, error: messageOf(error) }, 'Could not register a task; it runs, and the reconciler will register it');
  }
}
