import type { Logger } from '../../../shared/log/logger.js';
import type { Settings } from '../../../shared/settings/settings.js';
import type { FleetJob } from '../../fetch/fleet-job.js';
import type { LoadedHandler } from '../../task-modules.js';
import { Threads } from './threads.js';

/** Most threads at once: each has a heap and loads its task module. */
const MAX_THREADS = 8;
/** Lost workers after which a task waits for a thread or, if no thread can load its handler, for its turn. */
const SUSPICIOUS_LOSSES = 2;

/**
 * Threads for tasks that lost their worker before. What killed the worker, if it was the task, then only ends its own thread:
 * `process.exit`, too much memory, a blocked event loop.
 *
 * Most of these tasks only ran beside the one at fault. So a task that lost one worker runs in the main thread if all threads are busy;
 * after another loss it waits.
 *
 * Handlers that are in no module cannot be loaded in a thread: only `onWorkerLost` bounds their losses. Their tasks take turns when one
 * more loss would end them, or the task at fault would take its neighbours along to their limit.
 */
export class Quarantine {
  readonly threads: Threads;
  /** The task that has the turn. */
  #turn: string | null = null;

  constructor(
    settings: Settings,
    private readonly logger: Logger,
  ) {
    const { concurrency, eventLoopTimeoutMs: blockedMs } = settings;
    this.threads = new Threads(settings, logger, { size: Math.min(concurrency, MAX_THREADS), blockedMs });
  }

  /** Takes the turn for a task's last run in the main thread. Returns false if another task has it; `leave` frees it. */
  takeTurn({ id, losses }: FleetJob, { source, definition: { onWorkerLost } }: LoadedHandler): boolean {
    if (source.moduleUrl !== '' || losses < Math.max(SUSPICIOUS_LOSSES, onWorkerLost.retries)) return true;
    if (this.#turn !== null) return false;
    this.#turn = id as string;
    return true;
  }

  /** Frees the turn, if the task has it. */
  leave({ id }: FleetJob): void {
    if (this.#turn === id) this.#turn = null;
  }

  /** Returns whether to run a task here whose handler is not isolated. */
  takes({ id, name, losses }: FleetJob, { source }: LoadedHandler): boolean {
    if (losses === 0 || source.moduleUrl === '') return false;
    if (losses < SUSPICIOUS_LOSSES && !this.threads.hasFree) return false;
    this.logger.info({ id, name, losses }, 'Task lost its worker before; running it in a thread of its own');
    return true;
  }
}
