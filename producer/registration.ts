import { messageOf } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import { isRefusal } from '../shared/redis/refusals.js';
import { isReplyError, isWrongType, keysOfReply } from '../shared/redis/reply-error.js';
import { RepeatedLines } from '../shared/repeated-lines.js';
import type { Store } from '../shared/store.js';

/**
 * Writes registrations of tasks that exist, or are about to, whatever becomes of their registration. What Redis refuses is
 * reported once for each key and hour; the reconciler finds the task by its job and lists it.
 */
export class Registration {
  readonly #store: Pick<Store, 'unreadable'>;
  readonly #lines: RepeatedLines;

  constructor(store: Pick<Store, 'unreadable'>, logger: Logger) {
    this.#store = store;
    this.#lines = new RepeatedLines(logger);
  }

  /** Resolves when all of it is answered. @throws the error of what got no answer, or a refusal that may pass */
  async settle(sent: readonly unknown[]): Promise<void> {
    const passing: unknown[] = [];
    for (const one of await Promise.allSettled(sent)) {
      if (one.status === 'fulfilled') continue;
      if (isReplyError(one.reason) && !isRefusal(one.reason)) this.report(one.reason);
      else passing.push(one.reason);
    }
    if (passing.length > 0) throw passing[0];
  }

  /** Says that a task that exists could not be registered. */
  report(error: unknown): void {
    const [key = ''] = keysOfReply(error);
    if (isWrongType(error))
      this.#store.unreadable.report({ key, problem: 'It has the wrong type: tasks are added and cannot be registered in it' });
    else this.#lines.warn(key, { key, error: messageOf(error) }, 'A task cannot be registered; it runs, and the reconciler lists it later');
  }
}
