import { UnrecoverableError } from 'bullmq';
import type { FleetClock } from '../shared/clock/fleet-clock.js';
import type { Logger } from '../shared/logger.js';
import { type AbortCause, TimedOut } from '../shared/stop/cause.js';
import type { TaskContext } from '../shared/task/handler.js';
import type { ActiveRuns } from './active-runs.js';
import { Grace } from './grace.js';
import type { HandlerEnd } from './outcome.js';
import type { Run } from './run.js';
import type { LoadedHandler } from './task-modules.js';
import type { Threads } from './threads.js';

/** What a handler gets to unwind when the worker's time is up. */
export const SHUTDOWN_GRACE_MS = 1_000;
/** A longer timer of Node's fires at once. */
const LONGEST_TIMER_MS = 2_147_483_647;

export interface LadderOptions {
  readonly runs: ActiveRuns;
  readonly threads: Threads;
  readonly stopGraceMs: number;
  readonly clock: Pick<FleetClock, 'now'>;
  readonly logger: Logger;
}

/** Calls handlers. An aborted one climbs the ladder: the signal, then grace, then its thread is ended or it is given up. */
export class Escalation {
  readonly #options: LadderOptions;

  constructor(options: LadderOptions) {
    this.#options = options;
  }

  /** The handler in this thread. If it does not end within grace of an abort, it is given up: its slot is free, and it may do what it likes. */
  inProcess(run: Run, handler: LoadedHandler, context: TaskContext): Promise<HandlerEnd> {
    return new Promise((resolve) => {
      let grace: Grace | null = null;
      const timeout = startTimeout(run, handler);
      const finish = (end: HandlerEnd): void => {
        if (timeout) clearTimeout(timeout);
        grace?.cancel();
        resolve(end);
      };
      const giveUp = (): void => {
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
        grace ??= new Grace(giveUp);
        grace.limit(this.#graceMs(cause));
      });
    });
  }

  /**
   * The handler in a thread of its own. If it does not end within grace of an abort, the thread does.
   * @param deadline if no thread has begun with it by then (ms since the epoch), it is not begun at all
   */
  async inThread(run: Run, handler: LoadedHandler, context: TaskContext, deadline: number | null): Promise<HandlerEnd> {
    const { clock } = this.#options;
    let timeout: NodeJS.Timeout | null = null;
    const thread = this.#options.threads.run(handler.source, context, () => {
      if (!run.ended) timeout = startTimeout(run, handler);
    });
    const grace = new Grace(() => {
      if (run.stop) run.via = 'kill';
      this.#options.logger.warn(
        { id: run.id, name: run.name, cause: run.cause?.kind },
        'Isolated handler ignored its signal; its thread is ended',
      );
      thread.kill();
    });
    const tooLate = (): void => {
      if (!thread.started && deadline !== null && clock.now() >= deadline) thread.kill(deadlineMissed(deadline));
    };
    const start = deadline === null ? null : setTimeout(tooLate, Math.min(LONGEST_TIMER_MS, deadline - clock.now()));
    run.onAbort((cause) => {
      if (thread.started) {
        thread.abort(cause);
        return grace.limit(this.#graceMs(cause));
      }
      // It waits for a free thread: there is nobody to be patient with.
      if (run.stop) run.via = 'queue';
      thread.kill();
    });
    try {
      return { kind: 'returned', value: await thread.result };
    } catch (error) {
      return { kind: 'threw', error };
    } finally {
      if (timeout) clearTimeout(timeout);
      if (start) clearTimeout(start);
      grace.cancel();
    }
  }

  #abandon(run: Run, handled: Promise<unknown>): void {
    const { runs, clock, logger } = this.#options;
    const { id, name } = run;
    logger.warn({ id, name, cause: run.cause?.kind }, 'Handler ignored its signal and was given up; it still runs in this process');
    runs.addZombie(run, handled, () => {
      logger.info({ id, name, afterMs: clock.now() - run.startedAt }, 'A given-up handler returned');
    });
  }

  #graceMs(cause: AbortCause): number {
    const { stopGraceMs } = this.#options;
    return cause.kind === 'shutdown' ? Math.min(SHUTDOWN_GRACE_MS, stopGraceMs) : stopGraceMs;
  }
}

/** Why a task is not begun any more. It is not retried: that would be later still. */
export function deadlineMissed(deadline: number): UnrecoverableError {
  return new UnrecoverableError(`Not started before its deadline, ${new Date(deadline).toISOString()}`);
}

/** From the moment at which the handler begins. */
function startTimeout(run: Run, { definition: { timeoutMs } }: LoadedHandler): NodeJS.Timeout | null {
  return timeoutMs === null ? null : setTimeout(() => run.abort(new TimedOut(timeoutMs)), timeoutMs);
}

/** Calls a handler; what it throws at once is a rejection too. */
async function callHandler(handler: LoadedHandler, context: TaskContext): Promise<unknown> {
  return handler.handle(context);
}
