import { Job, type JobsOptions, type RedisQueueBackend, UnrecoverableError } from 'bullmq';
import { type AttemptOutcome, attemptField } from '../../shared/attempt/attempt.js';
import { type Failure, failureOf } from '../../shared/attempt/failure.js';
import type { FleetClock } from '../../shared/clock/fleet-clock.js';
import { type EndedKind, type JobRetention, keepsNone, retentionOf } from '../../shared/retention/limits.js';
import { TimedOut, describeStop } from '../../shared/stop/cause.js';
import { formatStop, parseStop } from '../../shared/stop/receipt.js';
import { MAX_STACKS, type TaskJobOptions, readOptions } from '../../shared/task/job-options.js';
import { FinalError, delayAfter, mayRetry, thrownBy } from '../run/outcome.js';
import { type Run, type RunStop, runStopOf } from '../run/run.js';
import { failStopped } from './bullmq-overrides.js';
import { JobHistory } from './job-history.js';
import { boundedError } from './settle/bounded-error.js';
import { completeWithJson } from './settle/completion.js';

/** A BullMQ job that can be settled as cancelled and knows its run in this process. */
export class FleetJob extends Job {
  run: Run | null = null;
  /** The handler's result as JSON; null until the handler has returned. */
  resultJson: string | null = null;
  /** The task that this one overlapped, if it is to be completed as skipped. */
  skippedFor: string | null = null;
  /** What the last failure was, and when the task is retried, in ms from then; null if it is not. */
  failed: { readonly failure: Failure; readonly retryMs: number | null } | null = null;
  /** Whether the script that ended the job has blocked foreign retries. */
  retriesBlocked = false;
  /** Called with each failure before the job is settled. */
  onFailure: ((job: FleetJob) => void) | null = null;
  /** When its settlement was first sent, by performance.now. */
  settlingSince = -Infinity;
  clock: Pick<FleetClock, 'now'> = Date;
  history: JobHistory = JobHistory.empty;
  #attempt: number | null = null;
  #taskOptions: TaskJobOptions | null = null;
  #retention: JobRetention | null = null;

