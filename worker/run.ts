import type { FleetClock } from '../shared/clock/fleet-clock.js';
import { AbortCause, LockLost, StopRequested } from '../shared/stop/cause.js';
import type { StopWay } from '../shared/stop/record.js';
import type { TaskOutput } from './task-output.js';

export interface RunStop {
  readonly reason: string | null;
  readonly by: string | null;
  /** When it was recorded or, before that is known, heard of; in ms since the epoch. 0 for a record without a time. */
  readonly at: number;
}

export interface RunOptions {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  /** `''` for none. */
  readonly item: string;
  /** What its lock holds. */
  readonly token: string;
  /** How long its lock holds from `lockedAt`, and from each renewal, in ms. */
  readonly lockMs: number;
  /** When Redis gave the lock, in ms since the epoch. */
  readonly lockedAt: number;
  readonly clock: Pick<FleetClock, 'now'>;
}

/**
 * One attempt at a task in this process, from pick-up until it is settled. Holds the abort and its cause.
 *
 * The first cause aborts the signal. A stop that comes after another cause replaces it, for a stopped task must not come
 * back; nothing replaces a lost lock, for then the task is no longer ours to settle. Once the handler has ended, or was
 * given up, nothing reaches the run any more.
 */
export class Run {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  readonly item: string;
  /** What its lock holds. */
  readonly token: string;
  /** In ms since the epoch. */
  readonly startedAt: number;
  readonly #clock: Pick<FleetClock, 'now'>;
  readonly #lockMs: number;
  /** Of performance.now. */
  #lockedUntil: number;
  /** How a stop reached this run, if one did. */
  via: StopWay = 'signal';
  /** Made when the handler first says something. */
  output: TaskOutput | null = null;
  #cause: AbortCause | null = null;
  #stop: RunStop | null = null;
  #stopHeardAt: number | null = null;
  #controller: AbortController | null = null;
  #onAbort: ((cause: AbortCause) => void) | null = null;
  #ended = false;

  constructor({ id, queue, name, item, token, lockMs, lockedAt, clock }: RunOptions) {
    this.id = id;
    this.queue = queue;
    this.name = name;
    this.item = item;
    this.token = token;
    this.#clock = clock;
    this.startedAt = clock.now();
    this.#lockMs = lockMs;
    this.#lockedUntil = performance.now() + lockMs - Math.max(0, this.startedAt - lockedAt);
  }

  /** Its lock was renewed by what was sent at that time of performance.now. */
  lockRenewed(sentAt: number): void {
    this.#lockedUntil = sentAt + this.#lockMs;
  }

  /**
   * Whether the task is still ours. A process that was frozen, or whose event loop was, may go on with a task for a
   * while that another worker has: before it learns of that from Redis, its own clock says that the lock ran out.
   */
  checkLock(): boolean {
    const held = performance.now() <= this.#lockedUntil;
    if (!held) this.abort(new LockLost()); // not heard after the end of the handler, whose last words come then
    return held && this.#cause?.kind !== 'lock-lost';
  }

  /** Whether the task has a stream of events by now. */
  get spoke(): boolean {
    return this.output?.used ?? false;
  }

  /** Whether the handler has ended or was given up: how the task ends is decided. */
  get ended(): boolean {
    return this.#ended;
  }

  get cause(): AbortCause | null {
    return this.#cause;
  }

  get stop(): RunStop | null {
    return this.#stop;
  }

  /** When the first word of a stop reached this run, in ms since the epoch. */
  get stopHeardAt(): number | null {
    return this.#stopHeardAt;
  }

  /** For the time after the end of the handler, when `requestStop` is not heard any more. */
  set stop(stop: RunStop) {
    this.#stop = stop;
  }

  /** Made when a handler first asks for it: most tasks of a busy fleet never do. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#cause && !this.#controller.signal.aborted) this.#controller.abort(this.#cause);
    return this.#controller.signal;
  }

  /**
   * Calls the listener at each abort, also at one that does not become the cause: it may shorten the handler's grace.
   * At once if the run is aborted already. One listener.
   */
  onAbort(listener: (cause: AbortCause) => void): void {
    this.#onAbort = listener;
    if (this.#cause) listener(this.#cause);
  }

  requestStop(stop: RunStop): void {
    if (this.#ended) return;
    this.#stop ??= stop;
    this.#stopHeardAt ??= this.#clock.now();
    this.abort(new StopRequested(this.#stop.reason, this.#stop.by));
  }

  abort(cause: AbortCause): void {
    if (this.#ended) return;
    if (replaces(cause, this.#cause)) {
      this.#cause = cause;
      this.#controller?.abort(cause);
    }
    this.#onAbort?.(cause);
  }

  /** The handler is through. What it said goes out, and nothing more is heard of it. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.output?.close();
  }
}

function replaces(cause: AbortCause, current: AbortCause | null): boolean {
  if (current === null) return true;
  if (current.kind === 'lock-lost' || current.kind === cause.kind) return false;
  return cause.kind === 'stop' || cause.kind === 'lock-lost';
}
