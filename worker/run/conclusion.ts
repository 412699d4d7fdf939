import { DelayedError, WaitingError } from 'bullmq';
import { delayOf } from '../../shared/attempt/retry-after.js';
import { messageOf, withoutCalls } from '../../shared/errors.js';
import { isParked } from '../../shared/limiter/parked-jobs.js';
import type { Logger } from '../../shared/log/logger.js';
import type { Store } from '../../shared/store.js';
import { writeRemoval } from '../../shared/task/event-stream.js';
import { within } from '../../shared/time.js';
import { type FleetJob, Stopped } from '../fetch/fleet-job.js';
import type { JobCounters } from '../fetch/job-counters.js';
import { untilAccepted } from '../fetch/settle/refusals.js';
import type { RegistryWriter } from '../registry-writer.js';
import { AttemptNotes } from './attempt-notes.js';
import { logFailure } from './log/failure-log.js';
import type { Outcome } from './outcome.js';
import type { Releases } from './releases.js';
import type { Run } from './run.js';

interface ConclusionOptions {
  readonly store: Store;
  readonly writer: RegistryWriter;
  readonly releases: Releases;
  readonly taskCounters: JobCounters;
  readonly logger: Logger;
  /** Writes the lines about failed attempts. */
  readonly taskLogger: Logger;
}

/** How long a task that is not kept waits for the record of its announced stop, in ms: the announcer may have died. */
const RECORD_PATIENCE_MS = 2_000;

/** Concludes an attempt that did not complete: makes BullMQ fail, requeue, defer, skip or drop the job. */
export class Conclusion {
  readonly #notes: AttemptNotes;

  constructor(private readonly options: ConclusionOptions) {
    this.#notes = new AttemptNotes(options.store, options.logger);
  }

  /** Throws the error that makes BullMQ apply the outcome; returns null for a skipped task, which BullMQ completes. */
  async apply(run: Run, job: FleetJob, outcome: Exclude<Outcome, { kind: 'complete' }>): Promise<null> {
    switch (outcome.kind) {
      case 'skip':
        job.skippedFor = outcome.other;
        if (!job.keepsCompleted) await untilAccepted(() => this.#announceSkip(run));
        return null;
      case 'fail':
        throw outcome.error;
      case 'cancel':
        // Whoever announced the stop would not find the task any more, nor its children.
        if (!job.keepsCancelled) await within(RECORD_PATIENCE_MS, run.stopRecorded(), () => undefined);
        throw withoutCalls(() => new Stopped(run, run.stop ?? { reason: null, by: null, at: this.options.store.clock.now() }));
      case 'requeue':
        return this.#requeue(run, job);
      case 'defer':
        return this.#defer(run, job, outcome);
      case 'put-off':
        return this.#putOff(run, job, outcome);
      case 'line-up':
        return this.#lineUp(run, job, outcome);
      case 'drop':
        this.options.logger.warn({ id: run.id, name: run.name }, 'Lost the lock; dropping the result');
        await this.#notes.lockLost(job);
        throw new WaitingError();
    }
  }

  /** Announces a skip to waiters that read the task only after it is gone. */
  async #announceSkip({ id }: Run): Promise<void> {
    const { redis, keys } = this.options.store;
    await Promise.all(writeRemoval(redis, keys.events(id), 'skipped'));
  }

  async #requeue({ id, name, queue, token }: Run, job: FleetJob): Promise<never> {
    await this.#notes.requeued(job);
    await untilAccepted(() => job.moveToWait(token));
    this.options.logger.info({ id, name }, 'Requeued the task');
    await this.#settleLateStop(queue, id);
    throw new WaitingError();
  }

  async #defer({ id, queue, token }: Run, job: FleetJob, outcome: Outcome & { kind: 'defer' }): Promise<never> {
    await untilAccepted(() => job.defer(outcome, token));
    if (!outcome.keepsPlaces) this.options.releases.release(job);
    await this.#settleLateStop(queue, id);
    throw new DelayedError();
  }

  async #putOff({ id, queue, token }: Run, job: FleetJob, { error, asked }: Outcome & { kind: 'put-off' }): Promise<never> {
    const { store, writer, taskCounters, taskLogger } = this.options;
    const ms = delayOf(asked, store.clock.now());
    await untilAccepted(() => job.putOff(error, ms, token));
    this.options.releases.release(job);
    logFailure(taskLogger, job);
    taskCounters.attempted(job);
    if (job.mayHaveStream) writer.retrying(id, job.attempt);
    await this.#settleLateStop(queue, id);
    throw new DelayedError();
  }

  async #lineUp({ id, queue, token }: Run, job: FleetJob, { until }: Outcome & { kind: 'line-up' }): Promise<never> {
    const { clock, limiter } = this.options.store;
    // Fetches of a task that lines up must not use up those after which UnknownTasks gives up.
    const starts = Math.max(1, job.attemptsStarted - 1);
    await untilAccepted(() => job.defer({ ms: Math.max(1, until - clock.now()), starts }, token));
    await this.#settleLateStop(queue, id);
    // Another task may have freed its place before the job was parked.
    if (isParked(until)) await untilAccepted(() => limiter.recheck([id])).catch((error: unknown) => this.#warnParked(id, error));
    throw new DelayedError();
  }

  #warnParked(id: string, error: unknown): void {
    this.options.logger.warn({ id, error: messageOf(error) }, 'Could not check for a free place after parking a task; the workers will');
  }

  /** Settles a stop that arrived just before the task went back: no worker may fetch the task for a long time. */
  async #settleLateStop(queue: string, id: string): Promise<void> {
    const settling = this.options.store.stopper.settleIfStopped(queue, id);
    await settling.catch((error: unknown) => this.options.logger.warn({ id, error }, 'Could not check for a stop after requeueing'));
  }
}