  /** Our part of the job's options. */
  get taskOptions(): TaskJobOptions {
    return (this.#taskOptions ??= readOptions(this.opts));
  }

  /** The number of this attempt, from 1. Attempts of lost workers count. */
  get attempt(): number {
    return (this.#attempt ??= this.attemptsMade + this.losses + 1);
  }

  /** Attempts allowed, including those of lost workers, which use up no retry. */
  get maxAttempts(): number {
    return Math.max(1, this.opts.attempts ?? 1) + this.losses;
  }

  /** Attempts whose worker died or froze. */
  get losses(): number {
    return Math.max(0, this.stalledCounter - this.history.givenUp);
  }

  /** Whether the task may have an event stream, made by this run or by an earlier one, perhaps on another worker. */
  get mayHaveStream(): boolean {
    return (this.run?.hasStream ?? false) || this.runNumber > 1;
  }

  /** Counts the task's runs over all its retries, from 1. */
  get runNumber(): number {
    return Math.max(0, Math.trunc(this.history.tries) + this.attemptsStarted);
  }

  /**
   * Whether the job was stopped before it was fetched: BullMQ then fails it without running it. An unreadable job, and the parent of a
   * failed child, fail that way too, without a stop.
   */
  get stoppedBefore(): boolean {
    return this.deferredFailure !== undefined && this.history.stopped;
  }

  /** The retention of the task; null for a job of another program. */
  get retention(): JobRetention | null {
    return (this.#retention ??= retentionOf(this.opts));
  }

  /** Whether the job is stored after it has completed. */
  get keepsCompleted(): boolean {
    return keeps(this.opts.removeOnComplete);
  }

  /** Whether the job is stored after it was cancelled. */
  get keepsCancelled(): boolean {
    return this.retention === null ? keeps(this.opts.removeOnFail) : !keepsNone(this.retention.cancelled);
  }

  /** Writes the result JSON that was measured; BullMQ would serialize the result a second time. */
  override async moveToCompleted(value: unknown, token: string, fetchNext = true): ReturnType<Job['moveToCompleted']> {
    this.#keepAs('completed');
    const json = this.skippedFor === null ? this.resultJson : 'null';
    if (json === null) return super.moveToCompleted(value, token, fetchNext);
    this.returnvalue = value;
    const fields = this.skippedFor === null ? undefined : { skipped: this.skippedFor };
    const { reply, at } = completeWithJson(this, { json, token, fetchNext, fields, at: this.clock.now() });
    const next = await reply;
    this.finishedOn = at;
    this.attemptsMade += 1;
    return next;
  }

  /** Delays the job by `ms` without counting the attempt. */
  async defer({ ms, reason, starts = this.attemptsStarted }: Deferral, token: string): Promise<void> {
    await this.#delay(ms, token, { ...(reason !== undefined && { failedReason: reason }), ...this.#startsFields(starts, this.runNumber) });
  }

  /** Delays the job for as long as its handler asked, without counting the attempt, which is recorded as failed. */
  async putOff(error: Error, ms: number, token: string): Promise<void> {
    this.#fail(error, ms);
    // A put-off must not use up the fetches after which UnknownTasks gives up.
    const starts = this.#startsFields(Math.max(1, this.attemptsStarted - 1), this.runNumber + 1);
    await this.#delay(ms, token, { ...this.#failureFields(error), ...starts, put_off: '1' });
  }

  async #delay(ms: number, token: string, fieldsToUpdate: Record<string, unknown>): Promise<void> {
    await this.backend.moveToDelayed(this.id as string, Date.now(), ms, token, { skipAttempt: true, fieldsToUpdate });
  }

  /** Returns the fields that make the next fetch count as `starts + 1`, and its run have the given number. */
  #startsFields(starts: number, nextRun: number): Record<string, number> {
    return { ...(starts !== this.attemptsStarted && { ats: starts }), tries: nextRun - starts - 1 };
  }

  /** Fails the attempt: delays the job, requeues it, or ends it as failed or cancelled, with the record of the attempt. */
  override async moveToFailed(error: Error, token: string, fetchNext = false): ReturnType<Job['moveToFailed']> {
    const endFields = this.#endFields(error);
    const retryMs = endFields === null && mayRetry(error, this.attemptsMade + 1, this.opts.attempts) ? this.#retryDelay(error) : null;
    const failed = endFields === null ? !this.stoppedBefore : error instanceof NotRunAgain;
    if (failed) this.#fail(error, retryMs);
    const fields = endFields ?? this.#failureFields(error);
    this.failedReason = fields.failedReason;
    const result = await (retryMs === null ? this.#end(error, fields, token, fetchNext) : this.#retry(retryMs, fields, token, fetchNext));
    this.attemptsMade += 1;
    return result;
  }

  async #end(error: Error, fields: FailedFields, token: string, fetchNext: boolean): ReturnType<Job['moveToFailed']> {
    this.#keepAs(error instanceof Stopped || this.stoppedBefore ? 'cancelled' : 'failed');
    if (error instanceof Stopped) return this.#endStopped(error, fields, token, fetchNext);
    const { removeOnFail = false } = this.opts;
    const { result, finishedOn } = await this.backend.moveToFailed(this, fields.failedReason, removeOnFail, token, fetchNext, fields);
    this.finishedOn = Number(finishedOn);
    return result;
  }

  /** Records the stop and fails the job. The stop that was heard may differ from the record, which the failure must name. */
  async #endStopped(error: Stopped, fields: FailedFields, token: string, fetchNext: boolean): ReturnType<Job['moveToFailed']> {
    const backend = this.backend as RedisQueueBackend;
    // As in the fields: an escalation may change it meanwhile.
    const { via } = error.run;
    for (let stop = formatStop(error.stop); ;) {
      const text = error.message;
      const failed = { ...fields, failedReason: text };
      const args = backend.moveToFailedArgs(this, text, this.opts.removeOnFail ?? false, token, fetchNext, failed);
      const ended = await failStopped(this.id as string, backend, { stop, text, token, via, args });
      if (ended.stop !== null) error.adopt(ended.stop);
      if (ended.reply !== null) {
        this.failedReason = text;
        this.finishedOn = Number(args[backend.moveToFinishedKeys.length + 1]);
        this.retriesBlocked = true;
        return ended.reply as Awaited<ReturnType<Job['moveToFailed']>>;
      }
      stop = ended.stop as string;
    }
  }

