import { type Failure, withoutStacks } from '../attempt/failure.js';
import { type StopReceipt, receiptToJson } from '../stop/receipt.js';
import type { TaskState } from '../task/state.js';
import { type TaskWaiting, waitingToJson } from '../task/wait/waiting.js';

/** An event of a task. `id` is its position in the task's stream, `at` its time by Redis' clock. */
export type TaskEvent<Chunk = unknown> =
  | TaskStateEvent
  | { readonly type: 'progress'; readonly id: string; readonly at: Date; readonly progress: unknown }
  | { readonly type: 'chunk'; readonly id: string; readonly at: Date; readonly chunk: Chunk };

/** A change of state. */
export interface TaskStateEvent {
  readonly type: 'state';
  /** Null for a change that is in the task's record and not in its stream. */
  readonly id: string | null;
  readonly at: Date;
  readonly state: TaskState;
  /** For `running` the attempt that began, from 1; for `retrying` the one that ended; else the last one. Null before the first, or if unknown. */
  readonly attempt: number | null;
  /** Why the attempt failed; only for `retrying` and `failed`, if known. */
  readonly error?: Failure;
  /** When the next attempt is due; only for `retrying`, if known. */
  readonly nextAttemptAt?: Date;
  /** The limit or the paused queue that the task waits for, if any. The position in line is that of the time of reading. */
  readonly waitingFor?: TaskWaiting;
  /** How the stop was settled; only for `cancelled`, which is the last event. */
  readonly receipt?: StopReceipt;
  /** The task that this one overlapped; only for `skipped`, which is the last event. */
  readonly skippedFor?: string;
}

/** Formats an event for the CLI and HTTP: snake_case, ISO 8601; of a state, absent values are null. */
export function eventToJson(event: TaskEvent, { stacks = true } = {}): Record<string, unknown> {
  const { type, id, at } = event;
  const common = { type, id, at: at.toISOString() };
  switch (event.type) {
    case 'chunk':
      return { ...common, chunk: event.chunk };
    case 'progress':
      return { ...common, progress: event.progress };
    case 'state': {
      const { state, attempt, error = null, nextAttemptAt, waitingFor, receipt, skippedFor = null } = event;
      return {
        ...common,
        ...{ state, attempt, error: error && !stacks ? withoutStacks(error) : error },
        next_attempt_at: nextAttemptAt?.toISOString() ?? null,
        waiting_for: waitingFor ? waitingToJson(waitingFor) : null,
        receipt: receipt ? receiptToJson(receipt) : null,
        skipped_for: skippedFor,
      };
    }
  }
}

/** Returns the time at which an entry was added to a stream. */
export function timeOfEntry(id: string): Date {
  return new Date(Number.parseInt(id, 10) || 0);
}
