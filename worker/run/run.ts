import type { FleetClock } from '../../shared/clock/fleet-clock.js';
import { withoutCalls } from '../../shared/errors.js';
import type { LimitStep } from '../../shared/limiter/marks.js';
import { AbortCause, LockLost, StopRequested } from '../../shared/stop/cause.js';
import type { StopRecord, StopWay } from '../../shared/stop/receipt.js';
import { within } from '../../shared/time.js';
import type { Carrier } from '../../shared/tracing/carrier.js';
import type { AttemptSpan } from '../../shared/tracing/telemetry.js';
import type { LogWriter } from './log/log-writer.js';
import type { TaskOutput } from './output.js';
import type { Spending } from './spending.js';

export interface RunStop {
  readonly reason: string | null;
  readonly by: string | null;
  /** When the stop was recorded or, until that is known, received; in ms since the epoch. 0 for a record without a time. */
  readonly at: number;
  /** The context of the request's span; absent if it was not traced. */
  readonly carrier?: Carrier | undefined;
}

/** Returns the stop of a run from its record. */
export function runStopOf({ reason, by, at, carrier }: StopRecord): RunStop {
  return { reason, by, at: at?.getTime() ?? 0, ...(carrier !== undefined && { carrier }) };
}

interface RunOptions {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  /** `''` if the task has no item. */
  readonly item: string;
  readonly tags?: readonly string[] | undefined;
  /** The limited tasks above its children: see `ancestorsOf`. */
  readonly ancestors?: readonly string[];
  /** What its lock holds. */
  readonly token: string;
  /** How long the lock holds from `lockedAt` and from each renewal, in ms. */
  readonly lockMs: number;
  /** When Redis granted the lock, in ms since the epoch. */
  readonly lockedAt: number;
  readonly clock: Pick<FleetClock, 'now'>;
}

/**
 * One attempt at a task in this process, from fetch to settlement. Holds the abort and its cause.
 *
 * The first cause aborts the signal. A later stop replaces it, because a stopped task must not come back; nothing replaces a lost lock,
 * because the task then belongs to another worker. Once the handler has ended or was abandoned, aborts are ignored.
 */
export class Run {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  readonly item: string;
  readonly tags: readonly string[];
  readonly ancestors: readonly string[];
  /** What its lock holds. */
  readonly token: string;
  /** In ms since the epoch. */
  readonly startedAt: number;
  readonly #clock: Pick<FleetClock, 'now'>;
  readonly #lockMs: number;
  /** By performance.now. */
  #lockedUntil: number;
  /** Whether the handler was called: only then is the run an attempt. */
  called = false;
  /** The span of the attempt, once the handler is about to be called; null without telemetry. */
  span: AttemptSpan | null = null;
  /** The limits of the task under this worker's handler; empty until the run has asked whether it may start. */
  steps: readonly LimitStep[] = [];
  /** The name under which its limits let the run start, and it holds their places until it ends; null before. */
  admittedAs: string | null = null;
  /** How a stop took effect on this run, if one did. */
  via: StopWay = 'signal';
  /** Created by the handler's first progress or chunk. */
  output: TaskOutput | null = null;
  /** Created by the first cost that the handler reports, if its task has a rate with a cost. */
  spending: Spending | null = null;
  /** Created by the handler's first log line that is kept. */
  log: LogWriter | null = null;
  #cause: AbortCause | null = null;
  #stop: RunStop | null = null;
  #stopHeardAt: number | null = null;
  #stopRecorded = false;
  #onStopRecorded: (() => void) | null = null;
  #controller: AbortController | null = null;
  #onAbort: ((cause: AbortCause) => void) | null = null;
  #ended = false;

  constructor({ id, queue, name, item, tags = [], ancestors = [], token, lockMs, lockedAt, clock }: RunOptions) {
    this.id = id;
    this.queue = queue;
    this.name = name;
    this.item = item;
    this.tags = tags;
    this.ancestors = ancestors;
    this.token = token;
    this.#clock = clock;
    this.startedAt = clock.now();
    this.#lockMs = lockMs;
    this.#lockedUntil = performance.now() + lockMs - Math.max(0, this.startedAt - lockedAt);
  }

  /** Notes a renewal of the lock that was sent at `sentAt`, by performance.now. */
  lockRenewed(sentAt: number): void {
    this.#lockedUntil = sentAt + this.#lockMs;
  }

  /**
   * Returns whether this run still holds its lock. After a freeze, a process may continue a task that another worker already has; its own
   * clock tells that the lock expired before Redis does.
   */
  checkLock(): boolean {
    const held = performance.now() <= this.#lockedUntil;
    if (!held) this.abort(new LockLost()); // ignored once the handler has ended, when its last output is sent
    return held && this.#cause?.kind !== 'lock-lost';
  }

  /** Returns whether the lock was held at a time, by performance.now, and has expired since by this process's clock. */
  expiredSince(then: number): boolean {
    return then < this.#lockedUntil && performance.now() > this.#lockedUntil;
  }

  /** Whether this run has created the task's event stream. */
  get hasStream(): boolean {
    return this.output?.used ?? false;
  }

