import type { FleetClock } from '../../shared/clock/fleet-clock.js';
import type { Logger } from '../../shared/log/logger.js';
import type { AbortCause } from '../../shared/stop/cause.js';
import type { TaskContext } from '../../shared/task/handler.js';
import { MAINTENANCE_QUEUE } from '../builtin/definitions.js';
import type { MiddlewareChain } from '../hooks/middleware.js';
import type { LoadedHandler } from '../task-modules.js';
import type { HandlerEnd } from './outcome.js';
import type { ActiveRuns, Run } from './run.js';
import { ThreadCall, type ThreadCallOptions } from './threads/thread-call.js';
import { Grace, startTimeout } from './time-limits.js';

/** Grace for handlers aborted by a shutdown, in ms. */
export const SHUTDOWN_GRACE_MS = 1_000;
/** Least time for middleware to end after the thread of its aborted handler, in ms. */
const AFTER_THREAD_MS = 100;

interface EscalationOptions {
  readonly runs: ActiveRuns;
  readonly stopGraceMs: number;
  readonly clock: Pick<FleetClock, 'now'>;
  readonly logger: Logger;
  /** Runs around every call; null for none. */
  readonly middleware: MiddlewareChain | null;
}

/** Calls handlers, and escalates when one is aborted: signal, then grace, then the handler is abandoned or its thread terminated. */
export class Escalation {
  constructor(private readonly options: EscalationOptions) {}

  /**
   * Runs the handler in the main thread. A handler that outlives the grace after an abort is abandoned: its slot is freed while it keeps
   * running.
   */
  inProcess(run: Run, handler: LoadedHandler, context: TaskContext): Promise<HandlerEnd> {
    const middleware = this.#middlewareFor(run);
    const timeout = startTimeout(run, handler);
    run.called = true;
    const handled = middleware
      ? middleware(context, async () => {
          refuseAborted(run);
          return handler.handle(context);
        })
      : callHandler(handler, context);
    return this.#untilAbandoned(run, handled, {
      onAbort: (cause, grace) => grace.limit(this.#graceMs(cause)),
      onEnd: () => {
        if (timeout) clearTimeout(timeout);
      },
    });
  }

  /**
   * Runs the handler in a thread. A handler that outlives the grace after an abort is terminated with its thread.
   * @param deadline in ms since the epoch; a handler that no thread has started by then is not started
   */
  inThread(
    run: Run,
    handler: LoadedHandler,
    context: TaskContext,
    { threads, data, deadline }: Pick<ThreadCallOptions, 'threads' | 'data' | 'deadline'>,
  ): Promise<HandlerEnd> {
    const middleware = this.#middlewareFor(run);
    const call = (): ThreadCall => new ThreadCall({ ...this.options, threads, run, handler, context, data, deadline });
    return middleware ? this.#aroundThread(run, handler, { context, middleware, call }) : this.#untilThreadEnds(run, call());
  }

  async #untilThreadEnds(run: Run, call: ThreadCall): Promise<HandlerEnd> {
    run.onAbort((cause) => void call.abort(cause, this.#graceMs(cause)));
    try {
      return { kind: 'returned', value: await call.result };
    } catch (error) {
      return { kind: 'threw', error };
    } finally {
      call.clearTimers();
    }
  }

  /** Runs middleware in the main thread, and the handler in a thread. Its timeout counts from the start of the thread, as without middleware. */
  #aroundThread(
    run: Run,
    handler: LoadedHandler,
    { context, middleware, call }: { readonly context: TaskContext; readonly middleware: MiddlewareChain; readonly call: () => ThreadCall },
  ): Promise<HandlerEnd> {
    let thread: ThreadCall | null = null;
    const timeoutBefore = startTimeout(run, handler);
    const handled = middleware(context, async () => {
      if (timeoutBefore) clearTimeout(timeoutBefore);
      refuseAborted(run);
      thread = call();
      return thread.result;
    });
    const threadCall = (): ThreadCall | null => thread;
    return this.#untilAbandoned(run, handled, {
      onAbort: (cause, grace) => {
        const graceMs = this.#graceMs(cause);
        const aborted = threadCall()?.abort(cause, graceMs) ?? null;
        if (aborted === null) return grace.limit(graceMs);
        const endsAt = performance.now() + graceMs;
        void aborted.then(() => grace.limit(Math.max(AFTER_THREAD_MS, endsAt - performance.now())));
      },
      onEnd: () => {
        if (timeoutBefore) clearTimeout(timeoutBefore);
        threadCall()?.clearTimers();
      },
    });
  }

  /**
   * Resolves with the end of a call in the main thread, or abandons the call once its grace is over.
   * @param onAbort limits the grace, at each abort
   */
  #untilAbandoned(
    run: Run,
    handled: Promise<unknown>,
    { onAbort, onEnd }: { readonly onAbort: (cause: AbortCause, grace: Grace) => void; readonly onEnd: () => void },
  ): Promise<HandlerEnd> {
    return new Promise((resolve) => {
      let grace: Grace | null = null;
      const finish = (end: HandlerEnd): void => {
        onEnd();
        grace?.cancel();
        resolve(end);
      };
      const abandon = (): void => {
        if (run.stop && run.via !== 'kill') run.via = 'abandon';
        this.#abandon(run, handled);
        finish({ kind: 'abandoned' });
      };
      handled.then(
        (value) => finish({ kind: 'returned', value }),
        (error: unknown) => finish({ kind: 'threw', error }),
      );
      run.onAbort((cause) => {
        grace ??= new Grace(abandon);
        onAbort(cause, grace);
      });
    });
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

  /** The fleet's own tasks have no middleware. */
  #middlewareFor(run: Run): MiddlewareChain | null {
    return run.queue === MAINTENANCE_QUEUE ? null : this.options.middleware;
  }

  #graceMs(cause: AbortCause): number {
    const { stopGraceMs } = this.options;
    return cause.kind === 'shutdown' ? Math.min(SHUTDOWN_GRACE_MS, stopGraceMs) : stopGraceMs;
  }
}

/** Refuses to call a handler after an abort, or a lost lock, while its middleware was running. @throws AbortCause */
function refuseAborted(run: Run): void {
  run.checkLock();
  if (run.cause) throw run.cause;
}

/** Calls a handler; a synchronous throw becomes a rejection, and any other value a promise. */
function callHandler(handler: LoadedHandler, context: TaskContext): Promise<unknown> {
  try {
    return Promise.resolve(handler.handle(context));
  } catch (error) {
    return Promise.reject(error);
  }
}
