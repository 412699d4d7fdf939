import { type TerminalState, isTerminal } from '../task/state.js';
import type { TaskView } from '../task/view.js';
import type { StopAnswer } from './answer.js';
import type { StopRecord, StopWay } from './record.js';

/**
 * The answer to a stop.
 * - `cancelled`: the task was stopped and has ended.
 * - `requested`: the stop is recorded, but was not settled within the wait.
 * - `finished`: the task had already ended; `endedAs` says how.
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

/** Formats a receipt for the CLI and HTTP: snake_case, ISO 8601, absent values null. */
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

type Facts = Pick<StopReceipt, 'id' | 'outcome'> & {
  endedAs?: TerminalState | null;
  stop?: Partial<StopRecord> | null;
  settledAt?: Date | null;
};

/** Makes a receipt from the known facts; the rest is null. */
export function createReceipt({ id, outcome, endedAs = null, stop = null, settledAt = null }: Facts): StopReceipt {
  const at = stop?.at ?? null;
  return {
    ...{ id, outcome, endedAs, settledAt },
    via: outcome === 'cancelled' ? (stop?.via ?? null) : null,
    reason: stop?.reason ?? null,
    by: stop?.by ?? null,
    requestedAt: at,
    latencyMs: settledAt && at ? Math.max(0, settledAt.getTime() - at.getTime()) : null,
  };
}

/** Makes the receipt for a task's current state; `task` is null if it does not exist. */
export function receiptOf(id: string, task: TaskView | null): StopReceipt {
  if (task === null) return createReceipt({ id, outcome: 'not_found' });
  const { state, stop } = task;
  if (!isTerminal(state)) return createReceipt({ id, outcome: 'requested', stop });
  if (state === 'cancelled') return createReceipt({ id, outcome: 'cancelled', endedAs: state, stop, settledAt: task.finishedAt });
  return createReceipt({ id, outcome: 'finished', endedAs: state, stop });
}

/** Makes the receipt from the first answer to a stop, `asked`. */
export function receiptOfAnswer(id: string, answer: StopAnswer, asked: Omit<StopRecord, 'via'>): StopReceipt {
  switch (answer.kind) {
    case 'cancelled':
      return createReceipt({ id, outcome: 'cancelled', endedAs: 'cancelled', stop: answer.stop, settledAt: answer.settledAt });
    case 'recorded':
      return createReceipt({ id, outcome: 'requested', stop: answer.stop });
    case 'ended':
      return createReceipt({ id, outcome: 'finished', endedAs: answer.as });
    case 'foreign':
      if (answer.goneAt === null) return createReceipt({ id, outcome: 'requested', stop: asked });
      return createReceipt({ id, outcome: 'cancelled', endedAs: 'cancelled', stop: { ...asked, via: 'signal' }, settledAt: answer.goneAt });
    case 'not_found':
      return createReceipt({ id, outcome: 'not_found' });
  }
}
