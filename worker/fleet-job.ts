import { Job, type RedisQueueBackend, UnrecoverableError } from 'bullmq';
import { describeStop } from '../shared/stop/cause.js';
import { boundedError } from './bounded-error.js';
import { delayAfter } from './retry-delay.js';
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
  /** Whether its data is not JSON: it fails without being run, as a stopped one does. */
  unreadable = false;
  /** What its handler returned, as JSON; null as long as nothing was. */
  resultJson: string | null = null;

  /** Whether it was stopped before it was fetched: then BullMQ fails it without running it. */
  get stoppedBefore(): boolean {
    return this.deferredFailure !== undefined && !this.unreadable;
  }

  /** Writes the result as it was measured. BullMQ's own way makes JSON of it twice. */
  override async moveToCompleted(value: unknown, token: string, fetchNext = true): ReturnType<Job['moveToCompleted']> {
    if (this.resultJson === null) return super.moveToCompleted(value, token, fetchNext);
    const backend = this.backend as RedisQueueBackend;
    this.returnvalue = value;
    const args = backend.moveToCompletedArgs(this, this.resultJson, this.opts.removeOnComplete ?? false, token, fetchNext);
    const next = await backend.moveToFinished(this.id as string, args);
    this.finishedOn = Number(args[backend.moveToFinishedKeys.length + 1]);
    this.attemptsMade += 1;
    return next;
  }

  /** Back to the queue for so many ms, without counting the attempt; a reason becomes the task's error, `starts` its `attemptsStarted`. */
  async defer(
    { ms, reason, starts }: { readonly ms: number; readonly reason?: string; readonly starts?: number },
    token: string,
  ): Promise<void> {
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
      return super.moveToFailed(boundedError(error), token, fetchNext);
    }
    const fields = { failedReason: error.message, stacktrace: '[]', ...stopFields };
    const { result, finishedOn } = await this.backend.moveToFailed(
      this,
      error.message,
      this.opts.removeOnFail ?? false,
      token,
      fetchNext,
      fields,
    );
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
