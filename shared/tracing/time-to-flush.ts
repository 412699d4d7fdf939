import type { Settings } from '../settings/settings.js';

/** Bounds of the time for exporting the last spans of a process, in ms: an endpoint may not answer. */
const LEAST_MS = 200;
const MOST_MS = 5_000;

/** Returns the time for exporting the last spans, in ms, of a process whose shutdown has taken `passedMs` so far. */
export function timeToFlush({ shutdownTimeoutMs }: Pick<Settings, 'shutdownTimeoutMs'>, passedMs: number): number {
  return Math.max(LEAST_MS, Math.min(MOST_MS, shutdownTimeoutMs - passedMs));
}
