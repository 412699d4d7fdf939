import { UnrecoverableError } from 'bullmq';
import type { FleetClock } from '../../shared/clock/fleet-clock.js';
import type { Logger } from '../../shared/logger.js';
import { type AbortCause, TimedOut } from '../../shared/stop/cause.js';
import type { TaskContext } from '../../shared/task/handler.js';
import type { LoadedHandler } from '../task-modules.js';
import type { HandlerEnd } from './outcome.js';
import type { ActiveRuns, Run } from './run.js';
import type { Threads } from './threads/threads.js';

/** Grace for handlers aborted by a shutdown, in ms. */
export const SHUTDOWN_GRACE_MS = 1_000;
/** The longest delay of a Node timer: a longer one fires at once. */
const LONGEST_TIMER_MS = 2_147_483_647;

interface EscalationOptions {
  readonly runs: ActiveRuns;
  readonly threads: Threads;
  readonly stopGraceMs: number;
  readonly clock: Pick<FleetClock, 'now'>;
  readonly logger: Logger;
}

/** Calls handlers, and escalates when one is aborted: signal, then grace, then the handler is abandoned or its thread terminated. */
export class Escalation {
  constructor(private readonly options: EscalationOptions) {}

  /**
   * Runs the handler in the main thread. A handler that outlives the grace after an abort is abandoned: its slot is freed while it keeps
   * running.
   */
  inProcess(run: Run, handler: LoadedHandler, context: TaskContext): Promise<HandlerEnd> {
    return new Promise((resolve) => {
      let grace: Grace | null = null;
      const timeout = startTimeout(run, handler);
      const finish = (end: HandlerEnd): void => {
        if (timeout) clearTimeout(timeout);
        grace?.cancel();
        resolve(end);
      };
      const abandon = (): void => {
        if (run.stop) run.via = 'abandon';
        this.#abandon(run, handled);
        finish({ kind: 'abandoned' });
      };
      const handled = callHandler(handler, context);
      handled.then(
        (value) => finish({ kind: 'returned', value }),
        (error: unknown) => finish({ kind: 'threw', error }),
      );
      run.onAbort((cause) => {
        grace ??= new Grace(abandon);
        grace.limit(this.#graceMs(cause));
      });
    });
  }

  /**
   * Runs the handler in a thread. A handler that outlives the grace after an abort is terminated with its thread.
   * @param deadline in ms since the epoch; a handler that no thread has started by then is not started
   */
  async inThread(run: Run, handler: LoadedHandler, context: TaskContext, deadline: number | null): Promise<HandlerEnd> {
    const { clock } = this.options;
    let timeout: NodeJS.Timeout | null = null;
    const thread = this.options.threads.run(handler.source, context, () => {
      if (!run.ended) timeout = startTimeout(run, handler);
    });
    const grace = new Grace(() => {
      if (run.stop) run.via = 'kill';
      this.options.logger.warn(
        { id: run.id, name: run.name, cause: run.cause?.kind },
        'Isolated handler ignored its abort signal; terminating its thread',
      );
      thread.kill();
    });
    const failIfLate = (): void => {
      if (!thread.started && deadline !== null && clock.now() >= deadline) thread.kill(deadlineMissed(deadline));
    };
    const deadlineTimer = deadline === null ? null : setTimeout(failIfLate, Math.min(LONGEST_TIMER_MS, deadline - clock.now()));
    run.onAbort((cause) => {
      if (thread.started) {
        thread.abort(cause);
        return grace.limit(this.#graceMs(cause));
      }
      // Still waiting for a free thread: no handler needs grace.
      if (run.stop) run.via = 'queue';
      thread.kill();
    });
    try {
      return { kind: 'returned', value: await thread.result };
    } catch (error) {
      return { kind: 'threw', error };
    } finally {
      if (timeout) clearTimeout(timeout);
      if (deadlineTimer) clearTimeout(deadlineTimer);
      grace.cancel();
    }
  }

  #abandon(run: Run, handled: Promise<unknown>): void {
    const { runs, clock, logger } = this.options;
    const { id, name } = run;
    logger.warn(
      { id, name, cause: run.cause?.kind },
      'Handler ignored its abort signal; abandoning it while it still runs in this process',
    );
    runs.addZombie(run, handled, () => {
      logger.info({ id, name, afterMs: clock.now() - run.startedAt }, 'Abandoned handler returned');
    });
  }

  #graceMs(cause: AbortCause): number {
    const { stopGraceMs } = this.options;
    return cause.kind === 'shutdown' ? Math.min(SHUTDOWN_GRACE_MS, stopGraceMs) : stopGraceMs;
  }
}

/** The time that an aborted handler has left. The shortest of several limits applies; `onOver` is called once, at its end. */
export class Grace {
  #endsAt = Infinity;
  #timer: NodeJS.Timeout | null = null;

  constructor(private readonly onOver: () => void) {}

  limit(ms: number): void {
    const endsAt = performance.now() + ms;
    if (endsAt >= this.#endsAt) return;
    this.#endsAt = endsAt;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = setTimeout(this.onOver, ms);
  }

  /** Stops the timer, for a handler that has ended. */
  cancel(): void {
    if (this.#timer) clearTimeout(this.#timer);
  }
}

/** The error of a task whose deadline has passed. Final: a retry would be even later. */
export function deadlineMissed(deadline: number): UnrecoverableError {
  return new UnrecoverableError(`Not started before its deadline, ${new Date(deadline).toISOString()}`);
}

/** Starts the timeout of an attempt, which counts from the call of the handler. */
function startTimeout(run: Run, { definition: { timeoutMs } }: LoadedHandler): NodeJS.Timeout | null {
  return timeoutMs === null ? null : setTimeout(() => run.abort(new TimedOut(timeoutMs)), timeoutMs);
}

/** Calls a handler; a synchronous throw becomes a rejection. */
async function callHandler(handler: LoadedHandler, context: TaskContext): Promise<unknown> {
  return handler.handle(context);
}