  async #retry(ms: number, fieldsToUpdate: Record<string, string>, token: string, fetchNext: boolean): ReturnType<Job['moveToFailed']> {
    const id = this.id as string;
    this.delay = ms;
    if (ms > 0) return this.backend.moveToDelayed(id, Date.now(), ms, token, { fieldsToUpdate, fetchNext });
    await this.backend.retryJob(id, this.opts.lifo ?? false, token, { fieldsToUpdate });
  }

  /** Computed once: Redis may refuse the settlement, which is then tried again. */
  #retryDelay(error: Error): number {
    return this.failed?.retryMs ?? delayAfter(error, this.opts.backoff, this.attemptsMade + 1, this.clock.now());
  }

  #fail(error: Error, retryMs: number | null): void {
    if (this.failed !== null) return;
    this.failed = { failure: failureOf(thrownBy(error)), retryMs };
    this.updateStacktrace(boundedError(error));
    // By default, BullMQ keeps all of them.
    if (this.retention !== null) this.stacktrace = (this.stacktrace ?? []).slice(-MAX_STACKS);
    this.onFailure?.(this);
  }

  #failureFields(error: Error): FailedFields {
    return {
      failedReason: boundedError(error).message,
      stacktrace: JSON.stringify(this.stacktrace),
      ...(this.deferredFailure === undefined && this.record(thrownBy(error) instanceof TimedOut ? 'timed_out' : 'failed')),
    };
  }

  /** Returns the job's field with the record of this attempt. */
  record(outcome: AttemptOutcome): Readonly<Record<string, string>> {
    const ended = this.clock.now();
    const { failure: error, retryMs = null } = this.failed ?? {};
    return attemptField({
      ...{ number: this.attempt, run: this.runNumber, worker: this.processedBy ?? null, started: this.processedOn ?? null, ended, outcome },
      ...(error && { error }),
      ...(retryMs !== null && { retry_at: ended + retryMs }),
    });
  }

  /**
   * Makes BullMQ keep or remove this job alone: it would apply the limits to all jobs of the queue. {@link EndedTasks} applies them. Must
   * not come before the end of the job: BullMQ makes the next run of a schedule from the options.
   */
  #keepAs(kind: EndedKind): void {
    if (this.retention === null) return;
    const removed = keepsNone(this.retention[kind]);
    if (kind === 'completed') this.opts.removeOnComplete = removed;
    else this.opts.removeOnFail = removed;
  }

  /**
   * Returns the fields that record how the stop took effect, or why the job was not run; null for a failed attempt. The script that fails
   * the job writes them, so the job never appears failed but not cancelled.
   */
  #endFields(error: Error): FailedFields | null {
    const fields = { failedReason: error.message, stacktrace: '[]' };
    if (error instanceof NotRunAgain) return { ...fields, ...error.fields };
    if (error instanceof Stopped) {
      const { called, via } = error.run;
      return { ...fields, stop_via: via, ...(called && via !== 'queue' && this.record('cancelled')) };
    }
    // The task was running when it was stopped; its worker died, and the stalled check found it before a stopper fenced it.
    return this.stoppedBefore && this.stalledCounter > 0 ? { ...fields, stop_via: 'fence', unrun: '1' } : null;
  }
}

function keeps(removed: JobsOptions['removeOnFail'] = false): boolean {
  return typeof removed === 'object' ? removed.count !== 0 : removed !== true && removed !== 0;
}

/** Fields of a job whose attempt failed or was cancelled. */
type FailedFields = Readonly<Record<string, string>> & { readonly failedReason: string };

/** How long a job is delayed without an attempt. */
interface Deferral {
  readonly ms: number;
  /** The task's error meanwhile. */
  readonly reason?: string;
  /** The job's number of fetches afterwards; default: as many as now. */
  readonly starts?: number;
}

/** Thrown by the processor to settle its job as cancelled. */
export class Stopped extends UnrecoverableError {
  /** @param stop as it was heard */
  constructor(
    readonly run: Run,
    readonly stop: RunStop,
  ) {
    super(describeStop(stop.reason, stop.by));
  }

  /** Names the stop that is recorded with the job. */
  adopt(recorded: string): void {
    const stop = parseStop(recorded, null);
    if (stop === null) return;
    this.run.stop = runStopOf(stop);
    this.message = describeStop(stop.reason, stop.by);
  }
}

/** Thrown by the processor to fail its job without an attempt: its workers were lost too often. */
export class NotRunAgain extends FinalError {
  /** @param fields of the job, written with its failure */
  constructor(
    cause: Error,
    readonly fields: Readonly<Record<string, string>>,
  ) {
    super(cause);
  }
}
