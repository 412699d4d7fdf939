import { setTimeout } from 'node:timers/promises';
import { FleetError, isFleetError } from '../../shared/errors.js';
import { isUnavailability } from '../../shared/redis/connection-errors.js';
import { type JobEnd, type JobEvents, type SettledRun, endSaidBy, settledSaidBy } from './events.js';
import { Notice } from './stream-reader.js';

/** A job to wait for. A foreign task has no queue and sends no events. */
interface AwaitedJob {
  readonly id: string;
  readonly queue: string | null;
}

/** How a job that is no longer stored has gone: by its end, or removed before it. */
type Departure = JobEnd | 'removed';

const RETRY_MS = 10;
const OVER = new Set(['completed', 'failed', 'removed', 'cleaned']);

/** One caller's wait for changes of jobs. A wait is woken by events; its caller polls in case one is lost. */
export class Wait {
  /** Ids of jobs that may have changed; the caller clears it. */
  readonly touched = new Set<string>();
  readonly #jobEvents: JobEvents;
  readonly #notice = new Notice();
  /** The end of each job as reported so far; null if the job was retried since. */
  readonly #ends = new Map<string, JobEnd | null>();
  readonly #settled = new Map<string, SettledRun>();
  readonly #removed = new Set<string>();
  readonly #onClose: (() => void)[] = [];
  #cancelled = false;

  constructor(jobEvents: JobEvents) {
    this.#jobEvents = jobEvents;
  }

  /** Wakes the wait whenever the job may have ended; with `everyEvent`, on each of its events. */
  async listen({ id, queue }: AwaitedJob, everyEvent: boolean): Promise<void> {
    if (queue === null) return;
    this.onClose(
      await this.#jobEvents.listen(queue, id, (event, fields) => {
        const end = endSaidBy(event, fields);
        if (end !== undefined) this.#ends.set(id, end);
        if (end === null) this.#settled.delete(id);
        const settled = settledSaidBy(event, fields);
        if (settled) this.#settled.set(id, settled);
        if (event === 'removed') this.#removed.add(id);
        if (!everyEvent && !OVER.has(event)) return;
        this.touched.add(id);
        this.wake();
      }),
    );
  }

  onClose(callback: () => void): void {
    this.#onClose.push(callback);
  }

  wake(): void {
    this.#notice.raise();
  }

  /**
   * Resolves with true once woken, or if woken since the last call; false after `timeoutMs`.
   * @throws FleetError `CLOSED`; the signal's reason
   */
  async next(timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    const woken = this.#cancelled || (await this.#notice.wait(timeoutMs, signal));
    if (this.#cancelled) throw closed();
    return woken;
  }

  /** Returns how the job's stopped run ended; null if no event told, or if the job was retried since. */
  settledRun(id: string): SettledRun | null {
    return this.#settled.get(id) ?? null;
  }

  /** Returns how a job that is no longer stored has gone; null if its events do not tell. */
  async departureOf(queue: string, id: string): Promise<Departure | null> {
    // Prefer the heard end: a busy queue may have trimmed the event by now.
    return this.#ends.get(id) ?? (await this.#jobEvents.endOf(queue, id)) ?? (this.#removed.has(id) ? 'removed' : null);
  }

  /** Makes `next` reject with `CLOSED`. */
  cancel(): void {
    this.#cancelled = true;
    this.wake();
  }

  /** Unsubscribes from all events. */
  close(): void {
    for (const callback of this.#onClose.splice(0)) callback();
  }
}

/** Waits for jobs by event. Waits survive a brief loss of the connection. */
export class Waiter {
  readonly #waits = new Set<Wait>();
  #closed = false;

  /** @param reconnected resolves when the connection is back; rejects when that takes too long */
  constructor(
    private readonly jobEvents: JobEvents,
    private readonly reconnected: () => Promise<void>,
  ) {}

  /** Ends every wait with `CLOSED`. */
  close(): void {
    this.#closed = true;
    for (const wait of this.#waits) wait.cancel();
  }

  /** Starts a wait for these jobs, which the caller closes. Resolves once it is subscribed to their events. */
  async start(jobs: readonly AwaitedJob[], { everyEvent = false } = {}): Promise<Wait> {
    const wait = new Wait(this.jobEvents);
    this.#waits.add(wait);
    wait.onClose(() => this.#waits.delete(wait));
    const listening = await Promise.allSettled(jobs.map((job) => wait.listen(job, everyEvent)));
    for (const one of listening) {
      if (one.status === 'fulfilled') continue;
      wait.close();
      throw one.reason;
    }
    return wait;
  }

  /** Repeats a read after the connection is restored. @throws FleetError `CLOSED` */
  async retried<Value>(read: () => Promise<Value>): Promise<Value> {
    for (;;) {
      if (this.#closed) throw closed();
      try {
        return await read();
      } catch (error) {
        if (this.#closed || !(isUnavailability(error) || isFleetError(error, 'REDIS_UNAVAILABLE'))) throw error;
        // The client may not have noticed the loss yet; without a pause, this loop would starve the socket events.
        await setTimeout(RETRY_MS);
        await this.reconnected();
      }
    }
  }
}

function closed(): FleetError {
  return new FleetError('CLOSED', 'This producer was closed during the wait.');
}
