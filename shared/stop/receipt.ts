import { FleetError } from '../errors.js';
import { MAX_REASON_LENGTH, shortened } from '../limits.js';
import { isTime } from '../records/hash-reader.js';
import type { RecordedStop } from '../scripts/define-scripts.js';
import { type TaskState, type TerminalState, isTerminal } from '../task/state.js';
import { type Carrier, isCarrier } from '../tracing/carrier.js';

/** How a stop was settled: never ran, handler obeyed the signal, thread ended, handler abandoned, or dead owner fenced off. */
export const STOP_WAYS = ['queue', 'signal', 'kill', 'abandon', 'fence'] as const;
export type StopWay = (typeof STOP_WAYS)[number];

/** The record of a stop. */
export interface StopRecord {
  readonly reason: string | null;
  readonly by: string | null;
  /** When it was recorded; null if missing or implausible. */
  readonly at: Date | null;
  /** Null until the stop is settled. */
  readonly via: StopWay | null;
  /** The context of the request's span; absent if it was not traced. */
  readonly carrier?: Carrier | undefined;
}

/** Formats the job's field `stop`. */
export function formatStop(stop: { reason: string | null; by: string | null; at: number; carrier?: Carrier | undefined }): string {
  return JSON.stringify({ reason: stop.reason, by: stop.by, at: stop.at, tm: stop.carrier });
}

/** Parses the job's fields `stop` and `stop_via`. A stop whose details are unreadable still counts. */
export function parseStop(stop: string | null | undefined, via: string | null | undefined): StopRecord | null {
  if (!stop) return null;
  let body: Record<string, unknown> = {};
  try {
    body = (JSON.parse(stop) ?? {}) as Record<string, unknown>;
  } catch {
    // The field was written by hand: requester and reason are unknown, but the stop stands.
  }
  const at = stopTime(body['at']);
  const record = {
    reason: typeof body['reason'] === 'string' ? shortened(body['reason'], MAX_REASON_LENGTH) : null,
    by: typeof body['by'] === 'string' ? shortened(body['by'], MAX_REASON_LENGTH) : null,
    at: at === null ? null : new Date(at),
    via: STOP_WAYS.find((way) => way === via) ?? null,
  };
  return isCarrier(body['tm']) ? { ...record, carrier: body['tm'] } : record;
}

/** Largest plausible difference between clocks, in ms. */
const AHEAD_MS = 24 * 3_600_000;

/** Returns the time of a stop's record, in ms since the epoch; null if it is implausible. */
export function stopTime(at: unknown): number | null {
  return typeof at === 'number' && at >= 1 && at <= Date.now() + AHEAD_MS ? Math.floor(at) : null;
}

/** The first answer to a stop. */
export type StopAnswer =
  /** The task has ended: it was waiting, its owner was dead, or it had been stopped before. */
  | { readonly kind: 'cancelled'; readonly stop: StopRecord; readonly settledAt: Date; readonly queue: string }
  /** The stop is recorded; the task's owner will settle it. */
  | { readonly kind: 'recorded'; readonly stop: StopRecord; readonly queue: string }
  | { readonly kind: 'ended'; readonly as: Exclude<TerminalState, 'cancelled'> }
  /** Another program's task, and that program was told; `goneAt`: when its entry was first missing from the registry. */
  | { readonly kind: 'foreign'; readonly goneAt: Date | null }
  | { readonly kind: 'not_found' };

/** Returns the queues that the answers were written to, and null for the registry, which holds pending stops. */
export function queuesOf(answers: ReadonlyMap<string, StopAnswer>): (string | null)[] {
  return [null, ...new Set([...answers.values()].flatMap((answer) => ('queue' in answer ? [answer.queue] : [])))];
}

/** Turns the script's result into an answer; for jobs that it took, the answer before they are settled. */
export function answerOf(queue: string, [what, stop, , finishedOn, last]: RecordedStop): StopAnswer {
  switch (what) {
    case 'missing':
    case 'unreadable':
    case 'ignored':
      return { kind: 'not_found' };
    case 'completed':
      return { kind: 'ended', as: last ? 'skipped' : 'completed' };
    case 'failed': {
      const record = parseStop(stop, last);
      if (record === null) return { kind: 'ended', as: 'failed' };
      // Without `via`, a plain BullMQ worker applied the deferred failure, so the task never ran.
      return {
        kind: 'cancelled',
        stop: { ...record, via: record.via ?? 'queue' },
        settledAt: new Date(isTime(Number(finishedOn)) ? Number(finishedOn) : 0),
        queue,
      };
    }
    case 'ended':
      return {
        kind: 'cancelled',
        stop: parseStop(stop, 'queue') as StopRecord,
        settledAt: new Date(Number(finishedOn)),
        queue,
      };
    case 'active':
    case 'left':
    case 'taken':
    case 'fenced':
      return { kind: 'recorded', stop: parseStop(stop, null) as StopRecord, queue };
    default:
      throw new Error(`recordStop answered ${String(what satisfies never)}`);
  }
}

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

/** Makes a receipt from the known facts; the rest is null. In one literal: there may be thousands, and a spread costs as much as the rest. */
export function createReceipt({ id, outcome, endedAs = null, stop = null, settledAt = null }: Facts): StopReceipt {
  const at = stop?.at ?? null;
  return {
    id,
    outcome,
    endedAs,
    via: outcome === 'cancelled' ? (stop?.via ?? null) : null,
    reason: stop?.reason ?? null,
    by: stop?.by ?? null,
    requestedAt: at,
    settledAt,
    latencyMs: settledAt && at ? Math.max(0, settledAt.getTime() - at.getTime()) : null,
  };
}

/** Makes the receipt for a task's current state; `task` is null if it does not exist. */
export function receiptOf(
  id: string,
  task: { readonly state: TaskState; readonly stop: StopRecord | null; readonly finishedAt: Date | null } | null,
): StopReceipt {
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

/** The error of a wait for a task that was stopped. `code` is `TASK_CANCELLED`. */
export class TaskCancelled extends FleetError {
  readonly receipt: StopReceipt;

  constructor(receipt: StopReceipt) {
    const by = receipt.by === null ? '' : ` by ${receipt.by}`;
    const reason = receipt.reason === null ? '' : `: ${receipt.reason}`;
    super('TASK_CANCELLED', `Task ${receipt.id} was stopped${by}${reason}`, { details: { id: receipt.id, via: receipt.via } });
    this.name = 'TaskCancelled';
    this.receipt = receipt;
  }
}
