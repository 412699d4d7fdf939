import type { Attempt, Failure, StateChange } from '../../parts/api-types.js';
import { waitText } from '../../parts/waiting-text.js';
import { receiptText, span } from '../../parts/wording.js';

type Outcome = NonNullable<Attempt['outcome']>;

const OUTCOMES: Readonly<Record<Outcome, string>> = {
  completed: 'completed',
  failed: 'failed',
  cancelled: 'cancelled',
  timed_out: 'timed out',
  requeued: 'requeued',
  worker_lost: 'worker lost',
  lock_lost: 'lock lost',
};

const EXPLANATIONS: Partial<Readonly<Record<Outcome, string>>> = {
  requeued: 'The worker shut down and handed the task back. This does not count as an attempt.',
  worker_lost: 'The worker died or froze, so its lock expired. This attempt uses up no retry.',
  lock_lost: 'The worker lost the lock, for example while it was frozen or cut off from Redis. Its result was dropped.',
};

/** Returns the outcome in words; `running` without one. */
export function outcomeOf({ outcome }: Attempt): string {
  return outcome === null ? 'running' : OUTCOMES[outcome];
}

/** Explains an outcome that is not the handler's own; null for the others. */
export function explanationOf({ outcome }: Attempt): string | null {
  return outcome === null ? null : (EXPLANATIONS[outcome] ?? null);
}

/** Returns how long the attempt ran, so far if it still runs; null if unknown. */
export function runTimeOf({ started_at: startedAt, ended_at: endedAt }: Attempt, now: number): string | null {
  if (startedAt === null) return null;
  return span(Math.max(0, (endedAt === null ? now : Date.parse(endedAt)) - Date.parse(startedAt)));
}

/** Returns when the attempt is or was retried: `after 8 s`. Null if it is not. */
export function retryDelayOf({ ended_at: endedAt, retry_at: retryAt }: Attempt): string | null {
  if (endedAt === null || retryAt === null) return null;
  const ms = Date.parse(retryAt) - Date.parse(endedAt);
  return ms < 1 ? 'at once' : `after ${span(ms)}`;
}

/** Returns the worker as `host, pid 123`, or its id if these are unknown. */
export function workerOf({ worker }: Attempt): string {
  if (worker === null) return 'unknown worker';
  if (worker.host === null) return worker.id;
  return worker.pid === null ? worker.host : `${worker.host}, pid ${worker.pid}`;
}

/** Returns the failure in a line: `TypeError [E_CODE]: message`. */
export function failureTitle({ name, code, message }: Pick<Failure, 'name' | 'code' | 'message'>): string {
  const title = code === null || code === name ? name : `${name} [${code}]`;
  return message === '' ? title : `${title}: ${message}`;
}

/** States that a task reaches at the end of an attempt. */
const ENDS: readonly StateChange['state'][] = ['retrying', 'completed', 'failed', 'cancelled'];

/** Describes a state change in a line. */
export function changeText(change: StateChange): string {
  const { state, attempt, receipt, error, next_attempt_at: nextAt, waiting_for: waiting, skipped_for: other } = change;
  const number = attempt ?? 0;
  const which = number === 0 ? '' : state === 'running' ? `, attempt ${number}` : ENDS.includes(state) ? ` after attempt ${number}` : '';
  const why = error ? `: ${failureTitle(error)}` : '';
  const next = nextAt ? `; next attempt at ${new Date(nextAt).toLocaleTimeString()}` : '';
  const overlapped = other ? `: overlapped ${other}` : '';
  const line = waiting ? `, ${waitText(waiting)}` : '';
  return receipt ? `${state}: ${receiptText(receipt)}` : `${state}${which}${why}${next}${line}${overlapped}`;
}
