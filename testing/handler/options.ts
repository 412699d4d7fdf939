import { badArgument } from '../../shared/arguments.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import type { ChildEnqueuer } from '../../shared/task/handler.js';
import type { WorkerHooks } from '../../worker/hooks/hooks.js';
import type { Middleware } from '../../worker/hooks/middleware.js';
import { type Moment, checkMoment } from './moments.js';

export interface RunHandlerOptions<Chunk = unknown> {
  /** When the task is stopped. Default: never. */
  readonly stopAfter?: Moment | undefined;
  /** Reason and caller of the stop, in its cause. Default: none. */
  readonly stop?: { readonly reason?: string; readonly by?: string } | undefined;
  /** The timeout of the attempt in ms, in place of the definition's `timeoutMs`. */
  readonly timeoutAfter?: number | undefined;
  /**
   * What befalls the worker: `lost`, it loses the task's lock, as a worker that froze, and its signal is aborted with `LockLost`; `shutdown`,
   * it shuts down, and its signal is aborted with `ShuttingDown`. Default: nothing.
   */
  readonly worker?: 'lost' | 'shutdown' | undefined;
  /** When that happens. Default 0, at once after the call of the handler. */
  readonly workerAfter?: Moment | undefined;
  /** How long the handler may run on after an abort, in ms, before it is given up. Default 1,000; a worker's default is 5,000. */
  readonly graceMs?: number | undefined;
  /** The number of the attempt, from 1. Default 1. */
  readonly attempt?: number | undefined;
  /** How many of the attempts before lost their worker. Default 0. */
  readonly losses?: number | undefined;
  /** Default: a new UUIDv7. */
  readonly id?: string | undefined;
  readonly item?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  /** Hooks of the worker. Default: none. */
  readonly hooks?: WorkerHooks | undefined;
  /** Middleware of the worker. Default: none. */
  readonly use?: readonly Middleware[] | undefined;
  /** The producer behind `context.enqueue`, such as a fake one. Default: the run records the children itself, in `children`. */
  readonly producer?: ChildEnqueuer | undefined;
  /**
   * The task module of an isolated handler, as a URL: the handler then runs in a thread, as in a worker, and is terminated with it after
   * `graceMs`. Default: an isolated handler runs in this thread too.
   */
  readonly module?: string | URL | undefined;
  /** Called with each chunk. */
  readonly onChunk?: ((chunk: Chunk) => void) | undefined;
}

export const DEFAULT_GRACE_MS = 1_000;
/** The longest delay of a Node timer: a longer one fires at once. */
const LONGEST_TIMER_MS = 2_147_483_647;

/** @throws FleetError `INVALID_OPTION` */
export function checkRunOptions(options: RunHandlerOptions<never>, { retry, onWorkerLost }: AnyDefinition): void {
  const { stopAfter, workerAfter, worker, attempt = 1, losses = 0, timeoutAfter, graceMs } = options;
  checkMoment('stopAfter', stopAfter);
  checkMoment('workerAfter', workerAfter);
  if (worker !== undefined && worker !== 'lost' && worker !== 'shutdown')
    throw badArgument('INVALID_OPTION', 'worker', "'lost' or 'shutdown'", worker);
  checkWhole('losses', losses, 0, onWorkerLost.retries);
  checkWhole('attempt', attempt, losses + 1, retry.attempts + losses);
  if (timeoutAfter !== undefined) checkWhole('timeoutAfter', timeoutAfter, 1, LONGEST_TIMER_MS);
  if (graceMs !== undefined) checkWhole('graceMs', graceMs, 0, 3_600_000);
}

function checkWhole(field: string, value: unknown, least: number, most: number): void {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return;
  throw badArgument('INVALID_OPTION', field, `a whole number from ${least} to ${most}`, value);
}
