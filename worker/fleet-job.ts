import { Job, UnrecoverableError } from 'bullmq';
import { describeStop } from '../shared/stop/cause.js';
import type { Run } from './run.js';

/** Thrown by a processor to settle its job as cancelled. */
export class Stopped extends UnrecoverableError {
  readonly run: Run;

  constructor(run: Run) {
    super(describeStop(run.stop?.reason ?? null, run.stop?.by ?? null));
    this.run = run;
  }
}

/** A BullMQ job that can be settled as cancelled, and knows the run that it had in this process. */
export class FleetJob extends Job {
  run: Run | null = null;

  override async moveToFailed(error: Error, token: string, fetchNext = false): ReturnType<Job['moveToFailed']> {
    const stopFields = this.#stopFields(error);
    if (stopFields === null) return super.moveToFailed(error, token, fetchNext);
    const fields = { failedReason: error.message, stacktrace: '[]', ...stopFields };
    const { result, finishedOn } = await this.backend.moveToFailed(this, error.message, this.opts.removeOnFail ?? false, token, fetchNext, fields);
    this.failedReason = error.message;
    this.finishedOn = Number(finishedOn);
    this.attemptsMade += 1;
    return result;
  }

  /**
   * What is written of the stop, by the script that ends the job: no moment shows it failed and not cancelled. Null if
   * there is nothing to write.
   */
  #stopFields(error: Error): Record<string, string> | null {
    if (error instanceof Stopped) return { stop_via: error.run.via };
    // It ran, and was stopped; its worker died, and the stalled check came to it before anybody who would have fenced it.
    return this.deferredFailure !== undefined && this.stalledCounter > 0 ? { stop_via: 'fence' } : null;
  }
}
