import { Job, UnrecoverableError } from 'bullmq';
import { describeStop } from '../shared/stop/cause.js';
import { formatStop } from '../shared/stop/record.js';
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
    if (!(error instanceof Stopped)) return super.moveToFailed(error, token, fetchNext);
    const { stop, via } = error.run;
    // The stop's fields are written by the script that ends the job: no moment shows it failed and not cancelled. Also
    // the record, for whoever says in a message that there is one may be wrong.
    const record = stop && { stop: formatStop({ ...stop, at: stop.recordedAt ?? Date.now() }) };
    const fields = { failedReason: error.message, stacktrace: '[]', stop_via: via, ...record };
    const { result, finishedOn } = await this.backend.moveToFailed(this, error.message, this.opts.removeOnFail ?? false, token, fetchNext, fields);
    this.failedReason = error.message;
    this.finishedOn = Number(finishedOn);
    this.attemptsMade += 1;
    return result;
  }
}
