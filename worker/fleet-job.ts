import { Job, UnrecoverableError } from 'bullmq';
import { FleetError, messageOf } from '../shared/errors.js';
import { describeStop } from '../shared/stop/cause.js';
import { delayAfter } from './retry-delay.js';
import type { Run } from './run.js';
import { unrecoverable } from './unrecoverable.js';

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
  /** Whether its data is not JSON: it fails without being run, as a stopped one does. */
  unreadable = false;

  /** Whether it was stopped before it was fetched: then BullMQ fails it without running it. */
  get stoppedBefore(): boolean {
    return this.deferredFailure !== undefined && !this.unreadable;
  }

  override async moveToCompleted(value: unknown, token: string, fetchNext?: boolean): ReturnType<Job['moveToCompleted']> {
    try {
      return await super.moveToCompleted(value, token, fetchNext);
    } catch (error) {
      // Looked at only now: a task that ends well pays nothing for it.
      throw notJson(this.name, value) ?? error;
    }
  }

  /** Back to the queue for so many ms, without counting the attempt; a reason becomes the task's error, `starts` its `attemptsStarted`. */
  async putOff({ ms, reason, starts }: { readonly ms: number; readonly reason?: string; readonly starts?: number }, token: string): Promise<void> {
    const fieldsToUpdate = { ...(reason !== undefined && { failedReason: reason }), ...(starts !== undefined && { ats: starts }) };
    const fields = Object.keys(fieldsToUpdate).length > 0 ? { fieldsToUpdate } : {};
    await this.backend.moveToDelayed(this.id as string, Date.now(), ms, token, { skipAttempt: true, ...fields });
  }

  override async moveToFailed(error: Error, token: string, fetchNext = false): ReturnType<Job['moveToFailed']> {
    const stopFields = this.#stopFields(error);
    if (stopFields === null) {
      // BullMQ's own way of computing it is not open to subclasses; a fixed delay is taken as it is.
      const delay = delayAfter(error, this.opts.backoff, this.attemptsMade + 1);
      if (delay > 0 || this.opts.backoff !== undefined) this.opts.backoff = { type: 'fixed', delay };
      return super.moveToFailed(error, token, fetchNext);
    }
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
    return this.stoppedBefore && this.stalledCounter > 0 ? { stop_via: 'fence' } : null;
  }
}

/** What ails an output that JSON cannot hold; null if it can. */
function notJson(name: string, value: unknown): UnrecoverableError | null {
  try {
    JSON.stringify(value);
    return null;
  } catch (error) {
    return unrecoverable(new FleetError('INVALID_OUTPUT', `Bad output of ${name}: not JSON (${messageOf(error)})`, { cause: error }));
  }
}
