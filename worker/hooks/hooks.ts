import type { AttemptOutcome } from '../../shared/attempt/attempt.js';
import type { TerminalState } from '../../shared/task/state.js';

/** The task that a hook is called about. */
export interface HookTask {
  readonly id: string;
  readonly name: string;
  /** The queue, or one of its shards. */
  readonly queue: string;
  /** Null for none. */
  readonly item: string | null;
}

/** An attempt whose handler, or the first middleware around it, is about to be called. */
export interface AttemptStart {
  readonly task: HookTask;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** Most attempts of this task. */
  readonly maxAttempts: number;
  /** Validated against the definition's schema. */
  readonly input: unknown;
  readonly worker: string;
  readonly startedAt: Date;
}

/** An attempt whose handler has returned, thrown, or been abandoned. */
export interface AttemptEnd extends AttemptStart {
  readonly outcome: AttemptOutcome;
  /** What the handler or a middleware threw, or why its result was refused, for the outcomes `failed` and `timed_out`; else null. */
  readonly error: Error | null;
  readonly endedAt: Date;
  /** From the call of the handler to its end, in ms. */
  readonly durationMs: number;
}

/** A task in a terminal state. */
export interface TaskEnd {
  readonly task: HookTask;
  readonly state: TerminalState;
  /** Attempts as in the task's view, the last one included; null for a stopped task that this worker settled without running it. */
  readonly attempts: number | null;
  /** The error of the last attempt, for the state `failed`; else null. */
  readonly error: Error | null;
  readonly finishedAt: Date;
  /** From the enqueue, or the due time of a scheduled task, to the end, in ms; null where `attempts` is. */
  readonly totalMs: number | null;
}

/**
 * Functions that observe the tasks of a worker, for error tracking, tracing and metrics. The worker does not wait for hooks, except briefly
 * while it shuts down. An error that a hook throws, or rejects with, is logged and changes nothing. The fleet's own maintenance tasks have no
 * hooks.
 */
export interface WorkerHooks {
  /** An attempt starts. Not called for a task that fails before: with a bad input, or after its deadline. */
  readonly onAttemptStart?: ((start: AttemptStart) => unknown) | undefined;
  /** An attempt has ended: called once for each `onAttemptStart`, before the outcome is written to Redis. */
  readonly onAttemptEnd?: ((end: AttemptEnd) => unknown) | undefined;
  /** A task has failed for good: no attempt is left, or its error is not retried. Called before `onTaskFinished`. */
  readonly onTaskFailed?: ((end: TaskEnd & { readonly error: Error }) => unknown) | undefined;
  /** A task has reached a terminal state, and this worker has written it: called once in the fleet, by the worker that settled the task. */
  readonly onTaskFinished?: ((end: TaskEnd) => unknown) | undefined;
}

export const HOOK_NAMES = ['onAttemptStart', 'onAttemptEnd', 'onTaskFailed', 'onTaskFinished'] as const;
export type HookName = (typeof HOOK_NAMES)[number];
