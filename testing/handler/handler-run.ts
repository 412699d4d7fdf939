import type { AttemptOutcome } from '../../shared/attempt/attempt.js';
import type { LogLine } from '../../shared/log/task-log.js';
import type { AbortCause } from '../../shared/stop/cause.js';
import type { TaskState } from '../../shared/task/state.js';
import type { EnqueuedChild } from './children.js';

/** The abort of a handler's signal, and what the handler made of it. */
export interface HandlerAbort {
  readonly cause: AbortCause;
  /**
   * Whether the handler heeded its signal: it looked at `context.signal`, or threw the cause that a call of its context rejected with, and
   * ended within `graceMs`.
   */
  readonly heeded: boolean;
  /** Whether the handler still ran after `graceMs`, and was given up. */
  readonly abandoned: boolean;
  /** From the abort to the end of the handler, or until it was given up. */
  readonly endedAfterMs: number;
}

/** One attempt of a handler, as a worker would record it. */
export interface HandlerRun<Output = unknown, Chunk = unknown> {
  readonly id: string;
  readonly attempt: number;
  readonly outcome: AttemptOutcome;
  /** The state of the task after the attempt. */
  readonly state: Extract<TaskState, 'completed' | 'failed' | 'cancelled' | 'retrying' | 'queued'>;
  /** The result as `producer.result` returns it; null unless completed. */
  readonly result: Output | null;
  /** Why the attempt failed or timed out; null otherwise. */
  readonly error: Error | null;
  /** What the handler threw, also after an abort, when the worker ignores it; undefined if it threw nothing, or ran in a thread. */
  readonly thrown: unknown;
  /** Chunks in order, also those emitted after an abort. Long texts are split as by a worker. */
  readonly chunks: readonly Chunk[];
  /** Every progress value in order; a worker skips some of them. */
  readonly progress: readonly (number | Readonly<Record<string, unknown>>)[];
  /** The lines of `context.log`, of every level. */
  readonly logs: readonly LogLine[];
  readonly children: readonly EnqueuedChild[];
  /** The costs given to `context.spend`. */
  readonly costs: readonly number[];
  /** Whether the task runs again. */
  readonly willRetry: boolean;
  /** The wait until then, in ms; null if the task does not run again. A backoff has a random part. */
  readonly retryInMs: number | null;
  /** Null if the signal was not aborted. */
  readonly abort: HandlerAbort | null;
  /** `abort.heeded`; null if the signal was not aborted. */
  readonly heededSignal: boolean | null;
}
