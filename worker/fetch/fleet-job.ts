import { setTimeout as delay } from 'node:timers/promises';
import { Job, type RedisQueueBackend, UnrecoverableError } from 'bullmq';
import { MAX_ERROR_BYTES, MAX_STACK_LENGTH, cutToBytes, shortened } from '../../shared/limits.js';
import { isRefusal } from '../../shared/redis/reply-errors.js';
import { describeStop } from '../../shared/stop/cause.js';
import { delayAfter } from '../run/outcome.js';
import type { Run } from '../run/run.js';
import { completeWithJson } from './bullmq-overrides.js';

/** A BullMQ job that can be settled as cancelled and knows its run in this process. */
export class FleetJob extends Job {
  run: Run | null = null;
  /** Whether the job's data is not JSON: it fails without being run, like a stopped job. */
  unreadable = false;
  /** The handler's result as JSON; null until the handler has returned. */
  resultJson: string | null = null;

  /** Whether the job was stopped before it was fetched: BullMQ then fails it without running it. */
  get stoppedBefore(): boolean {
    return this.deferredFailure !== undefined && !this.unreadable;
  }

  /** Writes the result JSON that was measured; BullMQ would serialize the result a second time. */
  override async moveToCompleted(value: unknown, token: string, fetchNext = true): ReturnType<Job['moveToCompleted']> {
    if (this.resultJson === null) return super.moveToCompleted(value, token, fetchNext);
    this.returnvalue = value;
    const { reply, at } = await completeWithJson(this, this.backend as RedisQueueBackend, { json: this.resultJson, token, fetchNext });
    this.finishedOn = at;
    this.attemptsMade += 1;
    return reply;
  }

  /** Delays the job by `ms` without counting the attempt. `reason` becomes the task's error, `starts` its `attemptsStarted`. */
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
      // Subclasses cannot replace BullMQ's computation of the delay, but BullMQ applies a fixed delay unchanged.
      const delayMs = delayAfter(error, this.opts.backoff, this.attemptsMade + 1);
      if (delayMs > 0 || this.opts.backoff !== undefined) this.opts.backoff = { type: 'fixed', delay: delayMs };
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
   * The fields that record how the stop took effect; null if the job was not stopped. The script that fails the job writes them, so the job
   * never appears failed but not cancelled.
   */
  #stopFields(error: Error): Record<string, string> | null {
    if (error instanceof Stopped) return { stop_via: error.run.via };
    // The task was running when it was stopped; its worker died, and the stalled check found it before a stopper fenced it.
    return this.stoppedBefore && this.stalledCounter > 0 ? { stop_via: 'fence' } : null;
  }
}

/** Thrown by the processor to settle its job as cancelled. */
export class Stopped extends UnrecoverableError {
  constructor(readonly run: Run) {
    super(describeStop(run.stop?.reason ?? null, run.stop?.by ?? null));
  }
}

/** Length to which the message at the start of a stack is cut, in characters. */
const IN_STACK = 256;

/**
 * Returns the error with its message and stack cut to their limits, or the error itself if both fit. BullMQ stores the message twice, with
 * the job and in the queue's events, and the stack beside it.
 */
function boundedError(error: Error): Error {
  const message = cutToBytes(error.message, MAX_ERROR_BYTES);
  const stack = boundedStack(error);
  if (message === error.message && stack === error.stack) return error;
  return Object.create(error, { message: { value: message }, stack: { value: stack } }) as Error;
}

/** Cuts the message inside the stack as well: V8 repeats it there in full. */
function boundedStack({ message, stack }: Error): string | undefined {
  if (stack === undefined || stack.length <= MAX_STACK_LENGTH) return stack;
  const at = stack.indexOf(message);
  const short = at < 0 ? stack : stack.slice(0, at) + shortened(message, IN_STACK) + stack.slice(at + message.length);
  return shortened(short, MAX_STACK_LENGTH);
}

const FIRST_DELAY_MS = 50;
const LONGEST_DELAY_MS = 1_000;

/**
 * Retries `attempt` while Redis refuses it. Settles with the first attempt that is not refused: at the latest with the error of a closed
 * connection.
 * @param onRefused called before each wait, with Redis' error and the number of refusals
 */
export async function untilAccepted<Result>(
  attempt: () => Promise<Result>,
  onRefused?: (error: Error, refusals: number) => void,
): Promise<Result> {
  for (let refusals = 1; ; refusals += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!isRefusal(error)) throw error;
      onRefused?.(error, refusals);
      await delay(refusalDelay(refusals));
    }
  }
}

/** Returns the backoff after a number of consecutive refusals, in ms. */
export function refusalDelay(refusals: number): number {
  return Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(refusals - 1, 16));
}
