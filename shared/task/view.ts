import { type Attempt, attemptToJson } from '../attempt/attempt.js';
import { errorOf, withoutStacks } from '../attempt/failure.js';
import { FleetError } from '../errors.js';
import type { StopRecord } from '../stop/receipt.js';
import type { TaskState } from './state.js';
import { type TaskLimit, type TaskWaiting, limitToJson, waitingToJson } from './wait/waiting.js';

/** The public view of a task, without its input. */
export interface TaskView<Output = unknown> {
  readonly id: string;
  /** Null for a foreign task, which another program registered and runs. */
  readonly name: string | null;
  /** The task's BullMQ queue, possibly a shard. */
  readonly queue: string | null;
  readonly item: string | null;
  /** Labels for filters; empty for none. */
  readonly tags: readonly string[];
  readonly state: TaskState;
  /** The limit or the paused queue that a task waits for; null if it waits for neither. */
  readonly waitingFor: TaskWaiting | null;
  /** The current or last attempt; 0 before the first. Attempts of lost workers count. */
  readonly attempt: number;
  /** Total attempts allowed, including those of lost workers, which use up no retry; null for a foreign task. */
  readonly maxAttempts: number | null;
  /** The last 20 attempts, over all retries, oldest first; the last may be running. Null in a list, and for a foreign task. */
  readonly attempts: readonly Attempt[] | null;
  /** When the task is due, while it is delayed: before its first attempt, or before a retry. */
  readonly nextAttemptAt: Date | null;
  /** Null in a list if it is longer than 4 KiB. */
  readonly progress: unknown;
  /** The handler's result; null unless completed, and in every list. */
  readonly result: Output | null;
  /** Why the task or its last attempt failed, was cancelled, could not run, or is unreadable. In a list, the first 1,024 characters. */
  readonly error: string | null;
  /** What is unreadable in the record, and null here; null if nothing is. */
  readonly problem: string | null;
  readonly stop: StopRecord | null;
  /** The live task of the same schedule that a skipped task overlapped; null unless skipped. */
  readonly skippedFor: string | null;
  /** The key of the task's deduplication, null for none. A plain BullMQ client's deduplication id is shown whole. */
  readonly dedupeKey: string | null;
  /** 1 (first) to 2,097,151 (last); 0 comes before all of them. */
  readonly priority: number;
  /** No attempt starts after this time; null for none. */
  readonly deadline: Date | null;
  /** The limits that apply to the task. Null in a list, and for a foreign task. */
  readonly limits: readonly TaskLimit[] | null;
  readonly enqueuedAt: Date | null;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  /** The last worker. */
  readonly worker: string | null;
}

/** Returns the task without the stack traces of its attempts, for callers who may see a task but not the code that runs it. */
export function hideStacks(task: TaskView): TaskView {
  if (task.attempts === null) return task;
  return { ...task, attempts: task.attempts.map((attempt) => ({ ...attempt, error: attempt.error && withoutStacks(attempt.error) })) };
}

/** Formats a task for the CLI and HTTP: snake_case, ISO 8601, absent values null. */
export function taskToJson(task: TaskView): Record<string, unknown> {
  const { stop } = task;
  return {
    id: task.id,
    name: task.name,
    queue: task.queue,
    item: task.item,
    tags: task.tags,
    state: task.state,
    waiting_for: task.waitingFor && waitingToJson(task.waitingFor),
    attempt: task.attempt,
    max_attempts: task.maxAttempts,
    attempts: task.attempts?.map(attemptToJson) ?? null,
    next_attempt_at: task.nextAttemptAt?.toISOString() ?? null,
    progress: task.progress,
    result: task.result,
    error: task.error,
    problem: task.problem,
    stop: stop && { reason: stop.reason, by: stop.by, at: stop.at?.toISOString() ?? null, via: stop.via },
    skipped_for: task.skippedFor,
    dedupe_key: task.dedupeKey,
    priority: task.priority,
    deadline: task.deadline?.toISOString() ?? null,
    limits: task.limits?.map(limitToJson) ?? null,
    worker: task.worker,
    enqueued_at: task.enqueuedAt?.toISOString() ?? null,
    started_at: task.startedAt?.toISOString() ?? null,
    finished_at: task.finishedAt?.toISOString() ?? null,
  };
}

/** The error of a wait for the result of a failed task; its cause is the error of the last attempt that failed. */
export function taskFailed({ id, attempt, attempts, error }: Pick<TaskView, 'id' | 'attempt' | 'attempts' | 'error'>): FleetError {
  const failure = attempts?.findLast((one) => one.error !== null)?.error ?? null;
  return new FleetError('TASK_FAILED', `Task ${id} failed: ${error ?? 'no reason recorded'}`, {
    ...(failure && { cause: errorOf(failure) }),
    details: { id, attempt, attempts: attempts?.length ?? attempt },
  });
}

/** The error of a wait for the result of a skipped task. */
export function taskSkipped({ id, skippedFor }: Pick<TaskView, 'id' | 'skippedFor'>): FleetError {
  const other = skippedFor === null ? 'another task of its schedule' : `task ${skippedFor} of the same schedule`;
  return new FleetError('TASK_SKIPPED', `Task ${id} was skipped: it overlapped ${other}.`, { details: { id, skippedFor } });
}
