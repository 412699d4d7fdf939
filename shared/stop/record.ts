import { MAX_REASON_LENGTH, shortened } from '../limits.js';

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
}

/** Formats the job's field `stop`. */
export function formatStop(stop: { reason: string | null; by: string | null; at: number }): string {
  return JSON.stringify({ reason: stop.reason, by: stop.by, at: stop.at });
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
  return {
    reason: typeof body['reason'] === 'string' ? shortened(body['reason'], MAX_REASON_LENGTH) : null,
    by: typeof body['by'] === 'string' ? shortened(body['by'], MAX_REASON_LENGTH) : null,
    at: at === null ? null : new Date(at),
    via: STOP_WAYS.find((way) => way === via) ?? null,
  };
}

/** Largest plausible difference between clocks, in ms. */
const AHEAD_MS = 24 * 3_600_000;

/** Returns the time of a stop's record, in ms since the epoch; null if it is implausible. */
export function stopTime(at: unknown): number | null {
  return typeof at === 'number' && at >= 1 && at <= Date.now() + AHEAD_MS ? Math.floor(at) : null;
}
