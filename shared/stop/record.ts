import { MAX_REASON_LENGTH, shortened } from '../limits.js';

/** How a stop reached its task: it never ran · the handler heeded the signal · its thread was ended · it was given up · its dead owner was fenced off. */
export const STOP_WAYS = ['queue', 'signal', 'kill', 'abandon', 'fence'] as const;
export type StopWay = (typeof STOP_WAYS)[number];

/** A stop as it is kept with the task. */
export interface StopRecord {
  readonly reason: string | null;
  readonly by: string | null;
  /** When it was recorded; null if the record does not say, or not in a way that can be true. */
  readonly at: Date | null;
  /** Null until the stop is settled. */
  readonly via: StopWay | null;
}

/** The job's field `stop`. */
export function formatStop(stop: { reason: string | null; by: string | null; at: number }): string {
  return JSON.stringify({ reason: stop.reason, by: stop.by, at: stop.at });
}

/** Reads the job's fields `stop` and `stop_via`. Tolerates what it does not understand: a stop is a stop. */
export function parseStop(stop: string | null | undefined, via: string | null | undefined): StopRecord | null {
  if (!stop) return null;
  let body: Record<string, unknown> = {};
  try {
    body = (JSON.parse(stop) ?? {}) as Record<string, unknown>;
  } catch {
    // Somebody wrote the field by hand: who and why are unknown, but the stop stands.
  }
  const at = stopTime(body['at']);
  return {
    reason: typeof body['reason'] === 'string' ? shortened(body['reason'], MAX_REASON_LENGTH) : null,
    by: typeof body['by'] === 'string' ? shortened(body['by'], MAX_REASON_LENGTH) : null,
    at: at === null ? null : new Date(at),
    via: STOP_WAYS.find((way) => way === via) ?? null,
  };
}

/** Clocks differ; not by more than this, in ms. */
const AHEAD_MS = 24 * 3_600_000;

/** When somebody says that a stop was recorded, in ms since the epoch; null for what cannot be such a time. */
export function stopTime(at: unknown): number | null {
  return typeof at === 'number' && at >= 1 && at <= Date.now() + AHEAD_MS ? Math.floor(at) : null;
}
