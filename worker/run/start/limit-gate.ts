import type { FleetClock } from '../../../shared/clock/fleet-clock.js';
import { messageOf } from '../../../shared/errors.js';
import type { Limiter } from '../../../shared/limiter/limiter.js';
import { PARKED_AT } from '../../../shared/limiter/parked-jobs.js';
import { type Logger, RepeatedLines } from '../../../shared/log/logger.js';
import type { TaskHandler } from '../../../shared/task/handler.js';
import type { FleetJob } from '../../fetch/fleet-job.js';
import { type Outcome, decideOutcome, failWith } from '../outcome.js';
import type { Run } from '../run.js';
import { stepsFor } from './steps.js';

interface LimitGateOptions {
  readonly limiter: Pick<Limiter, 'start'>;
  readonly clock: Pick<FleetClock, 'now'>;
  readonly logger: Logger;
}

/** A handler, and its parsed input. */
interface Called {
  readonly handler: TaskHandler;
  readonly input: unknown;
}

/** After how long a task asks again if Redis refuses to answer, in ms. */
const ASK_AGAIN_MS = 1_000;

/**
 * Decides whether a fetched task may start under its limits. A task may be fetched without a place, after its delay or a promotion by
 * another program: this check alone keeps the limits, and the lines only keep such tasks from the queue.
 */
export class LimitGate {
  readonly #lines: RepeatedLines;
  #asked = 0;

  constructor(private readonly options: LimitGateOptions) {
    this.#lines = new RepeatedLines(options.logger);
  }

  /** Returns the outcome of a task that must wait, was stopped meanwhile, or has no valid key. Null if it may start. Never rejects. */
  async check(run: Run, job: FleetJob, { handler, input }: Called, deadline: number | null): Promise<Outcome | null> {
    try {
      run.steps = stepsFor(job, handler, input);
    } catch (error) {
      return failWith(error);
    }
    if (run.steps.length === 0) return null;
    const outcome = await this.#ask(run, job, deadline);
    return run.cause ? decideOutcome(run.cause, { kind: 'abandoned' }, null) : outcome;
  }

  async #ask(run: Run, { priority }: FleetJob, deadline: number | null): Promise<Outcome | null> {
    const { limiter, clock } = this.options;
    const { id, queue, name, steps, token } = run;
    // BullMQ uses a token again, perhaps for the next run of the same task.
    const asked = `${token}/${(this.#asked += 1)}`;
    try {
      const standing = await limiter.start({ id, queue, name, steps, priority, run: asked, ...(deadline !== null && { deadline }) });
      if (standing.kind === 'go') {
        run.admittedAs = asked;
        return null;
      }
      return { kind: 'line-up', until: standing.kind === 'at' ? standing.at : PARKED_AT };
    } catch (error) {
      this.#lines.warn(messageOf(error), { id, name, error: messageOf(error) }, 'Could not check the limits of a task; it will ask again');
      return { kind: 'line-up', until: clock.now() + ASK_AGAIN_MS };
    }
  }
}
