import { messageOf } from '../errors.js';
import { type Logger, RepeatedLines } from '../log/logger.js';
import type { RecordReporter } from '../records/unreadable.js';
import { isRefusal, isReplyError, isWrongType, keysOfReply } from '../redis/reply-errors.js';

/**
 * Registers tasks on a best-effort basis: a task exists even if Redis refuses its registration. Refusals are logged once per key and
 * hour; the reconciler later registers the task from its job.
 */
export class Registrar {
  readonly #lines: RepeatedLines;

  constructor(
    private readonly unreadable: RecordReporter,
    logger: Logger,
  ) {
    this.#lines = new RepeatedLines(logger);
  }

  /** Waits for all replies. @throws the error of a command without a reply, or a refusal that may be temporary */
  async settle(sent: readonly unknown[]): Promise<void> {
    const errors = (await Promise.allSettled(sent)).flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
    const passing = this.passing(errors);
    if (passing !== null) throw passing;
  }

  /** Logs the permanent refusals among the errors of a registration. Returns the first other one, or null. */
  passing(errors: readonly unknown[]): unknown {
    const passing: unknown[] = [];
    for (const error of errors) {
      if (isReplyError(error) && !isRefusal(error)) this.report(error);
      else passing.push(error);
    }
    return passing[0] ?? null;
  }

  /** Logs that an existing task could not be registered. */
  report(error: unknown): void {
    const [key = ''] = keysOfReply(error);
    if (isWrongType(error)) this.unreadable.report({ key, problem: 'Wrong type: tasks are added but cannot be registered in this key' });
    else this.#lines.warn(key, { key, error: messageOf(error) }, 'Could not register a task; it runs, and the reconciler will register it');
  }
}
