import { AbortCause, StopRequested } from '../shared/stop/cause.js';
import type { StopWay } from '../shared/stop/record.js';
import type { TaskOutput } from './task-output.js';

export interface RunStop {
  readonly reason: string | null;
  readonly by: string | null;
  /** When it was recorded, in ms; null if it is only heard of, and the run's end must record it. */
  readonly recordedAt: number | null;
}

/**
 * One attempt at a task in this process, from pick-up until it is settled. Holds the abort and its cause.
 *
 * The first cause aborts the signal. A stop that comes after another cause replaces it, for a stopped task must not come
 * back; nothing replaces a lost lock, for then the task is no longer ours to settle.
 */
export class Run {
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  readonly item: string;
  readonly startedAt = Date.now();
  /** How a stop reached this run, if one did. */
  via: StopWay = 'signal';
  /** Made when the handler first says something. */
  output: TaskOutput | null = null;
  #cause: AbortCause | null = null;
  #stop: RunStop | null = null;
  #controller: AbortController | null = null;
  #onAbort: ((cause: AbortCause) => void) | null = null;

  constructor(id: string, queue: string, name: string, item: string) {
    this.id = id;
    this.queue = queue;
    this.name = name;
    this.item = item;
  }

  /** Whether the task has a stream of events by now. */
  get spoke(): boolean {
    return this.output?.used ?? false;
  }

  get cause(): AbortCause | null {
    return this.#cause;
  }

  get stop(): RunStop | null {
    return this.#stop;
  }

  /** Made when a handler first asks for it: most tasks of a busy fleet never do. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#cause && !this.#controller.signal.aborted) this.#controller.abort(this.#cause);
    return this.#controller.signal;
  }

  /** Calls the listener when the run is aborted, at once if it is already. One listener. */
  onAbort(listener: (cause: AbortCause) => void): void {
    this.#onAbort = listener;
    if (this.#cause) listener(this.#cause);
  }

  requestStop(stop: RunStop): void {
    if (this.#stop === null || (this.#stop.recordedAt === null && stop.recordedAt !== null)) this.#stop = stop;
    this.abort(new StopRequested(this.#stop.reason, this.#stop.by));
  }

  abort(cause: AbortCause): void {
    const current = this.#cause?.kind;
    if (current === 'lock-lost' || current === cause.kind) return;
    if (current !== undefined && cause.kind !== 'stop' && cause.kind !== 'lock-lost') return;
    this.#cause = cause;
    this.#controller?.abort(cause);
    this.#onAbort?.(cause);
  }
}
