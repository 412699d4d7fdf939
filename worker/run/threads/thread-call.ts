import type { FleetClock } from '../../../shared/clock/fleet-clock.js';
import type { Logger } from '../../../shared/log/logger.js';
import type { AbortCause } from '../../../shared/stop/cause.js';
import type { TaskContext } from '../../../shared/task/handler.js';
import type { LoadedHandler } from '../../task-modules.js';
import type { Run } from '../run.js';
import { Grace, deadlineMissed, startTimeout } from '../time-limits.js';
import type { ThreadHandle, Threads } from './threads.js';

export interface ThreadCallOptions {
  readonly run: Run;
  readonly handler: LoadedHandler;
  readonly context: TaskContext;
  /** The stored input, which the thread parses: a parsed one may not be cloneable. */
  readonly data: unknown;
  /** In ms since the epoch; a handler that no thread has started by then is not started. Null for none. */
  readonly deadline: number | null;
  readonly threads: Threads;
  readonly clock: Pick<FleetClock, 'now'>;
  readonly logger: Logger;
}

/** The longest delay of a Node timer: a longer one fires at once. */
const LONGEST_TIMER_MS = 2_147_483_647;

/** The call of an isolated handler, with its timeout, its deadline and its grace. */
export class ThreadCall {
  readonly #thread: ThreadHandle;
  readonly #grace: Grace;
  readonly #deadlineTimer: NodeJS.Timeout | null;
  #timeout: NodeJS.Timeout | null = null;
  /** Resolves when the handler has ended or its thread was terminated. */
  readonly #end: Promise<void>;
  #ended = false;

  constructor(private readonly options: ThreadCallOptions) {
    const { run, handler, context, data, deadline, threads, clock } = options;
    const onStarted = (): void => {
      run.called = true;
      if (!run.ended) this.#timeout = startTimeout(run, handler);
    };
    const { span } = run;
    this.#thread = threads.run({ ...handler.source, data, ...(span && { trace: span.thread }) }, context, onStarted, span);
    this.#grace = new Grace(() => this.#kill());
    this.#deadlineTimer =
      deadline === null ? null : setTimeout(() => this.#failIfLate(deadline), Math.min(LONGEST_TIMER_MS, deadline - clock.now()));
    const end = (): void => {
      this.#ended = true;
      this.#grace.cancel();
    };
    this.#end = this.#thread.result.then(end, end);
  }

  get result(): Promise<unknown> {
    return this.#thread.result;
  }

  /** Passes an abort on. Returns the end of the call, within the grace if its handler runs; null if it has ended. */
  abort(cause: AbortCause, graceMs: number): Promise<void> | null {
    if (this.#ended) return null;
    if (this.#thread.started) {
      this.#thread.abort(cause);
      this.#grace.limit(graceMs);
      return this.#end;
    }
    // Still waiting for a free thread: no handler needs grace.
    if (this.options.run.stop) this.options.run.via = 'queue';
    this.#thread.kill();
    return this.#end;
  }

  /** Stops all timers, once the attempt has ended. */
  clearTimers(): void {
    if (this.#timeout) clearTimeout(this.#timeout);
    if (this.#deadlineTimer) clearTimeout(this.#deadlineTimer);
    this.#grace.cancel();
  }

  #kill(): void {
    const { run, logger } = this.options;
    if (run.stop) run.via = 'kill';
    logger.warn(
      { id: run.id, name: run.name, cause: run.cause?.kind },
      'Isolated handler ignored its abort signal; terminating its thread',
    );
    this.#thread.kill();
  }

  #failIfLate(deadline: number): void {
    if (!this.#thread.started && this.options.clock.now() >= deadline) this.#thread.kill(deadlineMissed(deadline));
  }
}