  /** Whether the handler has ended or was abandoned: the outcome is decided. */
  get ended(): boolean {
    return this.#ended;
  }

  get cause(): AbortCause | null {
    return this.#cause;
  }

  get stop(): RunStop | null {
    return this.#stop;
  }

  /** When this run first received a stop, in ms since the epoch. */
  get stopHeardAt(): number | null {
    return this.#stopHeardAt;
  }

  /** Sets the stop after the end of the handler, when `requestStop` is ignored. */
  set stop(stop: RunStop) {
    this.#stop = stop;
  }

  /** Created on first use: most tasks of a busy fleet never need it. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#cause && !this.#controller.signal.aborted) this.#controller.abort(this.#cause);
    return this.#controller.signal;
  }

  /**
   * Calls the listener at each abort, even one that does not become the cause, because it may shorten the handler's grace; at once if the
   * run is already aborted. Supports one listener.
   */
  onAbort(listener: (cause: AbortCause) => void): void {
    this.#onAbort = listener;
    if (this.#cause) listener(this.#cause);
  }

  /** @param isRecorded whether the stop is stored with the job; false for an announcement. Default true. */
  requestStop(stop: RunStop, isRecorded = true): void {
    if (isRecorded) {
      this.#stopRecorded = true;
      this.#onStopRecorded?.();
    }
    if (this.#ended) return;
    this.#stop ??= stop;
    this.#stopHeardAt ??= this.#clock.now();
    const { reason, by } = this.#stop;
    this.abort(withoutCalls(() => new StopRequested(reason, by)));
  }

  /** Resolves once the stop is known to be recorded, also after the end of the handler. Supports one caller. */
  stopRecorded(): Promise<void> {
    return this.#stopRecorded ? Promise.resolve() : new Promise((resolve) => (this.#onStopRecorded = resolve));
  }

  abort(cause: AbortCause): void {
    if (this.#ended) return;
    if (replaces(cause, this.#cause)) {
      this.#cause = cause;
      this.span?.aborted(cause.kind);
      this.#controller?.abort(cause);
    }
    this.#onAbort?.(cause);
  }

  /** Ends the run: its pending output, cost and log lines are sent, and later ones are ignored, as are aborts. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.output?.close();
    this.spending?.close();
    this.log?.close();
  }
}

function replaces(cause: AbortCause, current: AbortCause | null): boolean {
  if (current === null) return true;
  if (current.kind === 'lock-lost' || current.kind === cause.kind) return false;
  return cause.kind === 'stop' || cause.kind === 'lock-lost';
}

/** The runs of this process, and the abandoned handlers that have not returned yet. */
export class ActiveRuns {
  /** By queue, then by id: plain BullMQ queues number their jobs, so ids repeat across queues. */
  readonly #runs = new Map<string, Map<string, Run>>();
  readonly #zombies = new Set<Run>();
  #size = 0;
  /** Callers that wait until no task is running. */
  readonly #idle = new Set<() => void>();

  /** Adds a run. A stalled task may come back to the same worker: the run that lost its lock is aborted. */
  track(run: Run): void {
    let ofQueue = this.#runs.get(run.queue);
    if (!ofQueue) this.#runs.set(run.queue, (ofQueue = new Map()));
    const loser = ofQueue.get(run.id);
    if (!loser) this.#size += 1;
    ofQueue.set(run.id, run);
    loser?.abort(new LockLost());
  }

  untrack(run: Run): void {
    const ofQueue = this.#runs.get(run.queue);
    if (ofQueue?.get(run.id) !== run) return;
    ofQueue.delete(run.id);
    this.#size -= 1;
    if (this.#size > 0) return;
    for (const resolve of this.#idle) resolve();
    this.#idle.clear();
  }

  get(queue: string, id: string): Run | undefined {
    return this.#runs.get(queue)?.get(id);
  }

  /** Returns the runs with this id, on any queue. */
  find(id: string): Run[] {
    const found: Run[] = [];
    for (const ofQueue of this.#runs.values()) {
      const run = ofQueue.get(id);
      if (run) found.push(run);
    }
    return found;
  }

  all(): Run[] {
    return [...this.#runs.values()].flatMap((ofQueue) => [...ofQueue.values()]);
  }

  get size(): number {
    return this.#size;
  }

  /** The number of abandoned handlers that have not returned. They hold no slot and no lock. */
  get zombies(): number {
    return this.#zombies.size;
  }

  /** Counts an abandoned handler until it returns. */
  addZombie(run: Run, handler: Promise<unknown>, onReturn: () => void): void {
    this.#zombies.add(run);
    const end = (): void => {
      this.#zombies.delete(run);
      onReturn();
    };
    handler.then(end, end);
  }

  /** Resolves when no task is running. */
  whenIdle(): Promise<void> {
    return this.#size === 0 ? Promise.resolve() : new Promise((resolve) => this.#idle.add(resolve));
  }

  /** Resolves with true when no task is running, or with false after `timeoutMs`. */
  idle(timeoutMs: number): Promise<boolean> {
    return within(
      timeoutMs,
      this.whenIdle().then(() => true),
      () => false,
    );
  }
}
