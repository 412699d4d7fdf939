import { type TerminalState, isTerminal } from '../task/state.js';
import type { TaskView } from '../task/view.js';
import type { StopWay } from './record.js';

/**
 * The answer to a stop.
 * - `cancelled`: it is over; the task was stopped. Never said before that is true.
 * - `requested`: the stop is recorded and holds, but was not settled within the wait.
 * - `finished`: the task had ended by itself; `endedAs` says how.
 * - `not_found`: no such task.
 */
export interface StopReceipt {
  readonly id: string;
  readonly outcome: 'cancelled' | 'requested' | 'finished' | 'not_found';
  readonly endedAs: TerminalState | null;
  readonly via: StopWay | null;
  readonly reason: string | null;
  readonly by: string | null;
  readonly requestedAt: Date | null;
  readonly settledAt: Date | null;
  /** From the request to the settled state, in ms. Null unless cancelled. */
  readonly latencyMs: number | null;
}

/** A receipt as JSON for the CLI and HTTP: snake_case, ISO 8601, absent values null. */
export function receiptToJson(receipt: StopReceipt): Record<string, unknown> {
  return {
    id: receipt.id,
    outcome: receipt.outcome,
    ended_as: receipt.endedAs,
    via: receipt.via,
    reason: receipt.reason,
    by: receipt.by,
    requested_at: receipt.requestedAt?.toISOString() ?? null,
    settled_at: receipt.settledAt?.toISOString() ?? null,
    latency_ms: receipt.latencyMs,
  };
}

/** The receipt for a task as it is now; `task` is null if there is none. */
export function receiptOf(id: string, task: TaskView | null): StopReceipt {
  const stop = task?.stop ?? null;
  const ended = task && isTerminal(task.state) ? task.state : null;
  const cancelled = ended === 'cancelled';
  const settledAt = cancelled ? (task?.finishedAt ?? null) : null;
  return {
    id,
    outcome: task === null ? 'not_found' : cancelled ? 'cancelled' : ended ? 'finished' : 'requested',
    endedAs: ended,
    via: cancelled ? (stop?.via ?? null) : null,
    reason: stop?.reason ?? null,
    by: stop?.by ?? null,
    requestedAt: stop?.at ?? null,
    settledAt,
    latencyMs: settledAt && stop ? Math.max(0, settledAt.getTime() - stop.at.getTime()) : null,
  };
}
