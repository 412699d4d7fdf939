import { messageOf } from '../../shared/errors.js';
import type { Limiter } from '../../shared/limiter/limiter.js';
import { type Logger, RepeatedLines } from '../../shared/log/logger.js';
import type { FleetJob } from '../fetch/fleet-job.js';
import { untilAccepted } from '../fetch/settle/refusals.js';

/**
 * Frees the places of tasks whose run has ended, so that the next in line starts. Not awaited by the end of a task. A task that is requeued,
 * or whose lock is lost, keeps its places: it runs again.
 */
export class Releases {
  readonly #lines: RepeatedLines;
  readonly #open = new Set<Promise<void>>();

  constructor(
    private readonly limiter: Pick<Limiter, 'release'>,
    logger: Logger,
  ) {
    this.#lines = new RepeatedLines(logger);
  }

  /** Call it once the job has left the list of active jobs. */
  release({ id, run, taskOptions }: FleetJob): void {
    if (taskOptions.limits === undefined && !run?.steps.length) return;
    // Another run of the task may hold the places by now: after a retry without delay, or if this run had lost its lock.
    const open: Promise<void> = this.#send(id as string, run?.admittedAs ?? undefined).then(() => void this.#open.delete(open));
    this.#open.add(open);
  }

  /** Resolves when all places are freed so far. */
  async idle(): Promise<void> {
    while (this.#open.size > 0) await Promise.all(this.#open);
  }

  async #send(id: string, run: string | undefined): Promise<void> {
    try {
      await untilAccepted(() => this.limiter.release([id], run));
    } catch (error) {
      this.#lines.warn(messageOf(error), { id, error: messageOf(error) }, 'Could not free the places of a task; the reconciler will');
    }
  }
}
